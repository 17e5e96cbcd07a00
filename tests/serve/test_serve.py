"""The service: what it answers, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import weakref
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect

import pixq
from pixq.classes import CLASSES
from pixq.errors import PixqError
from pixq.http import body as bodies
from pixq.http.security import HEADERS
from pixq.http.server import listen
from pixq.scoring.grid import Grid
from pixq.serve.app import PAGE, Settings, _Desk
from pixq.serve.response_json import answer
from pixq.serve.service import settings_for
from support import built, serving, trees
from support.serving import Files, Service, encoded, form

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "python" / "pixq" / "serve" / "page"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving.running(serving.Judge(sets=True)) as found:
        yield found


def refused(found: serving.Answer, status: int, *words: str, image: str | None = None) -> str:
    """The one line of a refusal."""
    assert found.status == status, found.body
    assert found.headers["content-type"] == "application/json"
    assert {key: found.headers[key] for key in HEADERS} == HEADERS
    told = found.json
    assert set(told) == {"error", "image"}
    assert told["image"] == image
    text: str = told["error"]
    assert "\n" not in text
    assert "/" not in text.replace("multipart/form-data", ""), "no path of the server"
    for word in words:
        assert word in text
    return text


# What it answers.


def test_the_answer_is_the_map(service: Service) -> None:
    reference, distorted = serving.pair()
    for stride in (5, 10, 20):
        found = service.post(serving.files(), stride=str(stride))
        assert found.status == 200
        assert found.headers["content-type"] == "application/json"
        judge = serving.Judge(sets=True).map(reference, distorted, stride=stride, watch=None)
        told, grid = found.json, Grid(120, 170, stride=stride)
        assert told["grid"]["ys"] == grid.ys.tolist()
        assert told["grid"]["xs"] == grid.xs.tolist()
        assert (told["grid"]["rows"], told["grid"]["columns"]) == grid.shape
        patches = told["patches"]
        assert np.array_equal(np.float32(patches["quality"]), judge.quality.ravel())
        assert patches["class"] == judge.classes.ravel().tolist()
        assert patches["identical"] == judge.identical.ravel().tolist()
        assert patches["unsure"] == judge.unsure.ravel().tolist()  # type: ignore[union-attr]
        expected = [
            None if same else score for same, score in zip(patches["identical"], judge.score.ravel(), strict=True)
        ]
        assert patches["score"] == expected
        assert 0 < sum(patches["identical"]) < len(expected), "the pair has both kinds"
        assert set(patches["class"]) == {0, 1, 2}
    assert (told["reference"], told["distorted"]) == ("clean.png", "noisy.png")
    assert told["cuts"] == {"of": "quality", "values": [0.33, 0.66]}


def test_the_verdict_and_the_words_are_pixqs_own(service: Service) -> None:
    told = service.post(serving.files()).json
    verdict = serving.Judge(sets=True).map(*serving.pair(), stride=10, watch=None).verdict
    found = told["verdict"]
    assert [share["share"] for share in found["shares"]] == list(verdict.shares.values())
    for key in ("quality", "worst", "unsure", "identical"):
        assert found[key] == pytest.approx(getattr(verdict, key))
    count = told["patches"]["class"].count(0)
    assert found["headline"] == f"Obvious in {count} of {len(told['patches']['class'])} patches."
    assert [each["name"] for each in told["classes"]] == [each.name for each in CLASSES]
    assert [each["safe_color"] for each in told["classes"]] == [each.safe_color for each in CLASSES]


def test_classes_are_not_repeated_in_the_page() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8")
        for each in CLASSES:
            # The icon is a picture.
            found = [each.meaning, each.safe_color, each.mark, *([each.color] if path.suffix != ".svg" else [])]
            assert not [part for part in found if part in text], path
            assert f'"{each.name}"' not in text


def test_standard_json_whatever_is_in_it() -> None:
    reference, _ = serving.pair((40, 40))
    found = serving.Judge().map(reference, reference, stride=10, watch=None)
    found = replace(found, cuts=(-np.inf, np.inf), calibration="strict")
    told = answer(found, "a", "b")
    text = json.dumps(told, allow_nan=False)
    assert json.loads(text)["cuts"] == {"of": "score", "values": [None, None]}
    assert told["patches"]["unsure"] is None
    assert set(told["patches"]["score"]) == {None}
    assert told["verdict"]["headline"] == "The two images are equal in every patch."


def test_sixteen_bits_grey_and_other_formats(service: Service) -> None:
    reference, distorted = serving.pair()
    grey = np.asarray(Image.fromarray(reference).convert("L"))
    for data in (
        encoded(grey), encoded(grey.astype(np.uint16) * 257), encoded(reference, "BMP"), encoded(reference, "TIFF"),
        encoded(reference, "WEBP", lossless=True), encoded(reference, "JPEG"),
    ):  # fmt: skip
        found = service.post({"reference": ("a", encoded(distorted)), "distorted": ("b", data)})
        assert found.status == 200, found.body


def test_the_model_is_told() -> None:
    about = {"model": "tiny", "fingerprint": "ab" * 32, "calibration": "lab"}
    with serving.running(serving.Judge(), Settings(about=about, max_upload=5 << 20)) as found:
        told = found.ask("GET", "/api/model").json
    assert {key: told[key] for key in about} == about
    assert told["limits"]["bytes"] == 5 << 20
    assert told["stride"] in told["strides"]
    assert told["pixq"] == pixq.__version__


def test_a_picture_for_browsers_that_cannot_show_it(service: Service) -> None:
    reference, _ = serving.pair()
    found = service.post({"image": ("a.tif", encoded(reference, "TIFF"))}, "/api/picture")
    assert found.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.body))), reference)
    deep = np.array([[0, 128, 129, 257, 65535]] * 20, dtype=np.uint16)
    found = service.post({"image": ("a.png", encoded(deep))}, "/api/picture")
    assert np.asarray(Image.open(io.BytesIO(found.body)))[0, :, 0].tolist() == [0, 0, 1, 1, 255]
    refused(service.post({"image": ("a.tif", b"no image")}, "/api/picture"), 422, "a.tif: is not a PNG")


def test_a_trained_run_by_the_command_line(trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pixq", "serve", str(trained), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", url)
        assert match is not None
        there = Service(int(match[1]))
        reference, distorted = serving.pair()
        told = there.post(serving.files()).json
        expected = pixq.load(trained).map(reference, distorted)
        assert np.array_equal(np.float32(told["patches"]["quality"]), expected.quality.ravel())
        assert told["patches"]["class"] == expected.classes.ravel().tolist()
        about = there.ask("GET", "/api/model").json
        info = json.loads((trained / "run.json").read_text())
        assert about["fingerprint"] == info["files"]["model.safetensors"]["blake3"]
        assert (about["model"], about["calibration"]) == ("tiny", None)
        taken = built.mistake(built.pixq("serve", trained, "--port", match[1]))
        assert f"127.0.0.1:{match[1]}: Address already in use" in taken
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert err == "pixq: Ctrl-C ends it\npixq: interrupted\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "--port 70000: is not 0 to 65535"),
        (["--max-upload", "0"], "--max-upload 0: is not above 0"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
        (["--calibration", "lab"], "has no calibration"),
    ],
)
def test_mistakes_are_one_line(trained: Path, options: list[str], words: str) -> None:
    assert words in built.mistake(built.pixq("serve", trained, *options))


def test_without_the_extra_one_line_says_what_to_install(trained: Path, tmp_path: Path) -> None:
    for package in ("starlette", "uvicorn", "python_multipart"):
        code = f"import sys; sys.modules[{package!r}] = None; from pixq.cli import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", str(trained)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr == f"pixq: {package} is not installed; install it with: pip install 'pixq[serve]'\n"


def test_the_verb_imports_nothing_before_it_is_called() -> None:
    code = "import sys, pixq.cli.serve; print(*{'starlette', 'uvicorn', 'torch', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


# The page's files.


def test_the_page_is_served_from_a_list(service: Service) -> None:
    assert {name for name, _ in PAGE.values()} == {path.name for path in FOLDER.iterdir()}
    for path, (name, kind) in PAGE.items():
        found = service.ask("GET", path)
        assert (found.status, found.headers["content-type"]) == (200, kind)
        assert found.body == (FOLDER / name).read_bytes()
        assert {key: found.headers[key] for key in HEADERS} == HEADERS
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
        assert found.body == (FOLDER / "index.html").read_bytes()
    else:
        refused(found, 404, "there is nothing here")


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


# Who may ask.


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
            refused(found.post(serving.files(), path, headers=headers), 403, "another site")
    assert judge.calls == 0


def test_our_own_page_and_programs_are_not(service: Service) -> None:
    own: list[dict[str, str]] = [
        {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}, {"Origin": service.url}, {"Sec-Fetch-Site": "none"},
        {},
    ]  # fmt: skip
    for headers in own:
        assert service.post(serving.files((40, 40)), headers=headers).status == 200


# What is uploaded.


def with_alpha() -> bytes:
    return encoded(np.full((40, 40, 4), 9, np.uint8))


def cmyk() -> bytes:
    data = io.BytesIO()
    Image.new("CMYK", (40, 40)).save(data, "JPEG")
    return data.getvalue()


def bomb() -> bytes:
    """A PNG of 20000x20000 pixels in 50 kB: its header is true."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = 20000
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((1 + side // 8) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "words": (b"no image at all", "is not a PNG, JPEG"),
    "nothing": (b"", "is empty"),
    "alpha": (with_alpha(), "has an alpha channel"),
    "truncated": (encoded(trees.photo(1, (64, 64)))[:4000], "truncated"),
    "cmyk": (cmyk(), "is a CMYK JPEG"),
    "gif": (encoded(np.zeros((40, 40), np.uint8), "GIF"), "is not a PNG, JPEG"),
    "small": (encoded(trees.photo(1, (19, 40))), "is 40x19; a patch takes 20x20"),
    "bomb": (bomb(), "is 20000x20000, 400.0 megapixels; this service takes up to 64"),
}


@pytest.mark.parametrize("which", ["reference", "distorted"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named(service: Service, which: str, kind: str) -> None:
    data, words = BAD[kind]
    given = {**serving.files((40, 40)), which: (f"C:\\photos\\../{kind} ünï.png", data)}
    text = refused(service.post(given), 422, words, image=which)
    assert text.startswith(f"{kind} ünï.png: ")


def test_sizes_that_differ(service: Service) -> None:
    given = {**serving.files((40, 50)), "distorted": ("other.png", encoded(trees.photo(1, (50, 40))))}
    refused(service.post(given), 422, "clean.png is 50x40, other.png 40x50")


def test_an_exif_orientation_is_applied_before_sizes_are_compared(service: Service) -> None:
    reference, distorted = serving.pair((40, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = encoded(np.ascontiguousarray(np.rot90(distorted)), "JPEG", exif=exif, quality=95)
    assert service.post({"reference": ("a", encoded(reference)), "distorted": ("b", turned)}).status == 200


def test_too_many_patches(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    monkeypatch.setattr("pixq.serve.response_json.MAX_PATCHES", 100)
    assert service.post(serving.files((120, 120)), stride="20").status == 200
    refused(service.post(serving.files((120, 120)), stride="10"), 422, "121 patches", "larger stride")


@pytest.mark.parametrize("stride", ["0", "-1", "7", "1e9", "ten", "", "10.0", " 10"])
def test_strides_are_of_a_list(service: Service, stride: str) -> None:
    refused(service.post(serving.files((40, 40)), stride=stride), 422, "choose 5, 10, 20")


@pytest.mark.parametrize("missing", ["reference", "distorted"])
def test_a_missing_file(service: Service, missing: str) -> None:
    given = serving.files((40, 40))
    del given[missing]
    refused(service.post(given), 400, f"the {missing} image is missing", image=missing)


def test_names_are_cut_and_cleaned(service: Service) -> None:
    for name, shown in (("a" * 500, "a" * 79 + "…"), ("tab\tand\x07bell", "tab�and�bell"), ("", "reference"),
                        ("<script>alert(1)</script>", "script>")):  # fmt: skip
        text = service.post({**serving.files((40, 40)), "reference": (name, b"x")}).json["error"]
        assert text.startswith(f"{shown}: is not a PNG")


def body_of(*parts: str, end: str = f"--{serving.BOUNDARY}--\r\n") -> bytes:
    return "".join(f"--{serving.BOUNDARY}\r\n{part}\r\n" for part in parts).encode() + end.encode()


NAMED = 'Content-Disposition: form-data; name="{}"; filename="x"\r\n\r\nabc'
MALFORMED = {
    "empty": b"",
    "no boundary": b"hello, there is nothing here that a form has",
    "not ended": body_of(NAMED.format("reference"), end=""),
    "cut in a header": body_of(NAMED.format("reference"), end=f"--{serving.BOUNDARY}\r\nContent-Dispo"),
    "no name": body_of("Content-Disposition: form-data\r\n\r\nabc"),
    "no disposition": body_of("\r\nabc"),
    "unknown part": body_of(NAMED.format("../../etc/passwd")),
    "twice": body_of(NAMED.format("reference"), NAMED.format("reference")),
    "long field": body_of('Content-Disposition: form-data; name="stride"\r\n\r\n' + "1" * 1000),
    "many headers": body_of("".join(f"X-{n}: y\r\n" for n in range(1000)) + NAMED.format("reference")),
    "long header": body_of(f"X: {'y' * 14000}\r\n" + NAMED.format("reference")),
    "bytes": bytes(range(256)) * 8,
    "many parts": body_of(*[NAMED.format(f"p{n}") for n in range(200)]),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_forms(service: Service, kind: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={serving.BOUNDARY}"}
    found = service.ask("POST", "/api/predict", MALFORMED[kind], headers)
    text = refused(found, 400) if "passwd" not in str(MALFORMED[kind]) else found.json["error"]
    assert found.status == 400
    assert text


@pytest.mark.parametrize(
    "kind",
    ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain; boundary=a", "", ";;;",
     "multipart/mixed; boundary=a", "application/x-www-form-urlencoded"],
)  # fmt: skip
def test_other_kinds_of_body(service: Service, kind: str) -> None:
    found = service.ask("POST", "/api/predict", form(serving.files((40, 40))), {"Content-Type": kind})
    refused(found, 415, "multipart/form-data")


def test_a_boundary_that_is_too_long(service: Service) -> None:
    found = service.ask("POST", "/api/predict", b"--", {"Content-Type": f"multipart/form-data; boundary={'b' * 3000}"})
    refused(found, 400)


# How much is uploaded.


@pytest.fixture(scope="module")
def strict() -> Iterator[Service]:
    """Takes files of up to 100 kB."""
    with serving.running(serving.Judge(), replace(settings_for("127.0.0.1"), max_upload=100_000)) as found:
        yield found


def test_a_file_that_is_too_large_is_named(strict: Service) -> None:
    given: Files = {**serving.files((40, 40)), "distorted": ("large.png", bytes(100_001))}
    refused(strict.post(given), 413, "large.png: is larger than the 0.0953674 MiB", image="distorted")
    given["distorted"] = ("right.png", bytes(100_000))
    refused(strict.post(given), 422, "right.png: is not a PNG", image="distorted")


def test_too_much_by_its_own_word_is_not_read(strict: Service) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Content-Length: 99999999999"))
        # Nothing more is sent.
        status, body = reply(client)
    assert status == 413
    assert "the upload is larger" in json.loads(body)["error"]


def test_too_much_without_a_word_is_counted(strict: Service) -> None:
    """Chunked, without an end, and with a part that is known: it is cut off."""
    start = body_of(NAMED.format("reference"), end="")[:-2]
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Transfer-Encoding: chunked") + chunked(start))
        for _ in range(40):
            client.sendall(chunked(bytes(1 << 16)))
        status, body = reply(client)
    assert status == 413
    assert "x: is larger" in json.loads(body)["error"]


def test_other_parts_count_as_well(strict: Service) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={serving.BOUNDARY}"}
    preamble = b"\r\n" * 150_000
    found = strict.ask("POST", "/api/predict", preamble + form(serving.files((40, 40))), headers)
    refused(found, 413, "the upload is larger")


def test_what_is_no_part_counts_without_a_word_too(strict: Service) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Transfer-Encoding: chunked"))
        for _ in range(40):
            client.sendall(chunked(b"\r\n" * (1 << 13)))
        status, body = reply(client)
    assert status == 413
    assert "the upload is larger" in json.loads(body)["error"]


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


def test_a_client_that_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch, strict: Service) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.2)
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Content-Length: 1000") + b"--")
        status, body = reply(client)
    assert status == 408
    assert "nothing came" in json.loads(body)["error"]


# Who waits, and what is left.


def test_the_rest_is_sent_away_when_many_wait() -> None:
    judge = serving.Waiting()
    settings = replace(settings_for("127.0.0.1"), workers=1, waiting=1)
    found: list[serving.Answer] = []
    with serving.running(judge, settings) as service:
        clients = [
            threading.Thread(target=lambda: found.append(service.post(serving.files((40, 40))))) for _ in range(5)
        ]
        for client in clients:
            client.start()
        assert judge.began.acquire(timeout=30)
        # One is at work and one waits, whichever those are.
        for _ in range(3000):
            if len(found) == 3:
                break
            time.sleep(0.01)
        for busy in list(found):
            refused(busy, 503, "too many are waiting")
            assert busy.headers["retry-after"] == "5"
        # The page is there all the same.
        assert service.ask("GET", "/").status == 200
        assert not judge.began.acquire(blocking=False), "one at a time"
        judge.go.set()
        for client in clients:
            client.join(30)
        assert sorted(each.status for each in found) == [200, 200, 503, 503, 503]
        assert service.post(serving.files((40, 40))).status == 200, "places are given back"


def test_a_client_that_goes_away_ends_its_work() -> None:
    judge = serving.Waiting()
    with serving.running(judge, replace(settings_for("127.0.0.1"), workers=1, waiting=0)) as service:
        body = form(serving.files((40, 40)))
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head(service, f"Content-Length: {len(body)}") + body)
            assert judge.began.acquire(timeout=30)
        assert judge.ended.wait(30)
        judge.go.set()
        for _ in range(500):
            if (answer := service.post(serving.files((40, 40)))).status == 200:
                break
            time.sleep(0.01)
        assert answer.status == 200


def test_an_interruption_gives_up_what_is_scored_and_is_quiet() -> None:
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        from support import serving
        from pixq.cli import app, main
        from pixq.serve.service import serve
        class Told(serving.Waiting):
            def map(self, *images, **options):
                print("began", flush=True)
                return super().map(*images, **options)
        app.command(lambda: serve(Told(), port=0), name="test")
        sys.exit(main(["test"]))
    """
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
        found: list[serving.Answer] = []
        client = threading.Thread(target=lambda: found.append(Service(port).post(serving.files((40, 40)))))
        client.start()
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        client.join(30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert err == "pixq: Ctrl-C ends it\npixq: interrupted\n"
    assert [answer.status for answer in found] == [503]
    assert "ending" in found[0].json["error"]


def test_the_end_of_the_service_ends_its_work() -> None:
    judge = serving.Waiting()
    with serving.running(judge) as service:
        body = form(serving.files((40, 40)))
        client = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        client.sendall(head(service, f"Content-Length: {len(body)}") + body)
        assert judge.began.acquire(timeout=30)
    assert judge.ended.wait(10)
    client.close()


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what is beyond a megabyte, and not when half of it came."""
    opened: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = os.open

    def counting(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append(str(path))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", counting)
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    large = encoded(noise, compress_level=0)
    assert len(large) > 1 << 20
    with serving.running(serving.Judge()) as service:
        assert service.post({"reference": ("a", large), "distorted": ("b", large)}).status == 200
        assert service.post({"image": ("a", large)}, "/api/picture").status == 200
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head(service, "Content-Length: 5000000") + form({"reference": ("a", large)})[: 1 << 21])
    assert opened == []
    assert list(tmp_path.iterdir()) == []


class Failing(serving.Judge):
    def map(self, *_: Any, **__: Any) -> Any:
        raise ValueError("secret: /home/someone/run")


class Refusing(serving.Judge):
    def map(self, *_: Any, **__: Any) -> Any:
        raise PixqError("this model wants other patches")


def test_a_defect_tells_nothing_of_our_insides() -> None:
    with serving.running(Failing()) as service:
        found = service.post(serving.files((40, 40)))
        assert found.status == 500
        assert found.json == {"error": "pixq failed; its terminal says why", "image": None}
        assert service.post(serving.files((40, 40))).status == 500, "and the place is given back"
    with serving.running(Refusing()) as service:
        refused(service.post(serving.files((40, 40))), 422, "this model wants other patches")


# Listening.


def test_a_taken_port_is_one_line() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PixqError, match=rf"^127\.0\.0\.1:{port}: Address already in use; choose another --port"):
            listen("127.0.0.1", port)


def test_other_hosts_are_warned_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import uvicorn

    from pixq.serve import service as listening

    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    opened: list[str] = []
    monkeypatch.setattr(listening.webbrowser, "open", opened.append)
    for host, warned in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)):
        listening.serve(serving.Judge(), host=host, port=0, open_page=host == "0.0.0.0")
        told = capsys.readouterr()
        assert ("can be reached from other machines" in told.err) == warned
        assert told.out.startswith("http://")
    assert opened == [told.out.strip()]
    assert opened[0].startswith("http://localhost:")


# What is shipped.


def test_the_extra_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert {re.split("[>=]", each)[0] for each in extras["serve"]} == {"starlette", "uvicorn", "python-multipart"}
    assert "serve" in extras["all"][0]
    assert set(extras["serve"]) <= set(project["dependency-groups"]["test"])


def test_the_page_is_shipped(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git here: what is ignored is not shipped, and only git tells it")
    for path in FOLDER.iterdir():
        done = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=ROOT, check=False)
        assert done.returncode == 1, f"{path.name} is ignored, so maturin leaves it out"


class Client:
    """A request of which one knows alone whether its client is still there."""

    def __init__(self, *, left: bool) -> None:
        self.left = left

    async def receive(self) -> dict[str, str]:
        if not self.left:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


def test_uploads_of_who_left_do_not_wait_for_their_turn() -> None:
    desk, began, go = _Desk(1, 4), threading.Event(), threading.Event()

    def busy(watch: Any) -> bool:
        began.set()
        return go.wait(60)

    async def leave(job: Any) -> None:
        with suppress(ClientDisconnect):
            await desk.work(Client(left=True), job)  # type: ignore[arg-type]
            raise AssertionError("nobody left")

    async def main() -> None:
        first = asyncio.create_task(desk.work(Client(left=False), busy))  # type: ignore[arg-type]
        await asyncio.to_thread(began.wait, 60)

        class Job:
            def __call__(self, watch: Any) -> None:
                raise AssertionError("nobody waits for it")

        job = Job()
        kept = weakref.ref(job)
        await leave(job)
        del job
        gc.collect()
        assert kept() is None
        assert not first.done()
        go.set()
        assert await first
        # Whoever comes next is served.
        assert await desk.work(Client(left=False), lambda watch: 7) == 7  # type: ignore[arg-type]

    asyncio.run(main())
