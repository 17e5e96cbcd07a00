"""The files of the page: which are served, and that they are shipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from pixq.http.security import SECURITY_HEADERS
from pixq.serve.app import PAGE
from support.serve_requests import ROOT, page_files, refused
from support.serving import Service


def test_the_page_is_served_from_a_list(service: Service) -> None:
    files = page_files()
    assert {name for name, _ in PAGE.values()} == set(files)
    for path, (name, kind) in PAGE.items():
        found = service.ask("GET", path)
        assert (found.status, found.headers["content-type"]) == (200, kind)
        assert found.body == files[name].read_bytes()
        assert {key: found.headers[key] for key in SECURITY_HEADERS} == SECURITY_HEADERS
    assert service.ask("HEAD", "/").body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/index.html", "/page", "/page/", "/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/page/../../app.py",
        "//etc/passwd", "/etc/passwd", "/page.js/", "/page.js%00", "/%2e%2e%5capp.py", "/.", "/api", "/api/",
        "/?/../x.py/", "/docs", "/favicon.ico",
    ],
)  # fmt: skip
def test_nothing_else_is_there(service: Service, path: str) -> None:
    found = service.ask("GET", path)
    if path.startswith("/?"):
        assert found.body == page_files()["index.html"].read_bytes()
    else:
        refused(found, 404, "nothing was found at this address")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/api/predict", "POST"), ("POST", "/", "GET"), ("DELETE", "/api/model", "GET"),
     ("PUT", "/api/predict", "POST"), ("OPTIONS", "/api/predict", "POST"),
     ("POST", "/page.js", "GET"), ("TRACE", "/", "GET")],
)  # fmt: skip
def test_other_methods(service: Service, method: str, path: str, allowed: str) -> None:
    found = service.ask(method, path, b"" if method != "TRACE" else None)
    refused(found, 405, method)
    assert allowed in found.headers["allow"]


def test_no_answer_may_be_read_from_elsewhere(service: Service) -> None:
    found = service.ask("GET", "/api/model", headers={"Origin": "http://evil.example"})
    assert not [name for name in found.headers if name.startswith("access-control")]
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_extra_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert {re.split("[>=]", each)[0] for each in extras["serve"]} == {"starlette", "uvicorn", "python-multipart"}
    assert "serve" in extras["all"][0]
    assert set(extras["serve"]) <= {entry for entry in project["dependency-groups"]["test"] if isinstance(entry, str)}


def test_the_page_is_shipped(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git here: what is ignored is not shipped, and only git tells it")
    for path in page_files().values():
        done = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=ROOT, check=False)
        assert done.returncode == 1, f"{path.name} is ignored, so maturin leaves it out"
