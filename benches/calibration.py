"""Speed of calibration: the exact search for cuts against the notebooks' grid, and the bootstrap of every metric.

    python benches/calibration.py [cuts] [bootstrap]

Everything is timed in this run, interleaved if compared, and the best of several runs counts. Look at the ratios.
"""

from __future__ import annotations

import os
import platform
import sys
import time

import numpy as np

import pixq
from end_to_end import best
from pixq.classes import classify
from pixq.decisions.conformal import divide_groups, fit_sets
from pixq.decisions.curves import fit_mapping
from pixq.decisions.cuts import OBJECTIVES, Objective, bootstrap_cuts, find_cuts
from pixq.statistics.bootstrap import resample_groups
from pixq.statistics.metrics import Answers, measure

SCORES = 1_000_000
PATCHES = 100_000
GROUPS = 120
RESAMPLES = 1000
STEP = 0.002
#: Number of pairs of the notebooks' grid that are timed; the rest is extrapolated.
SAMPLE = 20
ROUNDS = 3


def world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 0 to 1, qualities, classes and groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n)
    quality = np.clip(rng.random(n) + 0.1 * rng.normal(size=GROUPS)[group], 0, 1)
    score = np.clip(quality + rng.normal(0, 0.2, n) + 0.05 * rng.normal(size=GROUPS)[group], 0, 1)
    return score, quality, classify(quality), group


def balanced_accuracy(score: np.ndarray, truth: np.ndarray, orange: float, green: float) -> float:
    """Compute balanced accuracy as the notebooks do, for one pair of their grid."""
    answer = np.where(score >= green, 2, np.where(score >= orange, 1, 0))
    return float(np.mean([np.mean(answer[truth == each] == each) for each in range(3)]))


def histogram_grid(score: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Search the same grid fairly: count the classes below each step once, and derive all pairs from that."""
    steps = np.arange(0.0, 1.0 + STEP / 2, STEP)
    below = np.stack([np.searchsorted(np.sort(score[truth == each]), steps) for each in range(3)])
    share = below / np.bincount(truth, minlength=3)[:, None]
    value = ((share[0] - share[1])[:, None] + (share[1] - share[2])[None, :] + 1.0) / 3
    value[np.tril_indices(len(steps), -1)] = -1.0
    orange, green = np.unravel_index(value.argmax(), value.shape)
    return float(steps[orange]), float(steps[green]), float(value.max())


def cuts() -> None:
    score, _, truth, _ = world(SCORES)
    exact, grid = find_cuts(score, truth), histogram_grid(score, truth)
    steps = round(1 / STEP) + 1
    pairs = steps * (steps + 1) // 2
    some = np.sort(np.random.default_rng(0).choice(np.arange(0.0, 1.0 + STEP / 2, STEP), (SAMPLE, 2)), axis=1)
    work = {
        "pixq": lambda: find_cuts(score, truth),
        "grid": lambda: [balanced_accuracy(score, truth, *pair) for pair in some],
        "histograms": lambda: histogram_grid(score, truth),
    }
    seconds = best(work, ROUNDS)
    whole = seconds["grid"] / SAMPLE * pairs
    print(f"cuts for balanced accuracy over {SCORES:,} scores")
    print(f"  pixq, exact              {seconds['pixq']:10.3f} s   target under 1")
    print(
        f"  notebooks' grid          {whole:10,.0f} s   extrapolated: {SAMPLE} of {pairs:,} pairs (step {STEP}) timed"
    )
    print(f"  grid by sorted classes   {seconds['histograms']:10.3f} s   the same pairs, each from counts")
    print(f"  ratio to the notebooks' grid {whole / seconds['pixq']:,.0f}   target 100")
    print(f"  ratio to the grid by sorted classes {seconds['histograms'] / seconds['pixq']:.1f}")
    print(f"  balanced accuracy: exact {exact.value:.9f}, grid {grid[2]:.9f}, gained {exact.value - grid[2]:.1e}")
    if exact.value < grid[2] - 1e-12:
        raise SystemExit("the grid found better cuts than the exact search")
    for name in OBJECTIVES:
        objective = Objective(name, ((0, 1, 4), (1, 0, 1), (3, 1, 0)) if name == "cost" else None)
        for what, noise in (("as above", 0.0), ("random scores", 1.0)):
            scores = np.random.default_rng(1).random(SCORES) if noise else score
            taken = best({name: lambda scores=scores: find_cuts(scores, truth, objective)}, ROUNDS)  # type: ignore[misc]  # noqa: B023
            print(f"  {name:18} {what:14} {taken[name]:6.3f} s")


def bootstrap() -> None:
    score, quality, truth, group = world(PATCHES)
    fitting = divide_groups(group)
    mapping = fit_mapping(score[fitting], quality[fitting], truth[fitting])
    probability = mapping.probabilities(score)
    sets = fit_sets(probability[~fitting], truth[~fitting], 0.9)
    answer = classify(score, find_cuts(score, truth).pair)
    answers = Answers(truth, answer, quality, score, group, mapping.quality(score), probability, sets.of(probability))
    resamples = resample_groups(group, RESAMPLES)
    started = time.perf_counter()
    measured = measure(answers, resamples)
    taken = time.perf_counter() - started
    print(f"{RESAMPLES:,} resamples of {len(measured.estimates)} metrics, {PATCHES:,} patches in {GROUPS} groups")
    print(f"  pixq, one thread {taken:7.2f} s   target 30")
    for name, each in measured.estimates.items():
        print(f"    {name:18} {each.value:.4f}  [{each.low:.4f}, {each.high:.4f}]")
    for name in ("balanced_accuracy", "macro_f1"):
        started = time.perf_counter()
        bootstrap_cuts(score, truth, group, resamples, Objective(name))
        print(f"  cuts of each resample, {name}: {time.perf_counter() - started:.2f} s")


def main() -> None:
    chosen = sys.argv[1:] or ["cuts", "bootstrap"]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, pixq {pixq.__version__}"
    )
    for name, part in (("cuts", cuts), ("bootstrap", bootstrap)):
        if name in chosen:
            part()


if __name__ == "__main__":
    main()
