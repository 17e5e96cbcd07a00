"""How well recipes agree with people on TID2013, beside common metrics.

    python benches/quality.py [seed] [strong] [left-out] [metrics] [--seeds N]

Five folds of two references each: every image is scored by a model that saw neither its photo nor, for early stopping,
any of its scores. `left-out` trains `strong` without one type of distortion at a time, in 30 runs. All numbers are SRCC
of image scores and MOS. Real data: ../shared/data, or PIXQ_TEST_DATA. On two cores, seed takes about ten minutes,
strong five, and left-out half an hour.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from end_to_end import TID
from pixq import BuildSettings, PatchSet, build
from pixq.evaluation.baselines import BASELINES, baseline_scores, oriented
from pixq.runs.recipe import read_recipe
from pixq.train.folds import train_folds
from pixq.train.metrics import srcc

#: The seed recipe draws patches at random, this many per image and epoch; with all 475 it would take an hour.
SEED = ("train.patches=60", "train.validation_patches=60")


def row(name: str, pooled: float, by_kind: list[float], note: str = "") -> str:
    return f"{name:10} {pooled:7.4f}  " + "  ".join(f"{value:6.3f}" for value in by_kind) + f"  {note}"


def main() -> None:
    arguments = sys.argv[1:]
    seeds = int(arguments[arguments.index("--seeds") + 1]) if "--seeds" in arguments else 1
    parts = {"seed", "strong", "left-out", "metrics"}
    chosen = parts & set(arguments) or parts
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        settings = BuildSettings(ratio=(0.8, 0.2, 0.0))
        patches = PatchSet(build("tid2013", TID, scratch / "patches", settings=settings).out)
        images = patches.images
        mos = np.array([image["MOS"] for image in images])
        kind = np.array([image["distortion_type"] for image in images])
        kinds = sorted(set(kind.tolist()))
        print(f"TID2013: {len(images)} images, {len({image['reference_id'] for image in images})} references")
        print(f"{'':10} {'pooled':>7}  " + "  ".join(f"{name.split()[0]:>6}" for name in kinds))
        if "metrics" in chosen:
            started = time.perf_counter()
            scores = baseline_scores(patches, TID)
            for name, values in oriented(scores).items():
                by_kind = [srcc(values[kind == each], mos[kind == each]) for each in kinds]
                print(row(BASELINES[name].title, srcc(values, mos), by_kind), flush=True)
            print(f"metrics took {time.perf_counter() - started:.0f} s")
        for name in ("seed", "strong"):
            for seed in range(seeds if name in chosen else 0):
                recipe = read_recipe(name, [f"train.seed={seed}", *(SEED if name == "seed" else ())])
                started = time.perf_counter()
                out = scratch / f"{name}-{seed}"
                train_folds(patches, out, recipe, device="cpu")
                predicted = read(out, images)
                by_kind = [srcc(predicted[kind == each], mos[kind == each]) for each in kinds]
                note = f"seed {seed}, {time.perf_counter() - started:.0f} s   target {0.88 if name == 'seed' else 0.94}"
                print(row(name, srcc(predicted, mos), by_kind, note), flush=True)
        if "left-out" in chosen:
            started = time.perf_counter()
            summary = train_folds(
                patches, scratch / "left-out", read_recipe("strong"), leave_out="distortion", device="cpu"
            )
            print("strong, one type left out: SRCC over all held-out images, and over the type left out")
            for each, found in summary["by_distortion"].items():
                print(f"  {found['all']:.3f}  {found['left_out']:.3f}  {each}")
            mean = summary["mean"]
            print(f"  {mean['all']:.3f}  {mean['left_out']:.3f}  mean   targets 0.88, 0.80")
            print(f"  {time.perf_counter() - started:.0f} s")


def read(out: Path, images: tuple[dict[str, object], ...]) -> np.ndarray:
    """Read the predicted scores in the order of `images`."""
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    found = {line["image_id"]: line["predicted"] for line in lines}
    return np.array([found[image["image_id"]] for image in images])


if __name__ == "__main__":
    main()
