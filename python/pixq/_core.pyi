"""The compiled core. Each function's own documentation, with examples, is in its `help()`.

Images are (height, width) or (height, width, 1 or 3) arrays of uint8, uint16 or float32 whose rows may be strided or
reversed; they are never copied. Corners are (n, 2) int64, y before x. A RoI is (y, x, height, width) inside the patch.
A size is one number of pixels or (rows, columns). Sides of images and patches go up to 2**31 - 1, patches of a call up
to 2**26. An array that results are written to shares no memory with another argument, or the call is refused. While a
function computes, other Python threads run: the caller sees to it that none of them writes to its arrays, or frees
their memory (`resize(refcheck=False)`), before it returns. Other calls of this module that would write are refused.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeVar, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "DEBUG_BUILD",
    "FUSION_NAMES",
    "PARALLEL_SAMPLES",
    "Progress",
    "TinyTape",
    "__version__",
    "build_shard",
    "checksum",
    "compose",
    "decode",
    "decoding_stops",
    "equal_at",
    "feather_mask",
    "formats",
    "fuse",
    "fuse_at",
    "fuse_rows",
    "fusions",
    "grid",
    "local_variance",
    "mse",
    "num_threads",
    "probe",
    "psnr",
    "read_records",
    "sample_random",
    "sample_texture",
    "score_at",
    "set_num_threads",
    "stop_decoding",
    "tile",
    "tiny_score",
    "untile",
    "visible_differences",
]

__version__: str
DEBUG_BUILD: bool
PARALLEL_SAMPLES: int

_Pixel = TypeVar("_Pixel", np.uint8, np.uint16, np.float32)
_Image = npt.NDArray[_Pixel]
_Float32 = npt.NDArray[np.float32]
#: Results are written to these. They share no memory with any other argument.
_Output = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Int64 = npt.NDArray[np.int64]
_Size = int | tuple[int, int]
_Box = tuple[int, int, int, int]

def grid(height: int, width: int, *, size: _Size = 20, stride: _Size | None = None) -> _Int64:
    """Top-left corners of the patches that fit into an image, row by row."""

def tile(
    image: _Image[_Pixel], *, size: _Size = 20, stride: _Size | None = None, coords: _Int64 | None = None
) -> npt.NDArray[_Pixel]:
    """The patches of an image, at a grid or at given corners, with which `stride` is not given."""

def untile(patches: _Image[_Pixel], coords: _Int64, height: int, width: int) -> npt.NDArray[_Pixel]:
    """The image whose patches these are; later ones overwrite earlier ones, uncovered pixels are 0."""

def fuse(
    reference: _Image[_Pixel],
    distorted: _Image[_Pixel],
    *,
    fusion: str = "copy",
    alpha: float = 0.5,
    roi: _Box | None = None,
    mask: _Float64 | None = None,
) -> npt.NDArray[_Pixel]:
    """A distorted patch with a part of its reference, or every pair of two batches.

    `mask` takes the place of `fusion`, `alpha` and `roi`, which are not given then.
    """

def fuse_rows(
    reference: _Image[_Pixel],
    distorted: _Image[_Pixel],
    reference_rows: _Int64,
    distorted_rows: _Int64,
    *,
    fusions: Sequence[tuple[str, float]] = [("copy", 0.5)],
    masks: Sequence[_Float64] = (),
    which: npt.NDArray[np.uint8] | None = None,
    roi: _Box | None = None,
) -> npt.NDArray[_Pixel]:
    """Fused patches from rows gathered from two patch arrays; `which` counts through `fusions`, then `masks`.

    Where only `masks` are given, there are no fusions.
    """

def fuse_at(
    reference: _Image[_Pixel],
    distorted: _Image[_Pixel],
    coords: _Int64,
    *,
    size: _Size = 20,
    roi: _Box | None = None,
    fusions: Sequence[tuple[str, float]] = [("copy", 0.5), ("blend", 0.5)],
    masks: Sequence[_Float64] = (),
    data_range: float | None = None,
) -> tuple[list[npt.NDArray[_Pixel]], _Float64, _Float64]:
    """Cut, fuse and measure the patches of two images in one pass: fused patches, PSNR, PSNR of the RoI.

    Results are those of `fusions`, then of `masks`; where only `masks` are given, there are no fusions.
    """

def fusions() -> list[dict[str, str]]:
    """All fusions: name, what the patch shows outside and inside its RoI, and a description."""

def feather_mask(
    height: int, width: int, *, roi: _Box, feather: int, inside: float = 1.0, outside: float = 0.0
) -> _Float64:
    """Weights of the reference that fall linearly from a RoI to its surroundings."""

def mse(reference: _Image[_Pixel], distorted: _Image[_Pixel], *, roi: _Box | None = None) -> Any:
    """Mean squared error: a float between images, (n,) float64 between batches."""

def psnr(
    reference: _Image[_Pixel], distorted: _Image[_Pixel], *, roi: _Box | None = None, data_range: float | None = None
) -> Any:
    """PSNR in dB, infinite where there is no error: a float between images, (n,) float64 between batches."""

def equal_at(
    reference: _Image[_Pixel], distorted: _Image[_Pixel], coords: _Int64, *, size: _Size = 20
) -> npt.NDArray[np.bool_]:
    """Whether the patches of two images are equal in every pixel, (n,) bool; NaN equals nothing."""

def local_variance(image: _Image[_Pixel], *, size: _Size = 20) -> _Float64:
    """Population variance of every box of an image, mean over the channels."""

def sample_random(height: int, width: int, n: int, *, seed: int, key: str, size: _Size = 20) -> _Int64:
    """`n` distinct corners of patches, each as likely as any other."""

def sample_texture(image: _Image[_Pixel], n: int, *, seed: int, key: str, size: _Size = 20) -> _Int64:
    """`n` distinct corners of patches, with a probability proportional to their local variance."""

def visible_differences(
    reference: npt.NDArray[np.uint8],
    distorted: npt.NDArray[np.uint8],
    *,
    size: int = 20,
    ys: _Int64 | None = None,
    xs: _Int64 | None = None,
    pixels_per_degree: float,
    peak_luminance: float,
    black_luminance: float,
) -> list[_Float32]:
    """How strongly two images differ for the eye, patch by patch: energy, colour and structure, (rows, columns).

    Of a batch of patches, (n, height, width, 3), each is seen alone: (n,).
    """

def tiny_score(
    parameters: _Float32,
    reference: npt.NDArray[np.uint8],
    distorted: npt.NDArray[np.uint8],
    *,
    norm: bool,
    scale: Sequence[float] | _Float32,
    shift: Sequence[float] | _Float32,
    out: _Output,
) -> None:
    """Scores of pairs of patches by TinyPatchRegressor, written to `out`."""

def score_at(
    model: str,
    parameters: _Float32,
    reference: npt.NDArray[np.uint8],
    distorted: npt.NDArray[np.uint8],
    coords: _Int64,
    *,
    size: _Size = 20,
    options: Mapping[str, int],
    scale: Sequence[float] | _Float32,
    shift: Sequence[float] | _Float32,
    scores: _Output,
    weights: _Output,
) -> None:
    """Scores and weights of the patches at corners of two images by a model, written to `scores` and `weights`."""

@final
class TinyTape:
    """Scores by TinyPatchRegressor of which gradients by the parameters can be taken."""

    def __new__(cls, *, norm: bool) -> TinyTape: ...
    def forward(
        self,
        parameters: _Float32,
        reference: npt.NDArray[np.uint8],
        distorted: npt.NDArray[np.uint8],
        *,
        scale: Sequence[float] | _Float32,
        shift: Sequence[float] | _Float32,
        out: _Output,
    ) -> None:
        """Scores of pairs of patches, written to `out`."""

    def backward(self, grad_output: _Float32, gradients: _Output) -> None:
        """The gradient of a loss by the parameters from that by the last scores, written to `gradients`."""

def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels of this process use."""

def num_threads() -> int:
    """The number of threads that kernels use."""

FUSION_NAMES: list[str]

@final
class Progress:
    """Counts what `build_shard` has done on other threads, and tells it to stop."""

    def __new__(cls) -> Progress: ...
    @property
    def images(self) -> int:
        """Image pairs done."""

    @property
    def patches(self) -> int:
        """Patches cut."""

    def cancel(self) -> None:
        """Make every builder stop at its next image, with KeyboardInterrupt."""

def build_shard(
    spec: str,
    root: str | PathLike[str],
    out: str | PathLike[str],
    scratch: str | PathLike[str],
    progress: Progress,
) -> str:
    """Build a shard of a patch set from its specification; both that and the result are JSON."""

def read_records(path: str | PathLike[str], image_ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The records of a shard as columns; `image` counts in `image_ids`."""

def decode(
    source: str | PathLike[str] | bytes,
    *,
    max_pixels: int = 268435456,
    colour_management: bool = True,
    background: str | None = None,
    keep_alpha: bool = False,
    frame: int | None = None,
    notes: list[str] | None = None,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """An image file's pixels, or its bytes', as RGB (height, width, 3), or RGBA with `keep_alpha`."""

def compose(pixels: npt.NDArray[Any], background: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """An image with alpha (height, width, 4) on a background: black, white or checker."""

def probe(
    source: str | PathLike[str] | bytes,
    *,
    max_pixels: int = 268435456,
    colour_management: bool = True,
    frame: int | None = None,
) -> dict[str, Any]:
    """What a header says: height, width, format, bit_depth, orientation, icc_profile, alpha, converted_from, notes."""

def formats() -> list[dict[str, Any]]:
    """All image formats: name, title, endings, media_type, whether for the web, whether decoded, and by which extra."""

def stop_decoding() -> None:
    """Make all decoding that is going on raise `KeyboardInterrupt`, on whatever thread."""

def decoding_stops() -> int:
    """How often `stop_decoding` was called."""

def checksum(path: str | PathLike[str]) -> tuple[int, str]:
    """Size in bytes and BLAKE3 (hex) of a file."""
