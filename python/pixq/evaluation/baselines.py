"""Full-reference image metrics to compare pixq's models with: one entry each in `BASELINES`.

To add a metric, add an entry: `pixq evaluate`, its help and its messages read them from here.

PSNR and visibility come from pixq's core, SSIM and MS-SSIM from `pixq.evaluation.ssim`, those from FSIM to GMSD from
piq, on RGB in 0..1 (`pip install 'pixq[baselines]'`), and ColorVideoVDP, butteraugli, SSIMULACRA2 and FLIP from their
authors' or others' programs (`pip install 'pixq[rivals]'`). A score is what its paper defines, and may decrease as
quality increases: only `Baseline.higher_is_better` says so, and `oriented` flips the signs accordingly.

Some metrics see images as people do, on a display and from a distance: see `Baseline.viewing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pixq._core import fuse, psnr
from pixq.errors import PixqError, unknown
from pixq.evaluation.baseline import AT_A_DESK, Baseline, Image, Scores
from pixq.evaluation.display_metrics import (
    BUTTERAUGLI,
    butteraugli,
    butteraugli_map,
    colorvideovdp,
    colorvideovdp_map,
    flip,
    flip_map,
    single,
    ssimulacra2,
)
from pixq.evaluation.piq_metrics import gmsd_map, gradient_similarity, mdsi_map, piq_metric
from pixq.evaluation.ssim import ms_ssim, ssim, ssim_map
from pixq.io.atomic import checksum
from pixq.io.images import read_pixels, to_8_bits
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.schema import ImageLine
from pixq.patches.store import PatchSet
from pixq.viewing import ViewingConditions
from pixq.visibility import PATCH, measure_visibility

__all__ = ["BASELINES", "Baseline", "baseline", "baseline_scores", "gradient_similarity", "oriented"]


def _psnr(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    return np.asarray(psnr(reference, distorted), dtype=np.float64)


def _squared_error(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """The mean over the channels, whose mean over the pixels PSNR is made of."""
    errors: Scores = np.square(reference.astype(np.float64) - distorted).mean(axis=2)
    return errors


def _visibility(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> float:
    return measure_visibility(reference, distorted, viewing).jnd


def _visibility_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    patches = measure_visibility(reference, distorted, viewing).map
    height, width = reference.shape[:2]
    return patches.repeat(PATCH, axis=0).repeat(PATCH, axis=1)[:height, :width]


def _numpy(function: Callable[[Image, Image], Scores]) -> Callable[[Image, Image, str, ViewingConditions], Scores]:
    """Wrap a function that neither uses torch nor depends on viewing conditions."""

    def measure(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
        return function(reference, distorted)

    return measure


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Baseline(
                "psnr",
                "PSNR",
                True,
                1,
                "10 log10(255^2 / MSE) over all samples of the RGB image, in dB; its map is the squared error",
                _psnr,
                needs=None,
                measure_map=_squared_error,
            ),
            Baseline(
                "ssim",
                "SSIM",
                True,
                11,
                "Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004; mean over R, G and B, after averaging "
                "f x f pixels, f = the shorter side / 256, rounded, as its authors suggest; its map is 1 - SSIM",
                _numpy(ssim),
                needs=None,
                measure_map=_numpy(ssim_map),
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
                "combined by their sum; its map is 1 - similarity",
                piq_metric("mdsi"),
                measure_map=mdsi_map,
            ),
            # It resizes each image to 256x256 pixels for its saliency: four of them fill a core's cache.
            Baseline(
                "vsi",
                "VSI",
                True,
                3,
                "Zhang, Shen and Li, IEEE TIP 23(10), 2014",
                piq_metric("vsi", single=True, most=1.0),
                batch=4,
            ),
            Baseline(
                "gmsd",
                "GMSD",
                False,
                6,
                "Xue, Zhang, Mou and Bovik, IEEE TIP 23(2), 2014; on BT.601 luma; its map is 1 - similarity",
                piq_metric("gmsd"),
                rival="on request",
                measure_map=gmsd_map,
            ),
            Baseline(
                "fsim",
                "FSIM",
                True,
                3,
                "Zhang, Zhang, Mou and Zhang, IEEE TIP 20(8), 2011; FSIMc, with colour; 1 for images without any "
                "structure, for which it is undefined",
                piq_metric("fsim", most=1.0),
                # Its wavelets are up to 48 pixels long.
                rival="never",
            ),
            Baseline(
                "haarpsi",
                "HaarPSI",
                True,
                16,
                "Reisenhofer, Bosse, Kutyniok and Wiegand, Signal Processing: Image Communication 61, 2018",
                piq_metric("haarpsi", most=1.0),
                rival="on request",
            ),
            Baseline(
                "colorvideovdp",
                "ColorVideoVDP",
                True,
                8,
                "Mantiuk, Hanji, Ashraf, Asano and Chapiro, ACM Transactions on Graphics 43(4), 2024; in JOD, 10 if "
                "nobody sees a difference; its map is its raw heat map",
                single(colorvideovdp),
                rival="never",
                needs="pycvvdp",
                measure_map=colorvideovdp_map,
                viewing=("pixels_per_degree", "peak_luminance", "ambient"),
            ),
            Baseline(
                "butteraugli",
                "butteraugli",
                False,
                8,
                "Alakuijala, Obryk, Stoliarchuk, Szabadka, Vandevenne and Wassenberg, arXiv:1703.04421, 2017; the "
                "3-norm of libjxl's, whose map is the distance",
                single(butteraugli),
                rival="never",
                needs=BUTTERAUGLI,
                measure_map=butteraugli_map,
                viewing=("peak_luminance",),
            ),
            Baseline(
                "ssimulacra2",
                "SSIMULACRA2",
                True,
                8,
                "Sneyers, Cloudinary, 2023, https://github.com/cloudinary/ssimulacra2",
                single(ssimulacra2),
                rival="never",
                needs="ssimulacra2",
            ),
            Baseline(
                "flip",
                "FLIP",
                False,
                1,
                "Andersson, Nilsson, Akenine-Moller, Oskarsson, Astrom and Fairchild, Proceedings of the ACM on "
                "Computer Graphics 3(2), 2020; the mean of its error map",
                single(flip),
                rival="never",
                needs="flip_evaluator",
                measure_map=flip_map,
                viewing=("pixels_per_degree",),
            ),
            Baseline(
                "visibility",
                "visibility",
                False,
                1,
                "pixq's own, in JND, see pixq.visibility; images side by side; its map is the JND of each patch",
                single(_visibility),
                # What is beside a patch counts.
                rival="never",
                needs=None,
                measure_map=_visibility_map,
                viewing=("pixels_per_degree", "peak_luminance", "ambient"),
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
    *,
    viewing: ViewingConditions = AT_A_DESK,
    rows: Sequence[int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score the whole images that a patch set was cut from.

    Each file is checked against the patch set's checksum, and each reference is decoded once. A distorted image that
    the patch set blended from two files is blended again.

    Parameters
    ----------
    patches
        The patch set.
    root
        The folder of the dataset that it was built from.
    names
        Names of `BASELINES`.
    device
        A torch device.
    on_progress
        Called with the number of images scored so far.
    viewing
        How the images are looked at, for the metrics that depend on it.
    rows
        Which of `patches.images` to score; by default all of them, even if `patches` is a selection.

    Returns
    -------
    dict
        For each name, float64 (images,) in the order of `rows`, as the metric defines its score (see
        `oriented`). The PSNR of identical images is infinite.

    Raises
    ------
    PixqError
        If a file is missing or has changed, an image is too small for a metric, or what a metric needs or the device
        is not available.

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
    chosen_rows = range(len(patches.images)) if rows is None else rows
    for row in chosen_rows:
        image = patches.images[row]
        for metric in chosen:
            metric.check_size(root / image["distorted"], image["height"], image["width"])
    for metric in chosen:
        metric.check_available(device)
    scores = {metric.name: np.empty(len(chosen_rows)) for metric in chosen}
    # Sorted by reference, so that only one reference is in memory at a time.
    order = sorted(enumerate(chosen_rows), key=lambda place: patches.images[place[1]]["reference"])
    reference_file, reference = "", np.empty((0, 0, 3), dtype=np.uint8)
    for done, (place, row) in enumerate(order, start=1):
        image = patches.images[row]
        if image["reference"] != reference_file:
            reference_file = image["reference"]
            reference = _read(patches, root, image, reference_file, image["reference_blake3"])
        distorted = _distorted(patches, root, image)
        for metric in chosen:
            scores[metric.name][place] = metric.score(reference, distorted, device=device, viewing=viewing)
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
