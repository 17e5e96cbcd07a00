"""TIFF in strips and tiles, by pixels and by planes, against Pillow and tifffile; colour maps as libtiff reads them."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixq._core import decode
from support.decode_fixtures import tiff

Samples = NDArray[np.integer]
#: TIFF's numbers of no compression, LZW, deflate and PackBits.
NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773


def lzw(data: bytes) -> bytes:
    """LZW of literal codes alone, with a clear code before codes would grow, and no end code (TIFF 6.0, section 13)."""
    bits = "".join(("100000000" if at % 250 == 0 else "") + f"{byte:09b}" for at, byte in enumerate(data))
    return int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes((len(bits) + 7) // 8, "big")


def packbits(data: bytes) -> bytes:
    """PackBits of literal runs."""
    runs = (data[at : at + 100] for at in range(0, len(data), 100))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


PACK = {NONE: bytes, LZW: lzw, DEFLATE: zlib.compress, PACKBITS: packbits}


def chunks_of(image: Samples, rows: int, columns: int, planar: bool, tiled: bool) -> Iterator[Samples]:
    """The strips or tiles of an image in the order of the file, (rows, columns, samples) each."""
    planes = [image[..., c : c + 1] for c in range(image.shape[2])] if planar else [image]
    for plane in planes:
        for top in range(0, image.shape[0], rows):
            for left in range(0, image.shape[1], columns):
                part = plane[top : top + rows, left : left + columns]
                padding = [(0, rows - part.shape[0]), (0, columns - part.shape[1]), (0, 0)]
                yield np.pad(part, padding, mode="edge") if tiled else part


def written(
    image: Samples, *, chunk: tuple[int, int], tiled: bool, planar: bool, compression: int, predictor: bool, order: str
) -> bytes:
    """A classic TIFF of (height, width, samples) of uint8 or uint16."""
    height, width, samples = image.shape
    packed = []
    for part in chunks_of(image, *chunk, planar, tiled):
        if predictor:
            part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)
        packed.append(PACK[compression](part.astype(part.dtype.newbyteorder(order)).tobytes()))
    bits = 8 * image.dtype.itemsize
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * samples, 259: (compression,), 262: (2 if samples == 3 else 1,),
        277: (samples,), 284: (1 + planar,), 317: (1 + predictor,),
    }  # fmt: skip
    tags |= {322: (chunk[1],), 323: (chunk[0],)} if tiled else {278: (chunk[0],)}
    places, lengths = (324, 325) if tiled else (273, 279)
    count = len(tags) + 2
    data, at, starts = b"".join(packed), 8 + 2 + 12 * count + 4, []
    for part_bytes in packed:
        starts.append(at)
        at += len(part_bytes)
    tags |= {places: tuple(starts), lengths: tuple(len(part_bytes) for part_bytes in packed)}
    entries, extra = b"", b""
    for tag, values in sorted(tags.items()):
        inside = values if len(values) == 1 else (at + len(extra),)
        extra += b"" if len(values) == 1 else struct.pack(f"{order}{len(values)}I", *values)
        entries += struct.pack(f"{order}HHII", tag, 4, len(values), *inside)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, count)
    return head + entries + bytes(4) + data + extra


@pytest.mark.slow
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    samples=st.sampled_from([1, 3]),
    tiled=st.booleans(),
    planar=st.booleans(),
    compression=st.sampled_from(list(PACK)),
    predictor=st.booleans(),
    order=st.sampled_from("<>"),
    rows=st.sampled_from([1, 16, 32, 48]),
)
@settings(max_examples=250, deadline=None)
def test_strips_and_tiles_of_every_kind(
    size: tuple[int, int], seed: int, dtype: type[np.unsignedinteger], samples: int, tiled: bool, planar: bool,
    compression: int, predictor: bool, order: str, rows: int,
) -> None:  # fmt: skip
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*size, samples), dtype, endpoint=True)
    # libtiff, too, ignores a predictor of data that are not compressed by LZW or deflate.
    predictor = predictor and compression in (LZW, DEFLATE)
    data = written(
        image, chunk=(rows, 32 if tiled else size[1]), tiled=tiled, planar=planar and samples > 1,
        compression=compression, predictor=predictor, order=order,
    )  # fmt: skip
    assert np.array_equal(decode(data), np.broadcast_to(image, (*size, 3)))


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    options=st.fixed_dictionaries(
        {
            "photometric": st.sampled_from(["minisblack", "miniswhite", "rgb"]),
            "planarconfig": st.sampled_from(["contig", "separate"]),
            "tile": st.sampled_from([None, (16, 16), (32, 64)]),
            "compression": st.sampled_from([None, "zlib"]),
            "byteorder": st.sampled_from("<>"),
            "bigtiff": st.booleans(),
        }
    ),
)
@settings(max_examples=80, deadline=None)
def test_tiffs_of_tifffile(
    size: tuple[int, int], seed: int, dtype: type[np.unsignedinteger], options: dict[str, object]
) -> None:
    rgb = options["photometric"] == "rgb"
    separate = options["planarconfig"] == "separate"
    if not rgb:
        options = {key: value for key, value in options.items() if key != "planarconfig"}
    shape = ((3, *size) if separate else (*size, 3)) if rgb else size
    image = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    file = io.BytesIO()
    tifffile.imwrite(file, image, metadata=None, **options)
    expected = np.moveaxis(image, 0, -1) if rgb and separate else image
    if options["photometric"] == "miniswhite":
        expected = np.iinfo(dtype).max - expected
    assert np.array_equal(decode(file.getvalue()), expected if rgb else np.repeat(expected[..., None], 3, axis=-1))


@pytest.mark.parametrize("scale", [1, 256, 257])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_colour_maps_of_every_scale(scale: int, bits: int) -> None:
    """Writers put 0..255 into the 16-bit map, or leave the lower byte zero, or repeat the upper one."""
    rng = np.random.default_rng(bits)
    colours = rng.integers(0, 256, (3, 2**bits))
    indices = rng.integers(0, 2**bits, (6, 8), np.uint8)
    pixels = np.packbits(np.unpackbits(indices[..., None], axis=-1)[..., 8 - bits :].reshape(6, -1), axis=-1)
    tags = {256: (8,), 257: (6,), 258: (bits,), 262: (3,), 320: tuple((colours * scale).ravel().tolist())}
    assert np.array_equal(decode(tiff(tags, pixels.tobytes())), colours.T[indices])


def test_a_reversed_bit_order_is_turned() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (4, 6), np.uint8)
    turned = np.packbits(np.unpackbits(grey[..., None], axis=-1)[..., ::-1], axis=-1)
    data = tiff({256: (6,), 257: (4,), 258: (8,), 262: (1,), 266: (2,)}, turned.tobytes())
    assert np.array_equal(decode(data), np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({322: (1 << 25,), 323: (1 << 25,)}, r"strips or tiles of 33554432x33554432 pixels"),
        ({322: (16,), 323: (0,)}, r"strips or tiles of 16x0 pixels"),
        ({278: (1,)}, r"1 of 4 strips or tiles"),
        ({317: (3,), 259: (5,)}, r"predictor 3 for samples of 8 bits"),
    ],
)
def test_layouts_that_make_no_sense_are_refused(tags: dict[int, tuple[int, ...]], message: str) -> None:
    size = {256: (6,), 257: (4,), 258: (8,), 262: (1,)}
    data = tiff(size | tags, bytes(24))
    if 322 in tags:
        # The places of tiles in place of those of strips.
        data = tiff(size | tags | {324: (8,), 325: (24,)}, bytes(24))
    with pytest.raises(ValueError, match=message):
        decode(data)
