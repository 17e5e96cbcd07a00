"""Who may use the service: hosts, and pages of other sites."""

from __future__ import annotations

import socket

import pytest

from pixq.serve.service import settings_for
from support import serving
from support.serve_requests import refused
from support.serving import Service


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_hosts_that_are_meant(service: Service, host: str) -> None:
    for header in (host, f"{host}:{service.port}"):
        assert service.ask("GET", "/", headers={"Host": header}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8008", "127.0.0.1.evil.example", "localhost.evil.example", "",
     "localhost@evil.example", "127.0.0.1:80:80", "[::1", "::1", "0.0.0.0",
     "10.0.0.7", "127.0.0.1x", "localhost:8008/x", "xn--lcalhost-54a"],
)  # fmt: skip
def test_names_that_only_point_here(service: Service, host: str) -> None:
    """DNS rebinding: a page of evil.example asks for evil.example, which has our address by now."""
    for path in ("/", "/api/model"):
        refused(service.ask("GET", path, headers={"Host": host}), 421, "host")
    assert service.post(serving.files(), headers={"Host": host}).status == 421


def test_a_wildcard_takes_addresses_but_no_foreign_names() -> None:
    settings = settings_for("0.0.0.0")
    assert socket.gethostname() in settings.hosts
    with serving.running(serving.Judge(), settings) as found:
        for host in ("10.0.0.7", "[fe80::1]:80", socket.gethostname().upper()):
            assert found.ask("GET", "/", headers={"Host": host}).status == 200
        refused(found.ask("GET", "/", headers={"Host": "evil.example"}), 421)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://localhost"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "file://127.0.0.1"}, {"Origin": ""},
     {"Origin": "http://["}, {"Origin": "http://[::1"}, {"Origin": "http://[a]"}, {"Origin": "http://::1]:80"}],
)  # fmt: skip
def test_pages_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    judge = serving.Judge()
    with serving.running(judge) as found:
        for path in ("/api/predict", "/api/picture"):
            refused(found.post(serving.files(), path, headers=headers), 403, "pages of other sites")
    assert judge.calls == 0


def test_our_own_page_and_programs_are_not(service: Service) -> None:
    own: list[dict[str, str]] = [
        {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}, {"Origin": service.url}, {"Sec-Fetch-Site": "none"},
        {},
    ]  # fmt: skip
    for headers in own:
        assert service.post(serving.files((40, 40)), headers=headers).status == 200
