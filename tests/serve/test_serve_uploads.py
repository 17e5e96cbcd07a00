"""Uploads: bad files, malformed forms, and too many bytes."""

from __future__ import annotations

import io
import json
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from pixq.http import body as bodies
from pixq.http.errors import RequestError
from pixq.serve.response_json import decode
from pixq.serve.upload import Upload
from support import serving, trees
from support.decode_fixtures import SIGNATURE, chunk, ihdr
from support.serve_requests import NAMED, body_of, chunked, head, refused, reply
from support.serving import Files, Service, encoded, form


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


def animated_bomb() -> bytes:
    """An animated PNG of 9000x9000 pixels."""
    still = SIGNATURE + ihdr(9000, 9000, 1, 0)
    frames = chunk(b"acTL", struct.pack(">II", 2, 0))
    frames += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9000, 9000, 0, 0, 1, 10, 0, 0))
    return still + frames + chunk(b"IDAT", zlib.compress(bytes(9000 * 1126), 9)) + chunk(b"IEND", b"")


BAD = {
    "words": (b"no image at all", "is not a PNG, JPEG"),
    "nothing": (b"", "is empty"),
    "truncated": (encoded(trees.photo(1, (64, 64)))[:4000], "truncated"),
    "cmyk": (cmyk(), "is a CMYK JPEG"),
    "pcx": (encoded(np.zeros((40, 40), np.uint8), "PCX"), "is not a PNG, JPEG"),
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


def test_the_frames_of_an_image_that_is_too_large_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("was decoded"))
    with pytest.raises(
        RequestError, match=r"a\.png: is 9000x9000, 81\.0 megapixels; this service takes up to 64: give"
    ):
        decode(Upload("a.png", animated_bomb()), "reference", 64_000_000, frame=0)


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


def test_a_file_that_is_too_large_is_named(strict: Service) -> None:
    given: Files = {**serving.files((40, 40)), "distorted": ("large.png", bytes(100_001))}
    refused(strict.post(given), 413, "large.png: is larger than the limit of 0.0953674 MiB per file", image="distorted")
    given["distorted"] = ("right.png", bytes(100_000))
    refused(strict.post(given), 422, "right.png: is not a PNG", image="distorted")


@pytest.mark.slow
def test_too_much_by_its_own_word_is_not_read(strict: Service) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Content-Length: 99999999999"))
        # Nothing more is sent.
        status, body = reply(client)
    assert status == 413
    assert "the upload is larger" in json.loads(body)["error"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_is_no_part_counts_without_a_word_too(strict: Service) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Transfer-Encoding: chunked"))
        for _ in range(40):
            client.sendall(chunked(b"\r\n" * (1 << 13)))
        status, body = reply(client)
    assert status == 413
    assert "the upload is larger" in json.loads(body)["error"]


@pytest.mark.slow
def test_a_client_that_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch, strict: Service) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.2)
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as client:
        client.sendall(head(strict, "Content-Length: 1000") + b"--")
        status, body = reply(client)
    assert status == 408
    assert "nothing arrived for 0.2 seconds" in json.loads(body)["error"]
