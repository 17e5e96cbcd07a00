"""Makes `python/pixq/default`, the model that `pixq predict` uses unless it is given a run.

    python tools/default_model.py TID2013 LADDERS...

TID2013 is a tree of that dataset, or of a part of it; LADDERS are folders with a ground_truth.json, images with all
their levels, and the range in which people notice them. The model is trained on the first alone, and its cuts are
chosen on the others. On a CPU, the same data give the same weights. The numbers of MODEL_CARD.md are those that
`benches/ladders.py` prints; write them down there when they change. Some ten minutes on two cores.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from pixq import BuildSettings, Fusion, PatchSet, build
from pixq.decisions.pjnd_cuts import PJND, write_cuts
from pixq.io.atomic import save_json
from pixq.ladders.fit_green_cut import fit_green_cut
from pixq.runs.directory import RUN
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import load
from pixq.train import loop
from pixq.train.partition import by_split

OUT = Path(__file__).resolve().parents[1] / "python" / "pixq" / "default"

#: What is needed to use the run and to repeat it; the rest of a run's files are of its training.
KEPT = ("recipe.toml", "model.safetensors")

#: Whole patches, and patches that differ in their RoI alone, as local changes do.
FUSIONS = (Fusion("none"), Fusion("paste"))

#: The types of which a part looks as the whole does. A part that is brighter, or has less contrast or colour, has edges
#: that the whole has not: what people said of the whole does not hold for it, so such patches are taken whole alone.
LOCAL = ("07 quantization noise", "08 Gaussian blur", "10 JPEG compression")


def train(tid2013: Path) -> None:
    """Train on `tid2013`, in a directory of its own: run.json has no path of this machine."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            settings = BuildSettings(fusions=FUSIONS, label="energy", ratio=(0.8, 0.2, 0.0))
            patches = PatchSet(build("tid2013", tid2013, Path("tid2013"), settings=settings).out)
            types = np.array([image["distortion_type"] for image in patches.images])[patches.records.image]
            whole = patches.records.fusion == FUSIONS.index(Fusion("none"))
            kept = patches[np.flatnonzero(whole | np.isin(types, LOCAL))]
            loop.train(by_split(kept), Path("run"), read_recipe("strong", ()), device="cpu")
            OUT.mkdir(exist_ok=True)
            # Cuts of other weights.
            (OUT / PJND).unlink(missing_ok=True)
            for name in KEPT:
                shutil.copyfile(Path("run", name), OUT / name)
            info = json.loads(Path("run", RUN).read_text("utf-8"))
        finally:
            os.chdir(before)
    # Of one machine, and other each time.
    info.update(hardware={}, timings={}, files={name: info["files"][name] for name in KEPT})
    save_json(OUT / RUN, info)


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit("usage: python tools/default_model.py TID2013 LADDERS...")
    tid2013, *ladders = (Path(each).resolve() for each in sys.argv[1:])
    train(tid2013)
    cuts = fit_green_cut(load(OUT), ladders)
    write_cuts(OUT, cuts)
    print(f"Green from {cuts.green:.4f}; {cuts.within:.0%} of {len(cuts.sources)} sources within their ranges")


if __name__ == "__main__":
    main()
