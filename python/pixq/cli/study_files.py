"""`pixq study new` and `check`: a study's file and images."""

from __future__ import annotations

import sys
from pathlib import Path

from pixq.cli.progress import progress_bar
from pixq.errors import printable

__all__ = ["check", "new"]


def new(
    folder: Path,
    /,
    *,
    images: Path | None = None,
    title: str = "Where do you see it?",
    level: str | None = None,
    seed: int = 1,
) -> int:
    """Write study.toml about the images of a folder tree. Nothing is overwritten. Images that are left out are named,
    and end with code 1.

    A tree holds SOURCE.png and SOURCE_CODEC_NUMBER.jpg for each level, or a folder SOURCE with a level in each file's
    name, or is of the layout of LocJND, with ground_truth.json.

    Parameters
    ----------
    folder
        Of the study.
    images
        A tree whose images are copied into the study's folder. Default: those that are there.
    title
        Of the study.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n where n is a JPEG's quality. Default:
        by looking which number's image differs more from its reference.
    seed
        Of everything that is drawn.
    """
    from pixq.study.design.new import left_out, new_study

    path = new_study(folder, images, title=title, level=level, seed=seed)
    print(path)
    lone = left_out(folder, images)
    for name in lone:
        print(f"pixq: left out: {printable(name)}: has no levels, or no reference", file=sys.stderr)
    print("pixq: read it and mend its texts, then run pixq study check", file=sys.stderr)
    return 1 if lone else 0


def check(study: Path = Path(), /) -> int:
    """Decode every image of a study; say what a session takes, and what it costs.

    Warnings and problems go to stderr. A study with a problem ends with code 2.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    """
    from pixq.study.design.check import check_study

    with progress_bar() as on_progress:
        report = check_study(study, on_progress)
    print(*report.lines(), sep="\n")
    for line in report.warnings:
        print(f"pixq: warning: {line}", file=sys.stderr)
    for line in report.problems:
        print(f"pixq: {line}", file=sys.stderr)
    return 2 if report.problems else 0
