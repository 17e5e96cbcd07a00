"""Full-reference metrics on whole images, to hold pixq's models against: one line each in `BASELINES`.

PSNR is the core's; the others are piq's, on RGB in 0..1, and come with `pip install 'pixq[baselines]'`. A score is as
its paper defines it, and may fall as quality rises: `Baseline.higher_is_better` alone says so, and `oriented` turns
what must be turned.

Precision: float32 on a CPU, where SSIM is 20 times as fast as in float64, and 60 images of TID2013 got scores that
differ from those of float64 by 6e-5 at most (GMSD and VSI by 2e-7); float64 on CUDA, where convolutions of float32 may
be rounded to the 10 bits of TF32, whichever way the process is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import fuse, psnr
from pixq.errors import PixqError, unknown
from pixq.io.atomic import checksum
from pixq.io.images import read_pixels
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.schema import ImageLine
from pixq.patches.store import PatchSet

__all__ = ["BASELINES", "Baseline", "baseline", "baseline_scores", "gradient_similarity", "oriented"]

Image = NDArray[np.uint8]
Scores = NDArray[np.float64]

_INSTALL = "install it with: pip install 'pixq[baselines]'"


@dataclass(frozen=True)
class Baseline:
    """A full-reference metric of a whole image.

    Parameters
    ----------
    name
        Its name in pixq.
    title
        Its name in the field, as tables print it.
    higher_is_better
        Whether its score rises with quality.
    min_size
        The shortest side, in pixels, at which its filters fit into the image.
    source
        Where it is defined.
    measure
        `measure(reference, distorted, device)`: the scores (n,) of contiguous images (n, height, width, 3). `score`
        and `score_many` check them first.
    batch
        How many small images to measure at a time; more are no faster, and take more memory.
    """

    name: str
    title: str
    higher_is_better: bool
    min_size: int
    source: str
    measure: Callable[[Image, Image, str], Scores]
    batch: int = 64

    def score(self, reference: Image, distorted: Image, *, device: str = "cpu") -> float:
        """The score of a distorted image, as the metric defines it.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (height, width, 3).
        device
            A device of torch, such as `cuda`. PSNR doesn't use it.

        Raises
        ------
        PixqError
            If the images are smaller than `min_size`, or piq or the device isn't there.
        ValueError, TypeError
            If they differ in shape, or aren't uint8 RGB.

        Examples
        --------
        >>> grey = np.full((20, 20, 3), 100, dtype=np.uint8)
        >>> round(BASELINES["psnr"].score(grey, grey + np.uint8(5)), 2)
        34.15
        >>> BASELINES["psnr"].score(grey, grey)
        inf
        """
        self._check(reference, distorted, "(height, width, 3)")
        # Of all views, neither the core nor torch takes every one.
        pair = np.ascontiguousarray(reference[None]), np.ascontiguousarray(distorted[None])
        return float(self.measure(*pair, device)[0])

    def score_many(self, reference: Image, distorted: Image, *, device: str = "cpu") -> Scores:
        """The scores of images of one size, such as patches: what `score` gives for each, some of them at a time.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (n, height, width, 3).
        device
            A device of torch.

        Returns
        -------
        ndarray
            float64 (n,), as the metric defines its score. Rounding may differ from that of `score` by 1e-5.

        Raises
        ------
        PixqError, ValueError, TypeError
            As `score`.

        Examples
        --------
        >>> black, white = np.zeros((2, 20, 20, 3), dtype=np.uint8), np.full((2, 20, 20, 3), 255, dtype=np.uint8)
        >>> BASELINES["psnr"].score_many(black, white).tolist()
        [0.0, 0.0]
        """
        self._check(reference, distorted, "(n, height, width, 3)")
        scores = np.empty(len(reference))
        for at in range(0, len(reference), self.batch):
            here = slice(at, at + self.batch)
            pair = np.ascontiguousarray(reference[here]), np.ascontiguousarray(distorted[here])
            scores[here] = self.measure(*pair, device)
        return scores

    def _check(self, reference: Image, distorted: Image, shape: str) -> None:
        for name, image in (("reference", reference), ("distorted", distorted)):
            if image.dtype != np.uint8:
                raise TypeError(f"{name!r} has dtype {image.dtype}; expected uint8")
            if image.ndim != shape.count(",") + 1 or image.shape[-1] != 3:
                raise ValueError(f"{name!r} has shape {image.shape}; expected {shape}")
        if reference.shape != distorted.shape:
            raise ValueError(f"'reference' has shape {reference.shape} and 'distorted' {distorted.shape}")
        self.check_size("the image", reference.shape[-3], reference.shape[-2])

    def check_size(self, what: object, height: int, width: int) -> None:
        """An error that names `what`, unless an image of `height` x `width` pixels is large enough."""
        if min(height, width) < self.min_size:
            raise PixqError(
                f"{what}: is {width}x{height} pixels, and {self.title} needs {self.min_size} on each side; "
                f"leave out {self.name}"
            )


def _psnr(reference: Image, distorted: Image, device: str) -> Scores:
    return np.asarray(psnr(reference, distorted), dtype=np.float64)


def _of_piq(function: str) -> Callable[[Image, Image, str], Scores]:
    """The function of piq that is called `function`, on images."""

    def measure(reference: Image, distorted: Image, device: str) -> Scores:
        torch, piq = _libraries()
        # The distorted image first, as piq has it: MDSI is not symmetric.
        pair = (_planes(torch, images, device) for images in (distorted, reference))
        with torch.inference_mode():
            return _array(getattr(piq, function)(*pair, data_range=1.0, reduction="none"))

    return measure


def gradient_similarity(reference: Image, distorted: Image, device: str = "cpu") -> Scores:
    """The mean gradient magnitude similarity of images, float64 (n,), up to 1, higher for better images.

    GMSD is its deviation within the image; the paper calls the mean GMSM. Of BT.601 luma, halved, as GMSD.

    Parameters
    ----------
    reference, distorted
        uint8 RGB of shape (n, height, width, 3), sides even.
    device
        A device of torch.

    Raises
    ------
    PixqError
        If piq or the device isn't there.
    """
    torch, piq = _libraries()

    def gradients(images: Image) -> Any:
        luma = piq.functional.rgb2yiq(_planes(torch, images, device))[:, :1]
        prewitt = piq.functional.prewitt_filter(dtype=luma.dtype, device=luma.device)
        kernels = torch.stack([prewitt, prewitt.transpose(-1, -2)])
        return piq.functional.gradient_map(torch.nn.functional.avg_pool2d(luma, 2), kernels)

    with torch.inference_mode():
        pair = gradients(reference), gradients(distorted)
        return _array(piq.functional.similarity_map(*pair, constant=170 / 255**2).mean(dim=(1, 2, 3)))


def _planes(torch: Any, images: Image, device: str) -> Any:
    """Images as piq takes them: (n, 3, height, width), 0 to 1."""
    place = _device(torch, device)
    kind = torch.float64 if place.type == "cuda" else torch.float32
    # A copy, because torch warns of arrays that are read-only.
    return torch.from_numpy(images.copy()).to(place).permute(0, 3, 1, 2).to(kind) / 255


def _array(found: Any) -> Scores:
    scores: Scores = found.double().cpu().numpy()
    return scores


def _libraries() -> tuple[Any, Any]:
    """Torch and piq, imported when a metric first needs them."""
    try:
        import piq
        import torch
    except ModuleNotFoundError as error:
        raise PixqError(f"{error.name} is not installed; {_INSTALL}") from None
    return torch, piq


def _device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    # Torch raises AssertionError for a device that it was built without.
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["no reason is given"])[0].rstrip(".")
        raise PixqError(f"device {name}: torch can't use it here ({reason}); give cpu or another device") from None
    return device


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        each.name: each
        for each in (
            Baseline("psnr", "PSNR", True, 1, "10 log10(255^2 / MSE) over all samples of the RGB image, in dB", _psnr),
            Baseline(
                "ssim",
                "SSIM",
                True,
                11,
                "Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004; mean over R, G and B, after averaging "
                "f x f pixels, f = the shorter side / 256, rounded, as the authors suggest",
                _of_piq("ssim"),
            ),
            Baseline(
                "ms_ssim",
                "MS-SSIM",
                True,
                161,
                "Wang, Simoncelli and Bovik, Asilomar Conference on Signals, Systems and Computers, 2003; mean over "
                "R, G and B",
                _of_piq("multi_scale_ssim"),
            ),
            Baseline(
                "gmsd",
                "GMSD",
                False,
                6,
                "Xue, Zhang, Mou and Bovik, IEEE TIP 23(2), 2014; of BT.601 luma",
                _of_piq("gmsd"),
            ),
            # Its saliency is of 256x256 pixels, to which each image is resized: four fill a core's cache.
            Baseline("vsi", "VSI", True, 3, "Zhang, Shen and Li, IEEE TIP 23(10), 2014", _of_piq("vsi"), batch=4),
            Baseline(
                "mdsi",
                "MDSI",
                False,
                3,
                "Ziaei Nafchi, Shahkolaei, Hedjam and Cheriet, IEEE Access 4, 2016; gradients and chromaticity "
                "combined by their sum",
                _of_piq("mdsi"),
            ),
        )
    }
)


def baseline(name: str) -> Baseline:
    """The metric called `name`.

    Raises
    ------
    PixqError
        If there is none; the message gives the closest name and all of them.

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
    the patch set made of two files is made again.

    Parameters
    ----------
    patches
        The patch set. All of its images are scored, also where it is a selection.
    root
        The folder of the dataset that it was built from.
    names
        Names of `BASELINES`.
    device
        A device of torch.
    on_progress
        Called with the number of images scored so far.

    Returns
    -------
    dict
        For each name, float64 (images,) in the order of `patches.images`, as the metric defines its score: see
        `oriented`. The PSNR of identical images is infinite.

    Raises
    ------
    PixqError
        If a file is missing or has changed, an image is too small for a metric, or piq or the device isn't there.

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
        raise PixqError(f"no baseline is named; choose from {', '.join(BASELINES)}")
    # What is known before any file is read is told before any file is read.
    for image in patches.images:
        for metric in chosen:
            metric.check_size(root / image["distorted"], image["height"], image["width"])
    if any(metric.name != "psnr" for metric in chosen):
        _device(_libraries()[0], device)
    scores = {metric.name: np.empty(len(patches.images)) for metric in chosen}
    # Pairs of one reference after one another, so that one reference is in memory at a time.
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
    """The distorted image of a line of `images.jsonl`."""
    pixels = _read(patches, root, image, image["distorted"], image["distorted_blake3"])
    if image["blend_with"] is None or image["blend_with_blake3"] is None:
        return pixels
    other = _read(patches, root, image, image["blend_with"], image["blend_with_blake3"])
    # The build's own rounding: half up.
    return fuse(other, pixels, fusion="blend", alpha=0.5, roi=(0, 0, image["height"], image["width"]))


def _read(patches: PatchSet, root: Path, image: ImageLine, file: str, blake3: str) -> Image:
    """The pixels of a file that is as it was when the patch set was built."""
    path = root / file
    try:
        if checksum(path).blake3 != blake3:
            raise PixqError(
                f"{path}: changed since {patches.directory} was built; give the dataset it was built from, "
                "or build the patch set anew"
            )
        # As large as the build found it, which may be more than `decode` takes by default.
        pixels = read_pixels(path, max_pixels=image["height"] * image["width"])
    except OSError as error:
        reason = error.strerror or error
        raise PixqError(
            f"{path}: {reason}; give the folder of the dataset that {patches.directory} was built from"
        ) from None
    # A build takes 8-bit images alone, and the checksum says that this is the one that it took.
    return pixels.astype(np.uint8, copy=False)


def oriented(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The same scores turned so that higher is better: those of metrics that fall with quality are negated.

    Parameters
    ----------
    scores
        By name of `BASELINES`, as `baseline_scores` gives them.

    Raises
    ------
    PixqError
        If a name is unknown.

    Examples
    --------
    >>> {name: turned.tolist() for name, turned in oriented({"vsi": np.array([0.9]), "mdsi": np.array([0.3])}).items()}
    {'vsi': [0.9], 'mdsi': [-0.3]}
    """
    return {name: values if baseline(name).higher_is_better else -values for name, values in scores.items()}
