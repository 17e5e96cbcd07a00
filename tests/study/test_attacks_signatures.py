"""Signed addresses: only whom the platform itself has sent gets in, and it is the person whom the signature names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("jwt", reason="PyJWT is not installed")
pytest.importorskip("cryptography", reason="cryptography is not installed")

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pixq.errors import PixqError
from pixq.study.design.config import Platform, Signature
from pixq.study.server.failures import FailureLog
from pixq.study.server.routes_session import UNVERIFIED
from pixq.study.server.run import _load_keys
from pixq.study.session.signatures import KeysUnavailable, SignatureVerifier
from support import databases
from support.attackers import START, Clocks, Participant, attacked, prolific
from support.studying import PROLIFIC, Server, make_study

SIGNED = f'{PROLIFIC}[platform.signature]\ndomain = "study.example.org"\nworkspace = "w1"\njwks = "jwks.json"\n'
KEY, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
HOUR = 3600.0


def jwks(**keys: rsa.RSAPrivateKey) -> dict[str, Any]:
    """A set of public keys by their names, as a platform publishes it."""
    made = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "RS256", "use": "sig"}
        for kid, key in keys.items()
    ]
    return {"keys": made}


def signed(
    address: dict[str, str], *, key: Any = KEY, kid: str = "k1", expires: float = START + HOUR, **claims: Any
) -> dict[str, str]:
    """An address as the platform signs it; claims that are `None` are left out."""
    prolific = {**address, "STUDY_ID": "study1", "workspace_id": "w1"}
    payload = {
        "iss": "https://www.prolific.com", "aud": "https://study.example.org/?a=b", "exp": expires,
        "sub": address["SESSION_ID"], "prolific": prolific, **claims,
    }  # fmt: skip
    payload = {name: value for name, value in payload.items() if value is not None}
    token = jwt.encode(payload, key, "RS256", headers={"kid": kid})
    return {**address, "STUDY_ID": "study1", "prolific_token": token}


@pytest.fixture(scope="module")
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture(scope="module", params=databases.KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clocks: Clocks
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("signed")
    clocks.wall = START
    make_study(folder / "study", platform=SIGNED)
    (folder / "study" / "jwks.json").write_text(json.dumps(jwks(k1=KEY)))
    with attacked(folder / "study", databases.new(request, folder), clocks) as server:
        yield server


def enter(server: Server, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
    status, _, body = server.ask("POST", "/api/start", {"platform": parameters, "language": "en"})
    return status, json.loads(body)


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def confused(address: dict[str, str]) -> str:
    """A token whose signature is an HMAC with the public key as its secret."""
    _, payload, _ = signed(address)["prolific_token"].split(".")
    message = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{payload}"
    secret = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    digest = hmac.digest(secret, message.encode(), hashlib.sha256)
    return f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_whom_the_platform_has_sent_gets_in(server: Server) -> None:
    address = prolific()
    status, told = enter(server, signed(address))
    assert (status, told["state"]["step"]) == (200, "consent")
    # The signature alone says who it is; a domain may stand for an address.
    token = signed(address, aud=["study.example.org"])["prolific_token"]
    assert enter(server, {"prolific_token": token})[1]["token"] == told["token"]


@pytest.mark.parametrize("clock", ["now", "START"])
def test_the_platforms_clock_may_be_ahead(tmp_path: Path, clock: str) -> None:
    now = time.time() if clock == "now" else START
    # Some editors put a byte order mark first.
    (tmp_path / "jwks.json").write_text("\ufeff" + json.dumps(jwks(k1=KEY)), encoding="utf-8")
    verifier = verifier_of("jwks.json", tmp_path, now)
    address = signed(prolific(), expires=now + HOUR, iat=int(now) + 30, nbf=int(now) + 30)
    assert verifier.verify(address)[1] is False
    with pytest.raises(ValueError, match="not signed by Prolific"):
        verifier.verify(signed(prolific(), expires=now + HOUR, nbf=int(now) + 90))


def test_whom_it_has_not_sent_does_not(server: Server) -> None:
    address, other = prolific(), prolific()
    good = signed(address)
    head, payload, signature = good["prolific_token"].split(".")
    bad = {
        "no signature": address,
        "of another key": signed(address, key=OTHER),
        "of an unknown key": signed(address, kid="k2"),
        "another person": {**good, "PROLIFIC_PID": other["PROLIFIC_PID"]},
        "another visit": {**good, "SESSION_ID": other["SESSION_ID"]},
        "another study": {**good, "STUDY_ID": "study2"},
        "for another server": signed(address, aud="https://evil.example.org/?study.example.org"),
        "for nobody": signed(address, aud=None),
        "for a list of numbers": signed(address, aud=[1]),
        "from another workspace": signed(address, prolific={**address, "workspace_id": "w2"}),
        "from no workspace": signed(address, prolific=address),
        "without the claims": signed(address, prolific=None),
        "claims of another form": signed(address, prolific=["PROLIFIC_PID"]),
        "without an end": signed(address, exp=None),
        "not valid yet": signed(address, nbf=START + HOUR),
        "changed": {**good, "prolific_token": f"{head}.{payload[:-4]}AAAA.{signature}"},
        "not signed": {**good, "prolific_token": f"{encoded({'alg': 'none', 'kid': 'k1'})}.{payload}."},
        "by a public key": {**good, "prolific_token": confused(address)},
        "no token": {**good, "prolific_token": "\ud800.x"},
        "long": {**good, "prolific_token": "a" * 9000},
    }
    before = len(server.service.store.sessions())
    for name, parameters in bad.items():
        status, told = enter(server, parameters)
        assert (status, "not signed by Prolific" in told["error"]) == (422, True), name
    assert len(server.service.store.sessions()) == before


def test_an_address_that_expired_continues_a_session_and_starts_none(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks, signed(prolific(), expires=clocks.wall + HOUR))
    person.start()
    person.go("trial")
    late = signed(prolific(), expires=clocks.wall + HOUR)
    clocks.pass_time(2 * HOUR)
    token = person.token
    person.start()
    assert (person.token, person.state["step"]) == (token, "trial")
    status, told = enter(server, late)
    assert (status, "has expired" in told["error"]) == (422, True)
    # A new visit of the same person, which is proven, continues the session.
    again = prolific(person.platform["PROLIFIC_PID"])
    status, told = enter(server, signed(again, expires=clocks.wall + HOUR))
    assert (status, told["token"]) == (200, token)


@contextmanager
def published(keys: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that publishes keys, and the requests that it got; no keys: it fails."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200 if keys else 500)
            self.end_headers()
            self.wfile.write(json.dumps(keys).encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json", requests
        finally:
            server.shutdown()


def verifier_of(where: str, folder: Path = Path(), now: float = START) -> SignatureVerifier:
    signature = Signature(domain="study.example.org", jwks=where)
    platform = Platform(kind="prolific", done="A", screened_out="B", failed="C", signature=signature)
    return SignatureVerifier(platform, folder, lambda: now)


def test_published_keys_are_loaded_once_and_again_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = jwks(k1=KEY)
    with published(keys) as (where, requests):
        verifier = verifier_of(where)
        for _ in range(3):
            assert verifier.verify(signed(prolific()))[1] is False
        assert len(requests) == 1
        # Somebody who makes up names of keys doesn't make the server ask each time.
        for name in ("k2", "k3"):
            with pytest.raises(ValueError, match="not signed"):
                verifier.verify(signed(prolific(), key=OTHER, kid=name))
        assert len(requests) == 1
        monkeypatch.setattr("pixq.study.session.signatures._PAUSE", 0.0)
        keys["keys"] += jwks(k2=OTHER)["keys"]
        assert verifier.verify(signed(prolific(), key=OTHER, kid="k2"))[1] is False
        assert len(requests) == 2
        # While the platform does not answer, the keys that are known are used.
        keys.clear()
        monkeypatch.setattr("pixq.study.session.signatures._LIFESPAN", 0.0)
        assert verifier.verify(signed(prolific()))[1] is False


def test_keys_that_cannot_be_loaded_are_not_asked_for_by_everybody() -> None:
    with published({}) as (where, requests):
        verifier = verifier_of(where)
        for _ in range(3):
            with pytest.raises(KeysUnavailable, match="can't be loaded"):
                verifier.verify(signed(prolific()))
        assert len(requests) == 1


def test_a_platform_that_does_not_answer_stops_nobody_who_has_begun(tmp_path: Path, clocks: Clocks) -> None:
    clocks.wall = START
    keys = jwks(k1=KEY)
    with published(keys) as (where, _):
        make_study(tmp_path / "study", platform=SIGNED.replace("jwks.json", where))
        person = signed(prolific())
        with attacked(tmp_path / "study", str(tmp_path / "answers.db"), clocks) as server:
            status, told = enter(server, person)
            assert status == 200
        keys.clear()
        # After a restart the keys are gone; what the page has sent and asks for needs none.
        with attacked(tmp_path / "study", str(tmp_path / "answers.db"), clocks) as server:
            lines: list[str] = []
            _load_keys(server.service, FailureLog(write=lines.append))
            (line,) = lines
            assert line.startswith(f"pixq: error: {UNVERIFIED}: the keys of {where} can't be loaded")
            status, headers, _ = server.ask("POST", "/api/start", {"platform": person, "language": "en"})
            assert (status, int(headers["retry-after"]) > 0) == (503, True)
            assert server.ask("GET", "/api/state", token=told["token"])[0] == 200


def test_without_pyjwt_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(PixqError, match=r"^PyJWT is not installed; install it with: pip install 'pixq\[prolific\]'$"):
        verifier_of("")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "RSA"}]}'])
def test_a_file_that_has_no_keys_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(PixqError, match=r"keys\.json: is not a set of keys"):
        verifier_of("keys.json", tmp_path)
