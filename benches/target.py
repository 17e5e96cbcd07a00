"""From TID2013 to lost pixels: how much calibration and adaptation help, beside simpler methods.

    python benches/target.py [OUT]

A model is trained on TID2013 and evaluated on triplets that `pixq distort --interpolation` makes from the photos of
CID22; their labels are synthetic: no person gave them. Every variant is calibrated on the validation split and measured
on the test split, whose photos are in no other split. With OUT, the runs stay there, for `pixq report`. It takes about
twenty minutes on two cores. Real data: ../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from end_to_end import DATA, TID
from pixq import BuildSettings, Fusion, PatchSet, build
from pixq.datasets import adapter
from pixq.decisions.calibration_file import add_calibration
from pixq.distort.interpolation import write_triplets
from pixq.distort.references import read_references
from pixq.evaluation.calibrate import CalibrateSettings, calibrate
from pixq.evaluation.evaluate import EvaluateSettings, evaluate
from pixq.evaluation.evaluation_file import EvaluationFile, Method, write_evaluation
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import DEFAULT
from pixq.train import loop
from pixq.train.adapt import adapt
from pixq.train.init_from_run import InitialRun, finetuning_recipe
from pixq.train.partition import by_split

#: The seed recipe draws patches at random, this many per image and epoch; with all 475 it would take an hour.
SEED = ("train.patches=60", "train.validation_patches=60")
SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "srcc")


def row(title: str, method: Method, against: str = "") -> str:
    cells = []
    for name in SHOWN:
        found = method.patches.estimates[name]
        cells.append("-" if found.value is None else f"{found.value:.3f} ({found.low:.3f}..{found.high:.3f})")
    return f"{title:34}" + "".join(f"{cell:>23}" for cell in cells) + against


def against(found: EvaluationFile, rival: str) -> str:
    for each in found.against:
        if (each.name, each.metric) == (rival, "balanced_accuracy") and each.value is not None:
            return f"   {each.value:+.3f} ({each.low:+.3f}..{each.high:+.3f})"
    return ""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        out.mkdir(parents=True, exist_ok=True)
        write_triplets(read_references([DATA / "cid22"]), out / "triplets", count=150)
        settings = BuildSettings.for_adapter(adapter("triplets"), ratio=(0.5, 0.25, 0.25))
        target = PatchSet(build("triplets", out / "triplets", out / "target", settings=settings).out)
        fusions = {"none": (Fusion("none"),), "none and paste": (Fusion("none"), Fusion("paste"))}
        runs: dict[str, Path] = {}

        def train(name: str, patches: PatchSet, recipe: str = "seed", start: InitialRun | None = None) -> None:
            overrides = SEED if recipe == "seed" and patches is not target else ()
            chosen = read_recipe(recipe, overrides) if start is None else finetuning_recipe(start.directory)
            runs[name] = out / f"run-{len(runs):02}"
            loop.train(by_split(patches), runs[name], chosen, device="cpu", resume=True, start=start)

        def make(name: str, how: Callable[[Path], object]) -> None:
            runs[name] = out / f"run-{len(runs):02}"
            if not (runs[name] / "run.json").exists():
                how(runs[name])

        for kind, chosen in fusions.items():
            built = BuildSettings(fusions=chosen, label="energy", ratio=(0.8, 0.2, 0.0))
            patches = PatchSet(build("tid2013", TID, out / f"tid-{len(chosen)}", settings=built).out)
            for recipe in ("seed", "strong"):
                train(f"{recipe} on TID2013, {kind}", patches, recipe)
        make("default model: visibility", lambda to: shutil.copytree(DEFAULT, to))
        train("default model, net fine-tuned", target, start=InitialRun.of(runs["default model: visibility"]))
        source = runs["seed on TID2013, none"]
        strong = runs["strong on TID2013, none"]
        make("seed, adapt norm", lambda to: adapt(source, target, "norm", to))
        make("seed, adapt coral", lambda to: adapt(source, target, "coral", to))
        make("strong, adapt norm", lambda to: adapt(strong, target, "norm", to))
        train("seed, head fine-tuned", target, start=InitialRun.of(source, "head"))
        train("seed, net fine-tuned", target, start=InitialRun.of(source))
        train("seed, adapt norm, net fine-tuned", target, start=InitialRun.of(runs["seed, adapt norm"]))
        train("tiny on the target alone", target)
        print(f"{len(target.select(split='test')):,} patches of the test split; 95 % intervals over groups")
        print(f"{'':34}" + "".join(f"{name.replace('_', ' '):>23}" for name in SHOWN) + "   minus boosted trees")
        for number, (name, run) in enumerate(runs.items()):
            add_calibration(run, calibrate(run, target, CalibrateSettings()))
            rivals = EvaluateSettings().rivals if number == 0 else ("boosting",)
            found = evaluate(run, target, EvaluateSettings(rivals=rivals))
            write_evaluation(run, found)
            if number == 0:
                for method in found.methods[1:]:
                    print(row(method.title, method))
            print(row(name, found.model, against(found, "boosting")), flush=True)


if __name__ == "__main__":
    main()
