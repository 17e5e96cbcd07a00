"""`pixq study new` and `check`: a study's file and images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from pixq import ranges
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.progress import progress_bar
from pixq.study.design.check import check_study
from pixq.study.design.new import left_out, new_study

__all__ = ["check", "new"]


def new(
    folder: Path,
    /,
    *,
    images: Path | None = None,
    title: str = "Where do you see it?",
    level: str | None = None,
    seed: Annotated[int, number_in(ranges.SEED)] = 1,
) -> int:
    """Write study.toml about the images of a folder tree, without overwriting anything. Images that are left out are
    listed, and the exit code is then 1.

    The tree holds SOURCE.png and SOURCE_CODEC_NUMBER.jpg for each level; or SOURCE.png and a folder SOURCE with a
    number in each file's name; or it has the layout of LocJND, with ground_truth.json.

    Parameters
    ----------
    folder
        Folder of the study.
    images
        A tree whose images are copied into the study's folder. Default: the images that are there.
    title
        Title of the study.
    level
        How a level is computed from n, the last number in a file's name: n, or 101-n if n is a JPEG quality. Default:
        found out by comparing the images of the lowest and the highest number with the reference.
    seed
        Seed of all random draws.
    """
    path = new_study(folder, images, title=title, level=level, seed=seed)
    print_lines(path)
    unused = left_out(folder, images)
    for item in unused:
        note(item)
    note(f"review {path} and edit its texts, then run: pixq study check {shlex.quote(str(path.parent))}")
    return 1 if unused else 0


def check(study: Path = Path(), /) -> int:
    """Decode every image of a study, and estimate how long a session takes and what the study costs.

    Warnings and problems go to stderr. The exit code is 2 if there is a problem.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: this folder.
    """
    with progress_bar() as on_progress:
        report = check_study(study, on_progress)
    print_lines(*report.lines())
    for line in report.warnings:
        warn(line)
    for line in report.problems:
        note(line)
    return 2 if report.problems else 0
