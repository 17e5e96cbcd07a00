"""Predicted PJNDs and JND-critical regions on ladders that people judged, beside simpler ways.

    python benches/ladders.py [RUN]

Without a run, the default model is measured. The sources are those of LocJND and KonJND-1k; each is predicted by the
cut that the others choose, and, for a run of the model `visibility`, also by 1 JND. People saw the images alternate.
Read from PIXQ_TEST_DATA, or `../shared/data`. Nothing is drawn at random.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

import pixq
from pixq import _core
from pixq.evaluation.baselines import BASELINES, oriented
from pixq.io.images import load_pixels
from pixq.ladders.critical import DEGREE, critical_map
from pixq.ladders.ground_truth import GroundTruth, read_ground_truth
from pixq.ladders.ladder import image_value
from pixq.ladders.pjnd import SHARE, Pjnd, SourceRange, leave_one_out, pjnd, score_quantile
from pixq.ladders.predict import JND_CUT
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from pixq.viewing import ViewingConditions

Image = NDArray[np.uint8]
Values = NDArray[np.float64]

DATA = Path(os.environ.get("PIXQ_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
FOLDERS = ("locjnd", "konjnd1k")
SHARES = (0.01, 0.02, SHARE, 0.1, 0.2)
RIVALS = ("psnr", "mdsi", "vsi")
#: Pixels from a clicked point within which a place is JND-critical.
NEAR = 25.0

OWN, FIXED, PATCH_MSE = "model", "model, 1 JND", "worst 5 % MSE"


def sources() -> list[GroundTruth]:
    return [truth for name in FOLDERS for truth in read_ground_truth(DATA / name) if truth.range is not None]


# PJND.


def edges_of(truth: GroundTruth, scorer: pixq.Scorer) -> dict[str, list[float]]:
    """Of each way, a number a level that is lower where more is to be seen."""
    reference = load_pixels(truth.ladder.reference)
    grid = Grid(*reference.shape[:2], scorer.size)
    patches = _core.tile(reference, coords=grid.corners).astype(np.float32)

    def measure(distorted: Image) -> dict[str, float]:
        quality_map = scorer.map(reference, distorted)
        if scorer.scores_visibility:
            found = dict.fromkeys((FIXED, OWN), image_value(quality_map))
        else:
            others = {f"{OWN}, {share:g}": share for share in SHARES if share != SHARE}
            shares = {OWN: SHARE} | others
            found = {name: score_quantile(quality_map.score, share) for name, share in shares.items()}
        difference = _core.tile(distorted, coords=grid.corners) - patches
        found[PATCH_MSE] = score_quantile(-np.square(difference).mean(axis=(1, 2, 3)), SHARE)
        images = {name: np.array([BASELINES[name].score(reference, distorted)]) for name in RIVALS}
        return found | {name: float(values[0]) for name, values in oriented(images).items()}

    # Some levels are the same file, byte for byte.
    known: dict[bytes, dict[str, float]] = {}
    rows = []
    for level in truth.ladder.levels:
        data = level.path.read_bytes()
        if data not in known:
            known[data] = measure(load_pixels(level.path))
        rows.append(known[data])
    return {name: [row[name] for row in rows] for name in rows[0]}


def distance(source: SourceRange, prediction: Pjnd) -> float:
    """How far a prediction is from the middle of its range, in halves of the range; above the ladder as at its end."""
    low, high = source.range
    level = source.levels[-1] if prediction.level is None else prediction.level
    return float(abs(level - (low + high) / 2) / ((high - low) / 2))


def pjnds(truths: list[GroundTruth], scorer: pixq.Scorer) -> None:
    edges = {}
    for truth in truths:
        print(f"scoring {truth.ladder.name}", file=sys.stderr)
        edges[truth.ladder.name] = edges_of(truth, scorer)
    predictions: dict[str, dict[str, Pjnd]] = {}
    sources_of: dict[str, list[SourceRange]] = {}
    for way in edges[truths[0].ladder.name]:
        ranges = [
            SourceRange(
                truth.ladder.name,
                np.array([level.level for level in truth.ladder.levels]),
                np.array(edges[truth.ladder.name][way]),
                truth.range or (0.0, 0.0),
            )
            for truth in truths
        ]
        sources_of[way] = ranges
        by_others = {} if way == FIXED else leave_one_out(ranges)
        predictions[way] = by_others or {row.name: pjnd(row.levels, row.quantiles, JND_CUT) for row in ranges}
    inside = {
        way: {row.name: row.contains(predictions[way][row.name]) for row in ranges}
        for way, ranges in sources_of.items()
    }
    # Other shares of a model that scores patches are counted only.
    titles = {FIXED: "1 JND", OWN: OWN, "psnr": "PSNR", PATCH_MSE: PATCH_MSE, "mdsi": "MDSI", "vsi": "VSI"}
    ways = [way for way in titles if way in predictions]
    fixed = " (1 JND: as it is)" if FIXED in ways else ""
    print(f"PJND by the cut that the other {len(truths) - 1} sources choose{fixed}; * is outside people's range")
    print(f"{'source':14}{'codec':>6}{'range':>9}" + "".join(f"{titles[way]:>15}" for way in ways))
    for truth in truths:
        name = truth.ladder.name
        low, high = truth.range or (0.0, 0.0)
        cells = []
        for way in ways:
            level = predictions[way][name].level
            cells.append(f"{'none' if level is None else f'{level:g}'}{' ' if inside[way][name] else '*'}")
        print(f"{name:14}{truth.codec:>6}{f'{low:g}-{high:g}':>9}" + "".join(f"{cell:>15}" for cell in cells))
    counts = [f"{sum(inside[way].values())} of {len(truths)} " for way in ways]
    print(f"{'in range':29}" + "".join(f"{count:>15}" for count in counts))
    far = [np.mean([distance(row, predictions[way][row.name]) for row in sources_of[way]]) for way in ways]
    print(f"{'distance, halves of the range':29}" + "".join(f"{value:>14.2f} " for value in far))
    shares = [
        f"{way.removeprefix(f'{OWN}, ')}: {sum(inside[way].values())}" for way in predictions if way not in titles
    ]
    if shares:
        print(f"in range of {len(truths)}, the model by other shares of patches: {', '.join(shares)}")


# JND-critical regions.


def difference(reference: Image, distorted: Image) -> Values:
    """Minus the difference, mean over the channels."""
    return -np.abs(reference.astype(np.float64) - distorted).mean(axis=2)


def smoothed(values: Values) -> Values:
    """Means under the Gaussian of `critical_map`, of what lies in the image."""
    sigma = DEGREE / (2 * np.sqrt(2 * np.log(2)))
    inside = gaussian_filter(np.ones_like(values), sigma, mode="constant")
    return gaussian_filter(values, sigma, mode="constant") / inside


def by_pixel(found: QualityMap, values: Values) -> Values:
    return replace(found, quality=values.astype(np.float32)).per_pixel().astype(np.float64)


def auc(low: Values, critical: NDArray[np.bool_]) -> float:
    """The chance that a critical pixel is lower than another; a half where they are equal."""
    ranks, n = rankdata(-low.ravel()), np.count_nonzero(critical)
    return float((ranks[critical.ravel()].sum() - n * (n + 1) / 2) / (n * (critical.size - n)))


class Looked(NamedTuple):
    """A source at the level that is looked at, and what the ways get there."""

    name: str
    codec: str
    level: float
    areas: dict[str, float]


def looked_at(truth: GroundTruth, scorer: pixq.Scorer) -> Looked:
    assert truth.range is not None
    middle = sum(truth.range) / 2
    # Of two that are as near, the lower, where less is to be seen.
    level = min(truth.ladder.levels, key=lambda each: (abs(each.level - middle), each.level))
    reference, distorted = load_pixels(truth.ladder.reference), load_pixels(level.path)
    found = scorer.map(reference, distorted)
    ys, xs = np.mgrid[: found.grid.height, : found.grid.width]
    critical = np.zeros(reference.shape[:2], bool)
    for y, x in truth.points or ():
        critical |= np.hypot(ys - y, xs - x) <= NEAR
    maps: dict[str, Callable[[], Values]] = {
        "critical_map": lambda: by_pixel(found, critical_map(found)),
        "not smoothed": lambda: by_pixel(found, critical_map(found, degree=0.0)),
        "|difference|": lambda: smoothed(difference(reference, distorted)),
        "MDSI's map": lambda: smoothed(-BASELINES["mdsi"].map(reference, distorted)),
    }
    return Looked(
        truth.ladder.name, truth.codec, level.level, {name: auc(make(), critical) for name, make in maps.items()}
    )


def regions(truths: list[GroundTruth], scorer: pixq.Scorer) -> None:
    rows = [looked_at(truth, scorer) for truth in truths if truth.points]
    print(f"JND-critical regions: AUC over pixels, those within {NEAR:g} of a clicked point against the rest")
    names = list(rows[0].areas)
    print(f"{'source':14}{'codec':>6}{'level':>7}" + "".join(f"{name:>15}" for name in names))
    for row in rows:
        areas = "".join(f"{area:>15.3f}" for area in row.areas.values())
        print(f"{row.name:14}{row.codec:>6}{row.level:>7g}{areas}")
    means = [float(np.mean([row.areas[name] for row in rows])) for name in names]
    print(f"{'mean':27}" + "".join(f"{mean:>15.3f}" for mean in means))


def main(arguments: list[str]) -> None:
    missing = [name for name in FOLDERS if not (DATA / name).is_dir()]
    if missing:
        print(f"no {DATA / missing[0]}; set PIXQ_TEST_DATA to the folder of real data")
        return
    scorer = pixq.load(arguments[0] if arguments else None, viewing=ViewingConditions.of(task="flicker"))
    truths = sources()
    name = scorer.recipe.model.name
    print(f"pixq {pixq.__version__}, {scorer.run.name} ({name}) {scorer.blake3[:16]}, {len(truths)} sources")
    print(f"seen {scorer.viewing}")
    pjnds(truths, scorer)
    print()
    regions(truths, scorer)


if __name__ == "__main__":
    main(sys.argv[1:])
