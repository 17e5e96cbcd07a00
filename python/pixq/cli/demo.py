"""`pixq demo`."""

from __future__ import annotations

from pathlib import Path

from pixq.distort.demo import run_demo


def demo(*, out: Path = Path("demo")) -> int:
    """Build a patch set from photographs that come with scikit-image, with synthetic scores.

    Parameters
    ----------
    out
        Folder for the dataset, the patch set and the contact sheet. If run again, it resumes where it stopped.
    """
    from pixq.cli import main

    return run_demo(out, main)
