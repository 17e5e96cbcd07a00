"""The constants of `pixq.visibility` that say what 1 JND is, fitted again to the data that they were fitted to.

    python benches/visibility.py

- Side by side and the slope of P(notice): the likelihood of the numbers of people who said "different" (MIDD-GAR), on
  all photographs, and on all but one to predict that one.
- What ranks the images of MIDD-GAR, chosen by LIVE alone: pooling, structure and colour.
- Flicker: the cut that puts most PJNDs into people's ranges (KonJND-1k, LocJND), and that of each without the others.
- Detection: the unit at which most targets, drawn at multiples of published thresholds, have that many JND.
- What no table of people covers: even changes, and small ones. Blocks are put at random places of photographs, seeded.

Real data: ../shared/data, or PIXQ_TEST_DATA. About a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import spearmanr

from pixq import visibility
from pixq._core import visible_differences
from pixq.io.images import load_pixels
from pixq.ladders.ground_truth import read_ground_truth
from pixq.ladders.pjnd import SourceRange, choose_green_cut, leave_one_out
from pixq.viewing import ViewingConditions
from pixq.visibility import NOTICED, PATCH, SENSITIVITY, measure_visibility, notice_probability
from truth import DATA, DENSITIES, MULTIPLES, TARGETS, dataset, loaded, rows_of, targets

Floats = NDArray[np.float64]

#: Blocks: side in pixels, grey levels, and how many are put into each photograph.
BLOCK, STRENGTHS, PLACES = 12, (20, 40, 60), 20
#: Pixels of a photograph that are looked at around a block.
AROUND = 60


def thresholds_of(reference: NDArray[np.uint8], distorted: NDArray[np.uint8], viewing: ViewingConditions) -> float:
    """How many times the threshold of detection a difference has, in the unit that the constants divide."""
    return measure_visibility(reference, distorted, viewing).jnd * SENSITIVITY[viewing.task]


def share_who_notice(thresholds: Floats, unit: float, slope: float) -> Floats:
    odds = (thresholds / unit) ** slope
    return np.asarray(odds / (1.0 + odds))


def fit(thresholds: Floats, different: Floats, people: Floats) -> tuple[float, float]:
    """Unit and slope of the largest likelihood."""

    def loss(logs: Floats) -> float:
        share = np.clip(share_who_notice(thresholds, *np.exp(logs)), 1e-3, 1.0 - 1e-3)
        return -float(np.sum(different * np.log(share) + (people - different) * np.log(1.0 - share)))

    unit, slope = np.exp(minimize(loss, [np.log(np.median(thresholds)), np.log(3.0)], method="Nelder-Mead").x)
    return float(unit), float(slope)


def side_by_side() -> Iterator[str]:
    viewing = ViewingConditions()
    pairs = list(dataset("midd-gar", DATA / "midd_gar"))
    counts = {row["image"]: row for row in rows_of(DATA / "midd_gar" / "labels.csv")}
    rows = [counts[pair.key.rpartition("/")[2]] for pair in pairs]
    different, people = (np.array([float(row[key]) for row in rows]) for key in ("n_different", "n_raters"))
    photograph = np.array([pair.group for pair in pairs])
    thresholds = np.array([thresholds_of(*pair.load(), viewing) for pair in pairs])
    unit, slope = fit(thresholds, different, people)
    predicted = np.empty(len(pairs))
    for name in np.unique(photograph):
        other = photograph != name
        predicted[~other] = share_who_notice(
            thresholds[~other], *fit(thresholds[other], different[other], people[other])
        )
    said = different / people
    yield f"side by side: 1 JND is {unit:.2f} thresholds, the slope is {slope:.2f}"
    constants = notice_probability(thresholds / SENSITIVITY["side-by-side"])
    for title, share in (("of each photograph by the others", predicted), ("by the constants", constants)):
        groups = np.array_split(np.argsort(share, kind="stable"), 5)
        error = sum(abs(share[group].mean() - said[group].mean()) * len(group) for group in groups) / len(share)
        rmse = np.sqrt(np.mean((share - said) ** 2))
        yield f"  P(notice) {title}: RMSE {rmse:.3f}, calibration error in five groups {error:.3f}"


def without_midd() -> Iterator[str]:
    """Pooling, structure and colour, chosen by LIVE alone, and what they are worth on MIDD-GAR."""
    viewing = ViewingConditions()

    def measured(name: str, folder: str) -> tuple[list[tuple[list[NDArray[np.float32]], Floats]], list[float]]:
        pairs = list(dataset(name, DATA / folder))
        found = []
        for pair in pairs:
            images = [np.ascontiguousarray(image) for image in pair.load()]
            sides = [np.minimum(side - np.arange(0, side, PATCH), PATCH) for side in images[0].shape[:2]]
            part = visible_differences(
                *images,
                size=PATCH,
                pixels_per_degree=viewing.pixels_per_degree,
                peak_luminance=viewing.peak_luminance,
                black_luminance=viewing.black_luminance,
            )
            found.append((part, np.multiply.outer(*sides) / viewing.pixels_per_degree**2))
        return found, [pair.label for pair in pairs]

    sets = [measured("live", "live"), measured("midd-gar", "midd_gar")]
    rows = []
    kept = visibility._COLOUR, visibility._STRUCTURE, visibility._STRUCTURE_BOUND
    for pooling, *constants in product((2, 3, 4, 5, 6), (0.25, 0.5, 1.0), (10, 20, 40), np.log([2.0, 3.0, 4.0])):
        visibility._COLOUR, visibility._STRUCTURE, visibility._STRUCTURE_BOUND = constants
        ranks = []
        for found, labels in sets:
            pooled = [float((visibility._local(part, area) ** pooling * area).sum()) for part, area in found]
            ranks.append(abs(float(spearmanr(np.array(pooled) ** (1 / pooling), labels)[0])))
        rows.append(ranks)
    visibility._COLOUR, visibility._STRUCTURE, visibility._STRUCTURE_BOUND = kept
    rows.sort(reverse=True)
    near = [midd for live, midd in rows if live > rows[0][0] - 0.003]
    yield (
        f"pooling, structure and colour chosen by LIVE alone (SRCC {rows[0][0]:.3f}): MIDD-GAR {rows[0][1]:.3f}; "
        f"{min(near):.3f} to {max(near):.3f} by the {len(near)} of {len(rows)} choices within .003 of the best on LIVE"
    )


def flicker() -> Iterator[str]:
    viewing = ViewingConditions(task="flicker")
    sources = []
    for truth in (truth for name in ("locjnd", "konjnd1k") for truth in read_ground_truth(DATA / name)):
        if truth.range is None:
            continue
        # Some levels are the same file, byte for byte.
        known: dict[bytes, float] = {}
        for level in truth.ladder.levels:
            data = level.path.read_bytes()
            if data not in known:
                known[data] = thresholds_of(*loaded(truth.ladder.reference, level.path), viewing)
        values = np.array([known[level.path.read_bytes()] for level in truth.ladder.levels])
        levels = np.array([level.level for level in truth.ladder.levels])
        sources.append(SourceRange(truth.ladder.name, levels, -values, truth.range))
    cut = choose_green_cut(sources)
    assert cut.low is not None
    assert cut.high is not None
    predicted = leave_one_out(sources)
    inside = sum(source.contains(predicted[source.name]) for source in sources)
    yield (
        f"flicker: 1 JND is {-cut.value:.2f} thresholds ({-cut.high:.2f} to {-cut.low:.2f}); each source by the "
        f"others: {inside} of {len(sources)} inside people's ranges"
    )


def detection() -> Iterator[str]:
    ratio = np.array(
        [
            thresholds_of(target.reference, target.distorted, viewing) / multiple
            for _, multiple, target, viewing in targets()
        ]
    )
    units = np.geomspace(0.2, 2.0, 200)
    met = np.array([np.mean((ratio / unit > 0.5) & (ratio / unit < 2.0)) for unit in units])
    best = units[met == met.max()]
    yield (
        f"detection: 1 JND is {np.median(best):.2f} thresholds: {met.max():.0%} of {len(ratio)} targets at "
        f"{', '.join(f'{multiple:g}' for multiple in MULTIPLES)} thresholds, {TARGETS} at each of "
        f"{', '.join(f'{ppd:g}' for ppd in DENSITIES)} pixels per degree, within a factor of 2"
    )


def even_changes() -> Iterator[str]:
    viewing = ViewingConditions(task="flicker")
    least = 1.0
    for grey in (30, 64, 100, 128, 160, 200, 240):
        for change in (-3, 3):
            reference = np.full((384, 512, 3), grey, np.uint8)
            distorted = (reference.astype(np.int64) + change).astype(np.uint8)
            least = min(least, measure_visibility(reference, distorted, viewing).p_notice)
    yield f"even changes by 3 grey levels, flicker: noticed by {least:.0%} or more; Green is up to {NOTICED[0]:.0%}"


def blocks() -> Iterator[str]:
    photographs = [load_pixels(path) for path in sorted((DATA / "tid2013" / "reference_images").iterdir())]
    yield f"blocks of {BLOCK}x{BLOCK} pixels, lighter or darker, at {PLACES} places of {len(photographs)} photographs:"
    for task in ("flicker", "side-by-side", "detection"):
        viewing, cells = ViewingConditions(task=task), []
        for strength in STRENGTHS:
            rng = np.random.default_rng(0)
            noticed = []
            for photograph in photographs:
                for _ in range(PLACES):
                    y, x = (int(rng.integers(AROUND, side - AROUND - BLOCK)) for side in photograph.shape[:2])
                    part = photograph[y - AROUND : y + AROUND + BLOCK, x - AROUND : x + AROUND + BLOCK]
                    changed, place = part.copy(), (slice(AROUND, AROUND + BLOCK),) * 2
                    sign = 1 if part[place].mean() < 128 else -1
                    changed[place] = np.clip(part[place].astype(np.int64) + sign * strength, 0, 255)
                    noticed.append(measure_visibility(part, changed, viewing).p_notice > NOTICED[0])
            cells.append(f"{strength} levels {np.mean(noticed):.0%}")
        yield f"  not Green, {task}: {', '.join(cells)}"


def main() -> None:
    for part in (side_by_side, without_midd, flicker, detection, even_changes, blocks):
        for line in part():
            print(line, flush=True)


if __name__ == "__main__":
    main()
