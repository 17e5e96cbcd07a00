"""`pixq verify`."""

from __future__ import annotations

from pathlib import Path

from pixq.cli.messages import note, print_lines
from pixq.patches.store import PatchSet
from pixq.patches.store import verify as check

__all__ = ["verify"]


def verify(patches: Path, /) -> int:
    """Check every file of a patch set against the checksums in its manifest, and its splits for leaks.

    Parameters
    ----------
    patches
        Directory of the patch set.
    """
    problems = check(patches)
    for problem in problems:
        note(problem)
    if problems:
        note(f"{patches}: {len(problems)} files are not as they were built; build the patch set again")
        return 2
    print_lines(
        f"{patches}: {len(PatchSet(patches))} records, every file is as it was built, no group is in two splits"
    )
    return 0
