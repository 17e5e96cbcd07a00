"""Everyone on everything: the default model and all rivals on the human scores of `../shared/data`, as Markdown.

    python benches/truth.py [--cache FOLDER] [--rivals NAME,NAME...]

Nobody is measured on what was fitted to: on photographs that TID2013 has, the default model is replaced by one of five
that were trained on the nine types of TID2013 in the same way, but without these photographs, and the cut that gives a
PJND is chosen on the other sources. Intervals, and the shares of resamples in which the model is better, come from a
bootstrap over photographs (over pairs, for colours, which have none). Rivals that are not installed are named and left
out.

Everybody sees images under `ViewingConditions()`: 38 pixels per degree, 200 cd/m2, 250 lux; MIDD-GAR's people had 37
pixels per degree. With --cache, scores and models are kept there, so that an interrupted run continues. About an hour
on one core. Real data: ../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

import pixq
from pixq.datasets import adapter
from pixq.distort.stimuli import CannotDraw, Target, Threshold, draw_target
from pixq.distort.stimulus_tables import read_thresholds
from pixq.evaluation.baseline import Baseline
from pixq.evaluation.baselines import BASELINES
from pixq.io.atomic import save_json
from pixq.io.images import load_pixels
from pixq.io.progress import ProgressCallback
from pixq.ladders.ground_truth import read_ground_truth
from pixq.ladders.pjnd import SourceRange, leave_one_out
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import DEFAULT
from pixq.statistics.bootstrap import Resamples, resample_groups
from pixq.statistics.paired import ResampledEstimate, better_share, correlate
from pixq.train.folds import train_folds
from pixq.viewing import ViewingConditions
from pixq.visibility import measure_visibility

Image = NDArray[np.uint8]
DATA = Path(os.environ.get("PIXQ_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
#: pixq's two answers, as the tables call them, and the sets that ask for the second.
VISIBILITY, QUALITY, OPINIONS = "visibility", "quality", ("TID2013, 9 types",)
CIEDE = "CIEDE2000"
#: Multiples of thresholds, pixels per degree, and how many targets are drawn for each of the latter.
MULTIPLES, DENSITIES, TARGETS = (2.0, 4.0, 8.0), (20.0, 30.0, 40.0, 60.0, 80.0), 80
#: Rows and columns of a patch of plain colour, and which of the pairs are measured: every third.
PLAIN, EVERY = 64, 3


@dataclass(frozen=True)
class Pair:
    """Two images that people compared.

    Parameters
    ----------
    key
        Identifies the pair in the cache.
    load
        Reads reference and distorted image.
    label
        What people said; higher is better.
    group
        The photograph: numbers of Kodak photographs are the same in all sets.
    kind
        The distortion, or the set of colours.
    """

    key: str
    load: Callable[[], tuple[Image, Image]]
    label: float
    group: str
    kind: str


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


@cache
def default_model() -> ModuleType:
    """The tool that makes the default model."""
    script = Path(__file__).resolve().parents[1] / "tools" / "default_model.py"
    spec = spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Sets.


def dataset(name: str, root: Path) -> Iterator[Pair]:
    for pair in adapter(name).index(root).pairs:
        kodak = int(pair.attributes.get("kodak") or pair.reference_id[1:])
        load = partial(loaded, root / pair.reference, root / pair.distorted)
        yield Pair(
            f"{root.name}/{Path(pair.distorted).name}", load, pair.quality, f"kodak {kodak}", pair.distortion_type
        )


def loaded(reference: Path, distorted: Path) -> tuple[Image, Image]:
    return load_pixels(reference), load_pixels(distorted)


def colours() -> Iterator[Pair]:
    for number, row in list(enumerate(rows_of(DATA / "colour_differences" / "pairs.csv")))[::EVERY]:
        pair = [[float(row[key]) for key in keys] for keys in (("r1", "g1", "b1_srgb"), ("r2", "g2", "b2_srgb"))]

        def load(pair: list[list[float]] = pair) -> tuple[Image, Image]:
            # A display shows whole numbers, which moves small differences.
            one, other = (np.clip(np.rint(colour), 0, 255).astype(np.uint8) for colour in pair)
            return np.full((PLAIN, PLAIN, 3), one), np.full((PLAIN, PLAIN, 3), other)

        yield Pair(f"colours/{number}", load, -float(row["visual_difference"]), str(number), row["set"])


# Entrants.

Score = Callable[[Pair, Image, Image], float]


class Model:
    """The default model, and in its place one that has not seen a pair's photograph, where TID2013 has it."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self._whole = pixq.load()
        self._folds, self._runs = {}, folder / f"folds-{self._whole.blake3[:16]}"
        patches = default_model().training_patches(tree, folder / "nine-types-patches")
        recipe = read_recipe(str(DEFAULT / "recipe.toml"))
        train_folds(patches, self._runs, recipe, device="cpu", resume=True, on_progress=told)
        for image in patches.images:
            self._folds[f"kodak {int(image['reference_id'][1:3])}"] = f"fold-{image['fold']}"
        self.name = self._whole.blake3[:16]

    @cache  # noqa: B019  # lives as long as the bench
    def scorer(self, group: str) -> pixq.Scorer:
        return pixq.load(self._runs / self._folds[group]) if group in self._folds else self._whole

    def score(self, pair: Pair, reference: Image, distorted: Image) -> float:
        return self.scorer(pair.group).score(reference, distorted)


def rival(metric: Baseline) -> Score:
    sign = 1 if metric.higher_is_better else -1

    def score(pair: Pair, reference: Image, distorted: Image) -> float:
        # Flat patches are smaller than MS-SSIM needs.
        return sign * metric.score(reference, distorted) if min(reference.shape[:2]) >= metric.min_size else np.nan

    return score


def told(stage: str, done: int, total: int, note: str = "") -> None:
    if done == total:
        print(f"{stage}: {done}", file=sys.stderr)


def measured(
    name: str, score: Score, pairs: Iterable[Pair], folder: Path, tell: ProgressCallback
) -> NDArray[np.float64]:
    """The scores of pairs: those in the cache, and the others computed, and kept every now and then."""
    file, known, pairs = folder / f"{name}.json", {}, list(pairs)
    with suppress(FileNotFoundError):
        known = {key: float(value) for key, value in json.loads(file.read_text("utf-8")).items()}
    for number, pair in enumerate(pairs, 1):
        if pair.key not in known:
            known[pair.key] = score(pair, *pair.load())
            if number % 50 == 0 or number == len(pairs):
                save_json(file, {key: str(value) for key, value in known.items()})
        tell(name, number, len(pairs))
    return np.array([known[pair.key] for pair in pairs])


# Tables.

Scores = Mapping[str, NDArray[np.float64]]


def cell(estimate: ResampledEstimate) -> str:
    if estimate.value is None:
        return "–"
    return f"{estimate.value:.3f}" + ("" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})")


def estimates(pairs: list[Pair], scores: Scores, resamples: Resamples) -> dict[str, ResampledEstimate]:
    label, group = [pair.label for pair in pairs], [pair.group for pair in pairs]
    return {
        name: correlate(values, label, group, resamples)
        for name, values in scores.items()
        if not np.isnan(values).any() and np.ptp(np.nan_to_num(values, posinf=1e9)) > 0
    }


def agreement_table(sets: dict[str, list[Pair]], scores: dict[str, Scores]) -> Iterator[str]:
    """SRCC of everyone per set, and in how many resamples pixq's answer to the set's question is better."""
    by_set = {}
    for title, pairs in sets.items():
        by_set[title] = estimates(pairs, scores[title], resample_groups([pair.group for pair in pairs]))
    ours = {title: QUALITY if title in OPINIONS else VISIBILITY for title in sets}
    yield "| | " + " | ".join(f"{title} | {ours[title]} better" for title in sets) + " |"
    yield "|---" * (1 + 2 * len(sets)) + "|"
    for name in scores[next(iter(sets))]:
        cells = []
        for title in sets:
            found = by_set[title]
            unlike = name in found and name != ours[title]
            share = better_share(found[ours[title]], found[name]) if unlike else None
            cells += [cell(found[name]) if name in found else "–", "" if share is None else f"{share:.0%}"]
        yield f"| {name} | " + " | ".join(cells) + " |"


def kinds_table(pairs: list[Pair], scores: Scores) -> Iterator[str]:
    """SRCC of everyone per kind, the best in bold."""
    kinds = list(dict.fromkeys(pair.kind for pair in pairs))
    once = resample_groups(["-"], 1)
    found: dict[str, dict[str, float]] = {name: {} for name in scores}
    for kind in kinds:
        rows = [number for number, pair in enumerate(pairs) if pair.kind == kind]
        part = [Pair(pairs[n].key, pairs[n].load, pairs[n].label, "-", kind) for n in rows]
        for name, estimate in estimates(part, {name: values[rows] for name, values in scores.items()}, once).items():
            if estimate.value is not None:
                found[name][kind] = estimate.value
    yield "| | " + " | ".join(kinds) + " |"
    yield "|---" * (1 + len(kinds)) + "|"
    best = {kind: max(round(values.get(kind, -1.0), 3) for values in found.values()) for kind in kinds}
    for name, values in found.items():
        texts = [f"{values[kind]:.3f}" if kind in values else "–" for kind in kinds]
        bold = [f"**{text}**" if text == f"{best[kind]:.3f}" else text for kind, text in zip(kinds, texts, strict=True)]
        yield f"| {name} | " + " | ".join(bold) + " |"


def pjnd_table(entrants: dict[str, Score], folder: Path, tell: ProgressCallback) -> Iterator[str]:
    """Levels that are predicted by the cut that the other sources choose."""
    truths = [truth for name in ("locjnd", "konjnd1k") for truth in read_ground_truth(DATA / name) if truth.range]
    yield (
        "| | in the range | distance from its middle, in halves of the range | "
        + " | ".join(f"{truth.ladder.name} {truth.range[0]:g}–{truth.range[1]:g}" for truth in truths if truth.range)
        + " |"
    )
    yield "|---" * (3 + len(truths)) + "|"
    for name, score in entrants.items():
        sources = []
        for truth in truths:
            # Some levels are the same file, byte for byte.
            first: dict[bytes, Pair] = {}
            for level in truth.ladder.levels:
                first.setdefault(
                    level.path.read_bytes(),
                    Pair(
                        f"ladders/{level.path.name}",
                        lambda path=level.path, reference=truth.ladder.reference: loaded(reference, path),
                        0.0,
                        truth.ladder.name,
                        "",
                    ),
                )
            values = dict(zip(first, measured(f"{name} PJND", score, first.values(), folder, tell), strict=True))
            quantiles = np.array([values[level.path.read_bytes()] for level in truth.ladder.levels])
            levels = np.array([level.level for level in truth.ladder.levels])
            sources.append(SourceRange(truth.ladder.name, levels, quantiles, truth.range or (0.0, 0.0)))
        found = leave_one_out(sources)
        inside = sum(source.contains(found[source.name]) for source in sources)
        distances, cells = [], []
        for source in sources:
            level, (low, high) = found[source.name].level, source.range
            cells.append(
                ("none" if level is None else f"{level:g}") + ("" if source.contains(found[source.name]) else " ✗")
            )
            # A ladder on which nothing is noticed counts as its last level.
            reached = float(source.levels[-1]) if level is None else level
            distances.append(abs(reached - (low + high) / 2) / ((high - low) / 2))
        yield f"| {name} | {inside} of {len(sources)} | {np.mean(distances):.2f} | " + " | ".join(cells) + " |"


def targets() -> Iterator[tuple[Threshold, float, Target, ViewingConditions]]:
    """Static targets at the fovea, at multiples of their published thresholds: a seeded sample of each density."""
    rows = read_thresholds(DATA / "thresholds" / "thresholds.csv")
    wanted = [(row, multiple) for row in rows for multiple in MULTIPLES]
    rng = np.random.default_rng(1)
    for ppd in DENSITIES:
        viewing, drawn = ViewingConditions(ppd, task="detection"), 0
        for number in rng.permutation(len(wanted)):
            row, multiple = wanted[number]
            try:
                target = draw_target(row, multiple, viewing)
            except CannotDraw:
                continue
            yield row, multiple, target, viewing
            drawn += 1
            if drawn == TARGETS:
                break


def threshold_table() -> Iterator[str]:
    """The share of targets that have as many JND as their multiple of the threshold, within a factor of 2."""
    met: dict[tuple[str, float], list[bool]] = {}
    for row, multiple, target, viewing in targets():
        ratio = measure_visibility(target.reference, target.distorted, viewing).jnd / multiple
        met.setdefault((row.stimulus, viewing.pixels_per_degree), []).append(0.5 < ratio < 2.0)
    stimuli = sorted({stimulus for stimulus, _ in met})
    yield "| pixels per degree | " + " | ".join(stimuli) + " | all |"
    yield "|---" * (2 + len(stimuli)) + "|"
    for title, densities in [*((f"{ppd:g}", (ppd,)) for ppd in DENSITIES), ("all", DENSITIES)]:
        of = [[hit for ppd in densities for hit in met.get((stimulus, ppd), [])] for stimulus in stimuli]
        of.append([hit for hits in of for hit in hits])
        cells = [f"{np.mean(hits):.2f} of {len(hits)}" if hits else "–" for hits in of]
        yield f"| {title} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--rivals", default=",".join(BASELINES))
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no {DATA}; set PIXQ_TEST_DATA to the folder of real data")
    with tempfile.TemporaryDirectory() as scratch:
        report(options.cache or Path(scratch), options.rivals.split(","))


def report(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entrants: dict[str, Score] = {}
    missing = []
    for metric in (BASELINES[name] for name in names):
        try:
            metric.check_available()
            entrants[metric.title] = rival(metric)
        except pixq.PixqError as error:
            missing.append(f"{metric.title} is missing: {error}.")
    # Its name is in the keys of the cache.
    tree = folder / "tid2013"
    if not tree.exists():
        default_model().join_tid2013(DATA / "tid2013", DATA / "tid2013_more", tree)
    model = Model(folder, tree)
    ordered: dict[str, Score] = {QUALITY: model.score, **entrants}
    sets = {
        "MIDD-GAR": list(dataset("midd-gar", DATA / "midd_gar")),
        "LIVE": list(dataset("live", DATA / "live")),
        "TID2013, 9 types": list(dataset("tid2013", tree)),
    }
    plain = list(colours())

    def all_scores(pairs: list[Pair]) -> dict[str, NDArray[np.float64]]:
        return {
            name: measured(f"{name} {model.name}" if name == QUALITY else name, score, pairs, folder, told)
            for name, score in ordered.items()
        }

    scores = {title: all_scores(pairs) for title, pairs in sets.items()}
    of_colours = all_scores(plain)
    rows = rows_of(DATA / "colour_differences" / "pairs.csv")[::EVERY]
    labs = [
        np.array([[float(row[key]) for key in keys] for row in rows])
        for keys in (("L1", "a1", "b1"), ("L2", "a2", "b2"))
    ]
    of_colours[CIEDE] = -deltaE_ciede2000(*labs)
    print(
        f"pixq {pixq.__version__}, default model {model.name}. SRCC, with 95 % intervals over photographs; beside each"
    )
    print(
        "the share of resamples in which pixq is better: its visibility, or its quality where people gave opinions.\n"
    )
    print("\n".join(agreement_table(sets, scores)))
    print("\n## TID2013 by type, SRCC\n")
    print("\n".join(kinds_table(sets["TID2013, 9 types"], scores["TID2013, 9 types"])))
    print("\n## PJND, levels; ✗ is outside the range that people gave\n")
    print("\n".join(pjnd_table(entrants, folder, told)))
    print(f"\n## Plain colours, {PLAIN}x{PLAIN} pixels of 8 bits, SRCC with the visual difference, every third pair\n")
    print("\n".join(kinds_table(plain, of_colours)))
    print("\n## Thresholds: share of targets whose JND under `detection` is within a factor of 2 of their multiple\n")
    print("\n".join(threshold_table()))
    for line in missing:
        print(f"\n{line}")


if __name__ == "__main__":
    main()
