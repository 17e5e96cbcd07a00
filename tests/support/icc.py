"""ICC profiles by hand, and the conversion that they stand for, in float64."""

import struct

import numpy as np
from numpy.typing import NDArray

#: Primaries as (x, y): red, green, blue. The white is D65.
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
WIDE = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
D65 = (0.3127, 0.3290)
D50 = np.array([0.9642, 1.0, 0.8249])
#: Cone responses of XYZ (Bradford), by which whites are adapted.
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def matrix(primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """From linear RGB to XYZ under D50."""
    columns, white = np.stack([_xyz(point) for point in primaries], axis=1), _xyz(D65)
    scaled = columns * np.linalg.solve(columns, white)
    gains = (BRADFORD @ D50) / (BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(BRADFORD) @ np.diag(gains) @ BRADFORD @ scaled
    return adapted


def to_srgb(
    values: NDArray[np.floating], gamma: float, primaries: tuple[tuple[float, float], ...]
) -> NDArray[np.float64]:
    """(..., 3) of 0..1 by a power function and primaries to sRGB of 0..1 (IEC 61966-2-1), colours outside clipped."""
    linear = values**gamma @ matrix(primaries).T @ np.linalg.inv(matrix(SRGB)).T
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(encoded, np.float64)


def _number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    table, data, at = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"\0" * 4, 0x02400000, b"mntr", space, pcs)
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(_number(value) for value in D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _text(text: str) -> bytes:
    ascii = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii)) + ascii + bytes(78)


def rgb_profile(
    primaries: tuple[tuple[float, float], ...], gamma: float, name: str = "by hand", cicp: bytes | None = None
) -> bytes:
    """A profile of primaries and one power function, perhaps with the code points of H.273 beside them."""
    tags = {b"desc": _text(name), b"wtpt": b"XYZ \0\0\0\0" + b"".join(_number(value) for value in D50)}
    for channel, column in zip((b"r", b"g", b"b"), matrix(primaries).T, strict=True):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(_number(value) for value in column)
        tags[channel + b"TRC"] = _curve(gamma)
    if cicp is not None:
        tags[b"cicp"] = b"cicp\0\0\0\0" + cicp
    return _profile(b"RGB ", tags)


def lut_profile(primaries: tuple[tuple[float, float], ...], gamma: float, side: int = 17) -> bytes:
    """The same colours as a table of `side`**3 colours in CIELAB, as profiles of scanners have them (lut16Type)."""
    steps = np.linspace(0, 1, side)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    ratio = rgb**gamma @ matrix(primaries).T / D50
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    # Version 2 of ICC: 100 is 0xff00, and a and b have 8 bits before and after the point.
    words = np.clip(
        np.rint(np.stack([lab[:, 0] * 652.8, *((lab[:, i] + 128) * 256 for i in (1, 2))], axis=1)), 0, 65535
    )
    table = b"mft2\0\0\0\0" + bytes([3, 3, side, 0]) + b"".join(_number(v) for v in np.eye(3).ravel())
    straight = struct.pack(">HH", 0, 65535) * 3
    table += struct.pack(">HH", 2, 2) + straight + words.astype(">u2").tobytes() + straight
    tags = {b"desc": _text("table by hand"), b"wtpt": b"XYZ \0\0\0\0" + b"".join(_number(value) for value in D50)}
    return _profile(b"RGB ", {**tags, b"A2B0": table}, pcs=b"Lab ")


def grey_profile(gamma: float, name: str = "grey by hand") -> bytes:
    """A profile of grey with a power function."""
    white = b"XYZ \0\0\0\0" + b"".join(_number(value) for value in D50)
    return _profile(b"GRAY", {b"desc": _text(name), b"wtpt": white, b"kTRC": _curve(gamma)})


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
