"""Full-reference image metrics to compare pixq's models with: one entry each in `BASELINES`.

To add a metric, add an entry: `pixq evaluate`, its help and its messages read them from here.

PSNR comes from pixq's core, SSIM and MS-SSIM from `pixq.evaluation.ssim`; the others come from piq, on RGB in 0..1, and
need `pip install 'pixq[baselines]'`. A score is what its paper defines, and may decrease as quality increases: only
`Baseline.higher_is_better` says so, and `oriented` flips the signs accordingly.

Precision: float64. In float32, SSIM reached 1.0005 for flat patches, and MDSI was off by 60 % for bright ones. VSI
alone is computed in float32 on a CPU, where it takes less than half the time and differs from float64 by at most 3e-5,
and that only in patches of nearly one colour. On CUDA it is float64 too, since float32 convolutions may be rounded to
the 10 bits of TF32 there, depending on the settings of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixq._core import fuse, psnr
from pixq.errors import PixqError, unknown
from pixq.evaluation.ssim import ms_ssim, ssim
from pixq.io.atomic import checksum
from pixq.io.images import read_pixels, to_8_bits
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.schema import ImageLine
from pixq.patches.store import PatchSet

__all__ = ["BASELINES", "Baseline", "baseline", "baseline_scores", "gradient_similarity", "oriented"]

Image = NDArray[np.uint8]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A full-reference image metric.

    Parameters
    ----------
    name
        The name that options and files use.
    title
        The name that tables and sentences use.
    higher_is_better
        Whether the score increases with quality.
    min_size
        The shortest side, in pixels, at which the metric's filters fit into the image.
    source
        The paper that defines it.
    measure
        `measure(reference, distorted, device)` computes the scores (n,) of contiguous images (n, height, width, 3).
        `score` and `score_many` check them first.
    batch
        How many small images to measure at a time; larger batches are not faster, and take more memory.
    rival
        Whether `pixq evaluate` compares models with it on patches: by default, on request, or never.
    needs
        The optional package that `measure` needs, if any.
    """

    name: str
    title: str
    higher_is_better: bool
    min_size: int
    source: str
    measure: Callable[[Image, Image, str], Scores]
    batch: int = 64
    rival: Literal["by default", "on request", "never"] = "by default"
    needs: str | None = "piq"

    def score(self, reference: Image, distorted: Image, *, device: str = "cpu") -> float:
        """Compute the score of a distorted image, as the metric defines it.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (height, width, 3).
        device
            A torch device, such as `cuda`, for the metrics that need torch.

        Raises
        ------
        PixqError
            If the images are smaller than `min_size`, or piq or the device is not available.
        ValueError, TypeError
            If the images differ in shape, or are not uint8 RGB.

        Examples
        --------
        >>> grey = np.full((20, 20, 3), 100, dtype=np.uint8)
        >>> round(BASELINES["psnr"].score(grey, grey + np.uint8(5)), 2)
        34.15
        >>> BASELINES["psnr"].score(grey, grey)
        inf
        """
        self._check(reference, distorted, "(height, width, 3)")
        # Neither the core nor torch accepts every view of an array.
        pair = np.ascontiguousarray(reference[None]), np.ascontiguousarray(distorted[None])
        return float(self.measure(*pair, device)[0])

    def score_many(self, reference: Image, distorted: Image, *, device: str = "cpu") -> Scores:
        """Compute the scores of images of one size, such as patches, in batches.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (n, height, width, 3).
        device
            A torch device.

        Returns
        -------
        ndarray
            float64 (n,), as the metric defines its score; rounding may differ from `score` by 1e-5.

        Raises
        ------
        PixqError, ValueError, TypeError
            As in `score`.

        Examples
        --------
        >>> black, white = np.zeros((2, 20, 20, 3), dtype=np.uint8), np.full((2, 20, 20, 3), 255, dtype=np.uint8)
        >>> BASELINES["psnr"].score_many(black, white).tolist()
        [0.0, 0.0]
        """
        self._check(reference, distorted, "(n, height, width, 3)")
        scores = np.empty(len(reference))
        for first in range(0, len(reference), self.batch):
            part = slice(first, first + self.batch)
            pair = np.ascontiguousarray(reference[part]), np.ascontiguousarray(distorted[part])
            scores[part] = self.measure(*pair, device)
        return scores

    def _check(self, reference: Image, distorted: Image, shape: str) -> None:
        for name, image in (("reference", reference), ("distorted", distorted)):
            if image.dtype != np.uint8:
                raise TypeError(f"{name!r} has dtype {image.dtype}; expected uint8")
            if image.ndim != shape.count(",") + 1 or image.shape[-1] != 3:
                raise ValueError(f"{name!r} has shape {image.shape}; expected {shape}")
        if reference.shape != distorted.shape:
            raise ValueError(
                f"'reference' has shape {reference.shape} and 'distorted' {distorted.shape}; expected the same shape"
            )
        self.check_size("the image", reference.shape[-3], reference.shape[-2])

    def check_size(self, what: object, height: int, width: int) -> None:
        """Raise a `PixqError` that names `what` unless an image of `height` x `width` pixels is large enough."""
        if min(height, width) < self.min_size:
            raise PixqError(
                f"{what}: is {width}x{height} pixels, but {self.title} needs at least {self.min_size} on each side; "
                f"leave out {self.name}"
            )


def _psnr(reference: Image, distorted: Image, device: str) -> Scores:
    return np.asarray(psnr(reference, distorted), dtype=np.float64)


def _numpy(function: Callable[[Image, Image], Scores]) -> Callable[[Image, Image, str], Scores]:
    """Wrap a function that doesn't use torch."""

    def measure(reference: Image, distorted: Image, device: str) -> Scores:
        return function(reference, distorted)

    return measure


def _piq(function: str, *, single: bool = False, most: float = np.inf) -> Callable[[Image, Image, str], Scores]:
    """Wrap piq's function of this name for arrays of images: in float32 on a CPU if `single`, and at most `most`."""

    def measure(reference: Image, distorted: Image, device: str) -> Scores:
        torch, piq = require("torch", extra="baselines"), require("piq")
        # piq takes the distorted image first, which matters because MDSI is not symmetric.
        pair = (_planes(torch, images, device, single) for images in (distorted, reference))
        with torch.inference_mode():
            # Rounding may take a sum of shares above their bound.
            return np.minimum(_array(getattr(piq, function)(*pair, data_range=1.0, reduction="none")), most)

    return measure


def gradient_similarity(reference: Image, distorted: Image, device: str = "cpu") -> Scores:
    """Compute the mean gradient magnitude similarity of images: float64 (n,), up to 1, higher for better images.

    GMSD is the standard deviation of the same similarity; its paper calls the mean GMSM. Like GMSD, it is computed on
    BT.601 luma at half the size.

    Parameters
    ----------
    reference, distorted
        uint8 RGB of shape (n, height, width, 3), sides even.
    device
        A torch device.

    Raises
    ------
    PixqError
        If piq or the device is not available.
    """
    torch, piq = require("torch", extra="baselines"), require("piq")

    def gradients(images: Image) -> Any:
        luma = piq.functional.rgb2yiq(_planes(torch, images, device))[:, :1]
        prewitt = piq.functional.prewitt_filter(dtype=luma.dtype, device=luma.device)
        kernels = torch.stack([prewitt, prewitt.transpose(-1, -2)])
        return piq.functional.gradient_map(torch.nn.functional.avg_pool2d(luma, 2), kernels)

    with torch.inference_mode():
        pair = gradients(reference), gradients(distorted)
        similarity = _array(piq.functional.similarity_map(*pair, constant=170 / 255**2).mean(dim=(1, 2, 3)))
        return np.minimum(similarity, 1.0)


def _planes(torch: Any, images: Image, device: str, single: bool = False) -> Any:
    """Convert images to what piq takes: (n, 3, height, width), 0 to 1; float32 on a CPU if `single`, else float64."""
    place = _device(torch, device)
    kind = torch.float32 if single and place.type == "cpu" else torch.float64
    # Copied, because torch warns about read-only arrays.
    return torch.from_numpy(images.copy()).to(place).permute(0, 3, 1, 2).to(kind) / 255


def _array(tensor: Any) -> Scores:
    scores: Scores = tensor.double().cpu().numpy()
    return scores


def _device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    # Torch raises AssertionError for a device that it was built without.
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["no reason is given"])[0].rstrip(".")
        raise PixqError(f"device {name}: torch can't use it here ({reason}); use cpu or another device") from None
    return device


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Baseline(
                "psnr",
                "PSNR",
                True,
                1,
                "10 log10(255^2 / MSE) over all samples of the RGB image, in dB",
                _psnr,
                needs=None,
            ),
            Baseline(
                "ssim",
                "SSIM",
                True,
                11,
                "Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004; mean over R, G and B, after averaging "
                "f x f pixels, f = the shorter side / 256, rounded, as its authors suggest",
                _numpy(ssim),
                needs=None,
            ),
            Baseline(
                "ms_ssim",
                "MS-SSIM",
                True,
                161,
                "Wang, Simoncelli and Bovik, Asilomar Conference on Signals, Systems and Computers, 2003; mean over "
                "R, G and B",
                _numpy(ms_ssim),
                # A patch is too small for its five scales.
                rival="never",
                needs=None,
            ),
            Baseline(
                "mdsi",
                "MDSI",
                False,
                3,
                "Ziaei Nafchi, Shahkolaei, Hedjam and Cheriet, IEEE Access 4, 2016; gradients and chromaticity "
                "combined by their sum",
                _piq("mdsi"),
            ),
            # It resizes each image to 256x256 pixels for its saliency: four of them fill a core's cache.
            Baseline(
                "vsi",
                "VSI",
                True,
                3,
                "Zhang, Shen and Li, IEEE TIP 23(10), 2014",
                _piq("vsi", single=True, most=1.0),
                batch=4,
            ),
            Baseline(
                "gmsd",
                "GMSD",
                False,
                6,
                "Xue, Zhang, Mou and Bovik, IEEE TIP 23(2), 2014; on BT.601 luma",
                _piq("gmsd"),
                rival="on request",
            ),
        )
    }
)


def baseline(name: str) -> Baseline:
    """Look up the metric called `name`.

    Raises
    ------
    PixqError
        If there is no such metric; the message suggests the closest name and lists all of them.

    Examples
    --------
    >>> baseline("ms_ssim").title, baseline("mdsi").higher_is_better
    ('MS-SSIM', False)
    """
    key = name.lower().replace("-", "_")
    if key in BASELINES:
        return BASELINES[key]
    raise unknown("baseline", name, BASELINES)


def baseline_scores(
    patches: PatchSet,
    root: Path,
    names: Iterable[str] = tuple(BASELINES),
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, NDArray[np.float64]]:
    """Score the whole images that a patch set was cut from.

    Each file is checked against the patch set's checksum, and each reference is decoded once. A distorted image that
    the patch set blended from two files is blended again.

    Parameters
    ----------
    patches
        The patch set. All of its images are scored, even if it is a selection.
    root
        The folder of the dataset that it was built from.
    names
        Names of `BASELINES`.
    device
        A torch device.
    on_progress
        Called with the number of images scored so far.

    Returns
    -------
    dict
        For each name, float64 (images,) in the order of `patches.images`, as the metric defines its score (see
        `oriented`). The PSNR of identical images is infinite.

    Raises
    ------
    PixqError
        If a file is missing or has changed, an image is too small for a metric, or piq or the device is not available.

    Examples
    --------
    >>> import tempfile
    >>> from pixq.distort import write_tree
    >>> from pixq.patches.build import build
    >>> folder = Path(tempfile.mkdtemp())
    >>> noise = np.random.default_rng(0)
    >>> photos = {f"photo{n}": noise.integers(0, 256, (60, 80, 3), dtype=np.uint8) for n in range(5)}
    >>> _ = write_tree(photos, folder / "dataset", ["jpeg"], [1, 2])
    >>> patches = PatchSet(build("jianjin008", folder / "dataset", folder / "patches").out)
    >>> scores = baseline_scores(patches, folder / "dataset", ["psnr"])
    >>> scores["psnr"].shape == (len(patches.images),)
    True
    """
    chosen = list({metric.name: metric for metric in map(baseline, names)}.values())
    if not chosen:
        raise PixqError(f"no baseline is given; choose from {', '.join(BASELINES)}")
    # Mistakes that can be found without reading a file are reported before reading one.
    for image in patches.images:
        for metric in chosen:
            metric.check_size(root / image["distorted"], image["height"], image["width"])
    packages = [metric.needs for metric in chosen if metric.needs is not None]
    if packages:
        torch = require("torch", extra="baselines")
        for package in packages:
            require(package)
        _device(torch, device)
    scores = {metric.name: np.empty(len(patches.images)) for metric in chosen}
    # Sorted by reference, so that only one reference is in memory at a time.
    order = sorted(range(len(patches.images)), key=lambda row: patches.images[row]["reference"])
    reference_file, reference = "", np.empty((0, 0, 3), dtype=np.uint8)
    for done, row in enumerate(order, start=1):
        image = patches.images[row]
        if image["reference"] != reference_file:
            reference_file = image["reference"]
            reference = _read(patches, root, image, reference_file, image["reference_blake3"])
        distorted = _distorted(patches, root, image)
        for metric in chosen:
            scores[metric.name][row] = metric.score(reference, distorted, device=device)
        on_progress("scoring images", done, len(order))
    return scores


def _distorted(patches: PatchSet, root: Path, image: ImageLine) -> Image:
    """Read the distorted image of a line of `images.jsonl`."""
    pixels = _read(patches, root, image, image["distorted"], image["distorted_blake3"])
    if image["blend_with"] is None or image["blend_with_blake3"] is None:
        return pixels
    other = _read(patches, root, image, image["blend_with"], image["blend_with_blake3"])
    # Rounded half up, as in the build.
    return fuse(other, pixels, fusion="blend", alpha=0.5, roi=(0, 0, image["height"], image["width"]))


def _read(patches: PatchSet, root: Path, image: ImageLine, file: str, blake3: str) -> Image:
    """Read the pixels of a file that has not changed since the patch set was built."""
    path = root / file
    try:
        if checksum(path).blake3 != blake3:
            raise PixqError(
                f"{path}: changed since {patches.directory} was built; use the dataset it was built from, "
                "or build the patch set again"
            )
        # The image may be larger than `decode` accepts by default; the build recorded its size.
        pixels = read_pixels(path, max_pixels=image["height"] * image["width"], options=patches.reading)
    except OSError as error:
        reason = error.strerror or error
        raise PixqError(
            f"{path}: {reason}; use the folder of the dataset that {patches.directory} was built from"
        ) from None
    # A build only takes 8-bit images, and the checksum shows that this is the one it took.
    return to_8_bits(pixels)


def oriented(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Negate the scores of metrics that decrease with quality, so that higher is better for all.

    Parameters
    ----------
    scores
        By the names of `BASELINES`, as `baseline_scores` returns them.

    Raises
    ------
    PixqError
        If a name is unknown.

    Examples
    --------
    >>> {name: values.tolist() for name, values in oriented({"vsi": np.array([0.9]), "mdsi": np.array([0.3])}).items()}
    {'vsi': [0.9], 'mdsi': [-0.3]}
    """
    return {name: values if baseline(name).higher_is_better else -values for name, values in scores.items()}
