"""`pixq predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pixq.cli.progress import staged
from pixq.errors import PixqError, printable

if TYPE_CHECKING:
    from pixq.predict.predict import Report, Result
    from pixq.scoring.scorer import Scorer

__all__ = ["predict"]


def predict(
    *paths: Annotated[Path, Parameter(name="paths", negative="")],
    map: Path | None = None,
    heat: Path | None = None,
    side: Path | None = None,
    values: Path | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    stride: int = 10,
    calibration: str | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    engine: Literal["auto", "core", "onnx", "torch"] = "auto",
    memory: int = 2048,
    threads: int | None = None,
) -> int:
    """Say where, and how visibly, a distorted image differs from its reference.

    Give two images, a reference and a folder of distorted images, or two folders whose files are named alike; before
    them, a run, or none for the model that comes with pixq. Of folders, every output is a folder, and --csv a file.

    Parameters
    ----------
    paths
        [RUN] REFERENCE DISTORTED.
    map
        Picture of the classes over the distorted image (PNG).
    heat
        Picture of quality as a heat map (PNG).
    side
        Picture of both images beside the map (PNG).
    values
        Quality by pixel: .npy (float32), or .tif (16 bit); .npy in a folder.
    json
        Everything, as JSON. Of folders, pairs that are done are not computed again.
    csv
        A line a patch; of folders, a line a pair.
    stride
        Pixels between neighbouring patches.
    calibration
        Name of the calibration that sets Red, Orange and Green; the run's only one by default.
    safe_colors
        Pictures in colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    engine
        What computes: core, onnx, torch; auto takes the first of them that can.
    memory
        MiB for pixels at a time; pairs that need more are decoded into temporary files.
    threads
        How many; all cores by default.
    """
    from pixq._core import set_num_threads
    from pixq.predict.outputs import NO_CALIBRATION, Outputs
    from pixq.predict.predict import predict as compare
    from pixq.scoring.scorer import load

    run, reference, distorted = _split(paths)
    for name, number in (("memory", memory), ("threads", threads)):
        if number is not None and number < 1:
            raise PixqError(f"--{name} is {number}; give at least 1")
    if threads is not None:
        set_num_threads(threads)
    scorer = load(run, device, calibration=calibration, engine=engine)
    if threads is not None and scorer.engine.name.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    outputs = Outputs(map, heat, side, values, json, csv, safe_colors)

    def note(line: str) -> None:
        print(f"pixq: {printable(line)}", file=sys.stderr)

    with staged() as watch:
        found = compare(scorer, reference, distorted, outputs, stride=stride, memory=memory, watch=watch, note=note)
    for path in found.matched.alone:
        note(f"{path}: has no partner of the same name; it was not compared")
    if found.results[0].calibration is None:
        note(f"warning: {NO_CALIBRATION}")
    _table(found, scorer)
    return 1 if found.failed or found.matched.alone else 0


def _split(paths: tuple[Path, ...]) -> tuple[Path | None, Path, Path]:
    if len(paths) not in (2, 3):
        raise PixqError(
            "give two paths, REFERENCE DISTORTED, or three, RUN REFERENCE DISTORTED (for a name like -a.png: ./-a.png)"
        )
    if len(paths) == 3:
        return paths[0], paths[1], paths[2]
    if (paths[0] / "run.json").exists():
        raise PixqError(f"{paths[0]}: is a run; give two images after it: RUN REFERENCE DISTORTED")
    return None, paths[0], paths[1]


def _table(found: Report, scorer: Scorer) -> None:
    from pixq.classes import CLASSES
    from pixq.scoring.quality_map import WORST

    by = found.results[0].calibration
    classes = "no calibration" if by is None else f"calibration {by}"
    print(f"{printable(scorer.run.name)}: {scorer.recipe.model.name} ({scorer.engine.name}), {classes}")
    names = [printable(each.pair.name) if found.matched.folder else "" for each in found.results]
    width = max(map(len, names))
    columns = ["quality", f"worst {WORST:g}%", *(each.name for each in reversed(CLASSES)), "unsure", "identical"]
    print(" " * width + "".join(f"{name:>11}" for name in columns))
    for name, each in zip(names, found.results, strict=True):
        print(name.ljust(width) + "".join(f"{cell:>11}" for cell in _cells(each)))
    if found.matched.folder:
        counts = {
            "done before": sum(each.before for each in found.results),
            "could not be compared": len(found.failed),
            "images without a partner": len(found.matched.alone),
            "files that are no images": found.matched.other,
        }
        parts = [f"{what}: {count}" for what, count in counts.items() if count]
        print("; ".join([f"{len(found.results)} pairs", *parts]))


def _cells(each: Result) -> list[str]:
    from pixq.classes import CLASSES

    verdict = each.verdict
    shares = [f"{verdict.shares[own.name]:.1%}" for own in reversed(CLASSES)]
    unsure = "-" if verdict.unsure is None else f"{verdict.unsure:.1%}"
    return [f"{verdict.quality:.3f}", f"{verdict.worst:.3f}", *shares, unsure, f"{verdict.identical:.1%}"]
