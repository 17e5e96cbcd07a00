"""Images with transparent pixels: on which backgrounds they are scored, and which of the results counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixq.errors import PixqError
from pixq.io.images import BACKGROUNDS, Background
from pixq.scoring.quality_map import QualityMap

__all__ = ["DEFAULT_BACKGROUNDS", "check_backgrounds", "parse_backgrounds", "worst_background"]

#: The ends of what may lie under an image.
DEFAULT_BACKGROUNDS: tuple[Background, ...] = ("black", "white")


def check_backgrounds(names: Sequence[str]) -> tuple[Background, ...]:
    """Check names of backgrounds; one that occurs twice is kept once.

    Raises
    ------
    PixqError
        If there is none, or one is unknown.
    """
    known: list[Background] = []
    for name in dict.fromkeys(names):
        match = [background for background in BACKGROUNDS if background == name]
        if not match:
            raise PixqError(f"--background is {name!r}; choose from {', '.join(BACKGROUNDS)}, with commas between them")
        known += match
    if not known:
        raise PixqError(f"--background is empty; choose from {', '.join(BACKGROUNDS)}, with commas between them")
    return tuple(known)


def parse_backgrounds(text: str) -> tuple[Background, ...]:
    """Parse names of backgrounds with commas between them.

    Examples
    --------
    >>> parse_backgrounds("black,checker")
    ('black', 'checker')
    """
    return check_backgrounds([name.strip() for name in text.split(",")])


def worst_background(maps: Mapping[Background, QualityMap]) -> Background:
    """The background whose result counts: the one on which a person would see most.

    That is the one whose JND is highest; if several agree, the one whose `worst` (the 5th percentile of the patches'
    qualities) is lowest, then the one whose `quality` is lowest; if these agree too, the first.
    """

    def order(background: Background) -> tuple[float, float, float]:
        verdict = maps[background].verdict
        return -(verdict.jnd or 0.0), verdict.worst, verdict.quality

    return min(maps, key=order)
