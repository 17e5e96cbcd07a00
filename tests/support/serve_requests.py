"""Requests to `pixq serve` as bytes, what a refusal looks like, and the files of the page."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from pixq.http.security import SECURITY_HEADERS
from pixq.serve.app import SHARED
from support import serving
from support.serving import Service

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "pixq"


def page_files() -> dict[str, Path]:
    """The files of the page, by name, some of which the page of the study uses too."""
    shared = [PACKAGE / "http" / "assets" / name for name in SHARED]
    return {path.name: path for path in [*(PACKAGE / "serve" / "page").iterdir(), *shared]}


def refused(found: serving.Answer, status: int, *words: str, image: str | None = None) -> str:
    """The one line of a refusal."""
    assert found.status == status, found.body
    assert found.headers["content-type"] == "application/json"
    assert {key: found.headers[key] for key in SECURITY_HEADERS} == SECURITY_HEADERS
    told = found.json
    assert set(told) == {"error", "image"}
    assert told["image"] == image
    text: str = told["error"]
    assert "\n" not in text
    assert "/" not in text.replace("multipart/form-data", ""), "no path of the server"
    for word in words:
        assert word in text
    return text


def body_of(*parts: str, end: str = f"--{serving.BOUNDARY}--\r\n") -> bytes:
    return "".join(f"--{serving.BOUNDARY}\r\n{part}\r\n" for part in parts).encode() + end.encode()


NAMED = 'Content-Disposition: form-data; name="{}"; filename="x"\r\n\r\nabc'


def head(service: Service, *more: str) -> bytes:
    lines = [
        "POST /api/predict HTTP/1.1", f"Host: 127.0.0.1:{service.port}",
        f"Content-Type: multipart/form-data; boundary={serving.BOUNDARY}", *more,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def reply(client: socket.socket) -> tuple[int, bytes]:
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < length(data):
        piece = client.recv(1 << 16)
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return int(data.split()[1]), data.partition(b"\r\n\r\n")[2]


def length(data: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", data)
    return int(found[1]) if found else 0
