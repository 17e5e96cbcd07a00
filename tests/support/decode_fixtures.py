"""Image files for the tests of decoding: by Pillow, and by hand where Pillow does not write them."""

import io
import itertools
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def pillow(data: bytes | Path) -> NDArray[np.uint8]:
    """What Pillow makes of a file."""
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """Something with edges, slopes and noise in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), (x + y) % 64 * 4], axis=-1)
    noise = rng.integers(-30, 31, slopes.shape)
    return Image.fromarray(np.clip(slopes + noise, 0, 255).astype(np.uint8))


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def packed(samples: NDArray[np.integer], depth: int) -> NDArray[np.uint8]:
    """(H, W, C) samples as (H, bytes) rows."""
    flat = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        return np.ascontiguousarray(flat.astype(">u2")).view(np.uint8).reshape(flat.shape[0], -1)
    bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return np.packbits(bits.reshape(flat.shape[0], -1), axis=-1)


def filtered(rows: NDArray[np.uint8], filters: Sequence[int], step: int) -> bytes:
    """Rows with PNG's filters applied, in turn (PNG 3rd edition, 9.2)."""
    out = b""
    above = np.zeros(rows.shape[1], np.int64)
    for index, row in enumerate(rows.astype(np.int64)):
        kind = filters[index % len(filters)]
        left, corner = (np.concatenate([np.zeros(step, np.int64), line])[: len(line)] for line in (row, above))
        far = [abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)]
        paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
        predicted = [0, left, above, (left + above) // 2, paeth][kind]
        out += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    return out


def png(
    samples: NDArray[np.integer],
    depth: int,
    colour: int,
    *,
    interlaced: bool = False,
    filters: Sequence[int] = (0,),
    before: bytes = b"",
    after: bytes = b"",
    pieces: int = 1,
) -> bytes:
    """A PNG of (H, W, C) samples; `before` and `after` are chunks around the image data."""
    height, width, channels = samples.shape
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    step = max(1, channels * depth // 8)
    raw = zlib.compress(b"".join(filtered(packed(part, depth), filters, step) for part in parts if part.size))
    cuts = [len(raw) * i // pieces for i in range(pieces + 1)]
    data = b"".join(chunk(b"IDAT", raw[a:b]) for a, b in itertools.pairwise(cuts))
    head = SIGNATURE + ihdr(width, height, depth, colour, int(interlaced))
    return head + before + data + after + chunk(b"IEND", b"")


def bmp(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    *,
    compression: int = 0,
    colours: bytes = b"",
    masks: Sequence[int] = (),
    header: int = 40,
) -> bytes:
    """A BMP; a negative height puts the top row first."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack(
            "<IiiHHIIIIII", header, width, height, 1, bits, compression, len(pixels), 2835, 2835, len(colours) // 4, 0
        )
        info += b"".join(struct.pack("<I", mask) for mask in masks)
        info = info.ljust(header, b"\0")
    offset = 14 + len(info) + len(colours)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + colours + pixels


def tiff(tags: Mapping[int, Sequence[int]], data: bytes = b"", *, strips: int = 1, order: str = "<") -> bytes:
    """A classic TIFF of one directory of LONG tags, and `data` in strips of one size."""
    count = len(tags) + 2
    start = 8 + 2 + 12 * count + 4
    length = len(data) // strips
    tags = dict(tags) | {273: tuple(start + length * i for i in range(strips)), 279: (length,) * strips}
    extra, entries = b"", b""
    for tag, values in sorted(tags.items()):
        inside = values if len(values) == 1 else (start + len(data) + len(extra),)
        extra += b"" if len(values) == 1 else struct.pack(f"{order}{len(values)}I", *values)
        entries += struct.pack(f"{order}HHII", tag, 4, len(values), *inside)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, count)
    return head + entries + bytes(4) + data + extra


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def frame(data: bytes) -> int:
    """Where a JPEG's frame header keeps its precision; height, width and components follow."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 4


def resampled(data: bytes, sampling: int, height: int, width: int) -> bytes:
    """A JPEG whose blocks are laid out by another luma sampling of the same number of blocks.

    The picture is scrambled, but the file is sound: 2x1 blocks become 1x2, 2x2 become 4x1.
    """
    at = frame(data)
    size = struct.pack(">HH", height, width)
    return data[: at + 1] + size + data[at + 5 : at + 7] + bytes([sampling]) + data[at + 8 :]


def forged(data: bytes, height: int, width: int) -> bytes:
    """A JPEG that claims another size."""
    at = frame(data)
    return data[: at + 1] + struct.pack(">HH", height, width) + data[at + 5 :]
