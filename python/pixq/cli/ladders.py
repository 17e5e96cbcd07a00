"""What `pixq pjnd` and `pixq critical` have in common: which ladder, which cut, and the maps of its levels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pixq.cli.progress import staged
from pixq.errors import PixqError

if TYPE_CHECKING:
    from pixq.ladders.ladder import Ladder, Level
    from pixq.ladders.pjnd import GreenCut
    from pixq.predict.quality_map import QualityMap
    from pixq.scorer import Scorer

__all__ = ["given_ladder", "green_cut", "score_ladder"]


def given_ladder(paths: tuple[Path, ...], rule: str, device: str, calibration: str | None) -> tuple[Scorer, Ladder]:
    """The model and the ladder of `[RUN] REFERENCE LEVELS...`: a run is a folder, a reference is none."""
    from pixq.ladders.ladder import open_ladder
    from pixq.scorer import load

    run, rest = (paths[0], paths[1:]) if paths and paths[0].is_dir() else (None, paths)
    if len(rest) < 2:
        raise PixqError(f"{len(paths)} paths were given; give REFERENCE LEVELS..., or RUN REFERENCE LEVELS...")
    ladder = open_ladder(rest[0], rest[1:], rule)
    return load(run, device, calibration=calibration), ladder


def green_cut(scorer: Scorer, share: float | None, stride: int | None) -> tuple[GreenCut, float, int]:
    """The Green cut of a scorer, the share that goes with it, and the stride; what is given counts."""
    from pixq.classes import GREEN, QUALITY_CUTS
    from pixq.ladders.pjnd import SHARE, GreenCut
    from pixq.predict.grid import STRIDE

    if share is not None and not 0.0 < share <= 1.0:
        raise PixqError(f"--share is {share:g}; give a share of the patches, above 0 and up to 1")
    if stride is not None and not 1 <= stride <= scorer.size:
        raise PixqError(f"--stride is {stride}; give 1 to {scorer.size} pixels")
    chosen = scorer.calibration
    if chosen is not None:
        own = chosen.cuts.green
        cut = GreenCut(own.value, own.low, own.high)
    elif (by_pjnd := scorer.pjnd_cuts) is not None:
        cut = by_pjnd.cut
        for name, given, known in (("--share", share, by_pjnd.share), ("--stride", stride, by_pjnd.stride)):
            if given is not None and given != known:
                print(f"pixq: warning: the Green cut was chosen with {name} {known:g}, not {given:g}", file=sys.stderr)
        share, stride = share or by_pjnd.share, stride or by_pjnd.stride
    else:
        cut = GreenCut(QUALITY_CUTS[GREEN - 1])
        print(
            "pixq: warning: no cut was chosen for this run, so Green is by quality alone; pixq calibrate --ladders "
            "chooses one on ladders whose PJNDs people gave",
            file=sys.stderr,
        )
    return cut, SHARE if share is None else share, STRIDE if stride is None else stride


def score_ladder(scorer: Scorer, ladder: Ladder, stride: int) -> list[tuple[Level, QualityMap]]:
    """The maps of all levels, with progress."""
    from pixq.ladders.ladder import maps

    with staged() as watch:
        return list(maps(scorer, ladder, stride=stride, watch=lambda done, of: watch(ladder.name, done, of)))
