"""`pixq predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq._core import set_num_threads
from pixq.classes import CLASSES
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AT_A_DESK, ON_BACKGROUNDS, PairOptions, ViewingOptions
from pixq.cli.progress import progress_bar
from pixq.errors import PixqError, printable
from pixq.io.paths import original_of
from pixq.predict.outputs import NO_CALIBRATION, Outputs
from pixq.predict.predict import predict as compare
from pixq.scoring.engine import EngineName
from pixq.scoring.quality_map import WORST
from pixq.scoring.scorer import load

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
    jnd: Path | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    stride: Annotated[int, number_in(ranges.STRIDE)] = 10,
    calibration: str | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    engine: EngineName = "auto",
    memory: Annotated[int, number_in(ranges.MEMORY)] = 2048,
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    viewing: ViewingOptions = AT_A_DESK,
    images: PairOptions = ON_BACKGROUNDS,
) -> int:
    """Say how many people would notice the difference of an image from its reference, and where.

    Visibility is in JND: 0 for identical images, 1 where half of the people notice. It depends on how they look at the
    images. Quality is another answer, what people would rate: a change that everybody sees need not be bad.

    Give two images, a reference and a folder of distorted images, or two folders whose files have the same names. Put
    a run first to use its model instead of the one that comes with pixq. For folders, every output is a folder, except
    --csv, which is a file.

    Parameters
    ----------
    paths
        [RUN] REFERENCE DISTORTED. Each of two images may be a pipe, as in <(command).
    map
        Picture of the classes over the distorted image (PNG).
    heat
        Picture of how many people notice, as a heat map (PNG).
    side
        Picture of both images beside the map (PNG).
    values
        Quality per pixel: .npy (float32) or .tif (16 bit); in a folder always .npy.
    jnd
        JND per pixel: .npy (float32).
    json
        Everything, as JSON. For folders, pairs that are done are skipped when you run the command again.
    csv
        One row per patch, or for folders one row per pair.
    stride
        Pixels between neighbouring patches.
    calibration
        Name of the calibration that sets Red, Orange and Green. Default: the run's only one. Without any, patches of
        the model visibility are Green if at most 10 % of people notice them, and Orange up to 75 %; those of others
        follow from quality.
    safe_colors
        Use colours for colour-blind readers in pictures.
    device
        cpu, cuda, cuda:1, or auto.
    engine
        What computes the scores: core, onnx or torch; auto takes the first of these that can.
    memory
        MiB for pixels at a time; pairs that need more are decoded into temporary files.
    threads
        Number of threads. Default: all cores.
    """
    run, reference, distorted = _split(paths)
    if threads is not None:
        set_num_threads(threads)
    scorer = load(run, device, calibration=calibration, engine=engine, viewing=viewing.conditions)
    if threads is not None and scorer.engine.name.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    outputs = Outputs(map, heat, side, values, json, csv, safe_colors, jnd)

    with progress_bar() as on_progress:
        report = compare(
            scorer,
            reference,
            distorted,
            outputs,
            stride=stride,
            memory=memory,
            on_progress=on_progress,
            warn=note,
            **images.given(),
        )
    for path in report.matched.unpaired:
        original = original_of(path.stem)
        copy = "" if original is None else f", and looks like a copy of {original}{path.suffix}"
        note(f"{path}: has no partner of the same name{copy}; it was not compared")
    for item in report.matched.left_out:
        note(item)
    if scorer.decision.scale == "quality":
        warn(NO_CALIBRATION)
    _print_table(report, scorer)
    return 1 if report.failed or report.matched.unpaired or report.matched.left_out else 0


def _split(paths: tuple[Path, ...]) -> tuple[Path | None, Path, Path]:
    if len(paths) not in (2, 3):
        raise PixqError(
            "give two paths, REFERENCE DISTORTED, or three, RUN REFERENCE DISTORTED (for a name like -a.png: ./-a.png)"
        )
    if len(paths) == 3:
        return paths[0], paths[1], paths[2]
    if (paths[0] / "run.json").exists():
        raise PixqError(f"{paths[0]}: is a run; give two images or folders after it: RUN REFERENCE DISTORTED")
    return None, paths[0], paths[1]


def _print_table(report: Report, scorer: Scorer) -> None:
    calibration = report.results[0].calibration
    classes = "no calibration" if calibration is None else f"calibration {calibration}"
    print_lines(f"{scorer.run.name}: {scorer.recipe.model.name} ({scorer.engine.name}), {classes}")
    print_lines(f"seen {scorer.viewing}")
    names = [printable(result.pair.name) if report.matched.folder else "" for result in report.results]
    width = max(map(len, names))
    columns = [
        "JND",
        "noticed by",
        "quality",
        f"worst {WORST:g}%",
        *(patch_class.name for patch_class in reversed(CLASSES)),
        "unsure",
        "identical",
    ]
    print_lines(" " * width + "".join(f"{name:>11}" for name in columns))
    for name, result in zip(names, report.results, strict=True):
        print_lines(name.ljust(width) + "".join(f"{cell:>11}" for cell in _cells(result)))
    if report.matched.folder:
        counts = {
            "done before": sum(result.before for result in report.results),
            "could not be compared": len(report.failed),
            "images without a partner": len(report.matched.unpaired),
            "left out": len(report.matched.left_out),
            "files that are not images": report.matched.other,
        }
        parts = [f"{what}: {count}" for what, count in counts.items() if count]
        print_lines("; ".join([f"{len(report.results)} pairs", *parts]))
    elif pixels := _pixels_line(report.results[0]):
        print_lines(pixels)


def _pixels_line(result: Result) -> str:
    """What was done to the pixels of a pair before it was compared; empty if nothing was."""
    pixels = result.pixels
    if pixels is None:
        return ""
    profiles = (("reference", pixels.reference_profile), ("distorted", pixels.distorted_profile))
    parts = [f"{image} converted from {printable(profile)}" for image, profile in profiles if profile is not None]
    if pixels.background is not None:
        others = "" if len(pixels.backgrounds) == 1 else f", the worst of {', '.join(pixels.backgrounds)}"
        parts.append(f"on {pixels.background}{others}")
    return "; ".join(parts)


def _cells(result: Result) -> list[str]:
    verdict = result.verdict
    shares = [f"{verdict.shares[patch_class.name]:.1%}" for patch_class in reversed(CLASSES)]
    unsure = "-" if verdict.unsure is None else f"{verdict.unsure:.1%}"
    seen = ["-", "-"] if verdict.p_notice is None else [f"{verdict.jnd:.2f}", f"{verdict.p_notice:.0%}"]
    return [*seen, f"{verdict.quality:.3f}", f"{verdict.worst:.3f}", *shares, unsure, f"{verdict.identical:.1%}"]
