"""`pixq verify`."""

from __future__ import annotations

import sys
from pathlib import Path

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
        print(f"pixq: {problem}", file=sys.stderr)
    if problems:
        print(
            f"pixq: {patches}: {len(problems)} files are not as they were built; build the patch set again",
            file=sys.stderr,
        )
        return 2
    print(f"{patches}: {len(PatchSet(patches))} records, every file is as it was built, no group is in two splits")
    return 0
