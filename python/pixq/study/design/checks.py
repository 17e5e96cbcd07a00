"""What would spoil a study, found in its images and in its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pixq.io.images import pixels_of
from pixq.ladders.difference import difference
from pixq.study.design.config import PLACEHOLDER, Study, TruthSource
from pixq.study.design.image_metadata import notes_in
from pixq.study.design.study_files import Kind, OpenedSource

__all__ = ["LadderCheck", "doubtful", "impossible", "noted", "of_sessions", "telling", "turned_round", "twice"]

#: Images may be stretched by so much before it is worth a word.
_STRETCH = 0.01


@dataclass(frozen=True)
class LadderCheck:
    """What was found of one source.

    Parameters
    ----------
    id, kind
        Its name, and where `study.toml` has it.
    width, height
        Of its images, in pixels.
    levels
        That it has, rising, 0 included.
    equal
        Runs of neighbouring levels whose pixels are the same, each rising; the slider changes nothing inside one.
    bytes
        Of all its files.
    media
        Media types: of the reference, and, sorted, of the other levels.
    """

    id: str
    kind: Kind
    width: int
    height: int
    levels: tuple[int, ...]
    equal: tuple[tuple[int, ...], ...]
    bytes: int
    media: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """Levels from 0 to 100 that it has not."""
        return tuple(sorted(set(range(101)) - set(self.levels)))


def impossible(study: Study, opened: OpenedSource, ladder: LadderCheck) -> list[str]:
    """What nobody could answer in a source."""
    found: list[str] = []
    width, height = study.min_window
    # Of a size in centimetres nobody knows how many pixels of a participant's screen it has.
    if study.scaling == "native" and (ladder.width > width or ladder.height > height):
        found.append(
            f'{ladder.id}: is {ladder.width}x{ladder.height}, and by scaling = "native" does not fit into min_window '
            f"[{width}, {height}]; raise min_window, or give smaller images"
        )
    if isinstance(opened.source, TruthSource):
        low, high = opened.source.pjnd_range
        if not any(low <= level <= high for level in ladder.levels):
            found.append(
                f"{ladder.id}: no level lies in its pjnd_range [{low}, {high}], so nobody can pass it; add one"
            )
    if ladder.equal and len(ladder.equal[0]) == len(ladder.levels):
        found.append(f"{ladder.id}: all its levels are the reference itself; there is nothing to see")
    return found


def doubtful(study: Study, ladder: LadderCheck) -> list[str]:
    """What is odd about a source's levels and size."""
    found: list[str] = []
    if ladder.missing:
        found.append(
            f"{ladder.id}: lacks {len(ladder.missing)} of the levels 0 to 100 ({_spans(ladder.missing)}); "
            "a PJND between its levels can't be told"
        )
    if ladder.equal:
        shown = "; ".join(f"{run[0]} to {run[-1]}" for run in ladder.equal[:5])
        more = f" and {len(ladder.equal) - 5} more" if len(ladder.equal) > 5 else ""
        found.append(
            f"{ladder.id}: has equal images at neighbouring levels ({shown}{more}); its ladder saturates there"
        )
    stretch = study.width_cm / study.height_cm * ladder.height / ladder.width
    if study.scaling == "physical" and abs(stretch - 1) > _STRETCH:
        found.append(
            f"{ladder.id}: is {ladder.width}x{ladder.height}, and shown {study.width_cm:g} x {study.height_cm:g} cm "
            f"it is stretched by {abs(stretch - 1):.0%}; change width_cm or height_cm"
        )
    return found


def turned_round(opened: OpenedSource) -> list[str]:
    """Whether a source's levels are the wrong way round, or of another picture."""
    reference = pixels_of(opened.levels[0].path)
    first, last = (
        difference(reference, opened.levels[level].path) for level in (sorted(opened.levels)[1], max(opened.levels))
    )
    if first <= last:
        return []
    return [
        f"{opened.source.id}: its lowest level differs more from the reference than its highest; level = "
        f'"{opened.source.level}" is the wrong way round, or the reference is another picture\'s'
    ]


def noted(opened: OpenedSource, over: Callable[..., Iterable[set[str]]]) -> list[str]:
    """Files whose words participants would receive with the picture."""
    paths = [image.path for image in opened.levels.values()]
    noted = {path: found for path, found in zip(paths, over(notes_in, paths), strict=True) if found}
    if not noted:
        return []
    first, *others = noted
    more = f" and {len(others)} more carry" if others else " carries"
    return [
        f"{opened.source.id}: {first}{more} {', '.join(sorted(set().union(*noted.values())))}, which participants "
        "receive with it; take it out: exiftool -all= --icc_profile:all FILE"
    ]


def twice(pictures: Iterable[list[LadderCheck]]) -> list[str]:
    """Pictures that are in the study under two names."""
    found: list[str] = []
    for same in pictures:
        kinds = {each.kind for each in same}
        if len(same) < 2:
            continue
        names = ", ".join(f"{each.id} ({each.kind})" for each in same)
        if kinds >= {"training", "test"}:
            found.append(f"{names}: a training image is among the tests, so its answer is known; take it out of one")
        elif len(kinds) > 1:
            found.append(
                f"{names}: are one picture; who has met it in training or as a test is not to be asked about it"
            )
        else:
            found.append(f"{names}: are one picture; give both the same reference file, and nobody is shown it twice")
    return found


def telling(ladders: Sequence[LadderCheck]) -> list[str]:
    """Of test images, what a browser knows of an image and no source has."""

    def known(of: LadderCheck) -> list[str]:
        return [
            f"media types ({', '.join(of.media)})",
            f"size ({of.width}x{of.height})",
            f"number of levels ({len(of.levels) - 1})",
        ]

    sources = {what for each in ladders if each.kind == "source" for what in known(each)}
    found: list[str] = []
    for each in ladders:
        alone = [what for what in known(each) if what not in sources]
        if each.kind == "test" and sources and alone:
            found.append(
                f"{each.id}: no source has its {', nor its '.join(alone)}, which tells that it is a test; make it like "
                "them"
            )
    return found


def of_sessions(study: Study) -> list[str]:
    """What the numbers of sessions, sources and test images come to."""
    found: list[str] = []
    quota = study.quota
    if not study.training:
        found.append("training: there is no training image; participants begin without feedback")
    if not quota.tests:
        found.append("quota.tests: no test image is hidden, so nobody can be screened out")
    references = len({each.reference for each in study.source})
    if references < quota.images:
        found.append(f"quota.images: is {quota.images}, and there are {references} pictures; sessions are shorter")
    sessions = min(quota.max_sessions, math.ceil(references / quota.images))
    if quota.tests and sessions < quota.screen_after:
        found.append(
            f"quota.screen_after: is {quota.screen_after}, and nobody can have more than {sessions} sessions, so "
            f"nobody is ever out; lower it to {sessions} or less"
        )
    if study.contact == PLACEHOLDER:
        found.append(f"contact: is still {PLACEHOLDER}; give an address where participants can ask")
    if quota.tests and sessions * quota.tests > len(study.test):
        found.append(
            f"[[test]]: who takes all {sessions} sessions meets {sessions * quota.tests} test images, and there are "
            f"{len(study.test)}; an image that comes again tells that it is a test"
        )
    return found


def _spans(levels: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for level in levels:
        if spans and spans[-1][1] == level - 1:
            spans[-1][1] = level
        else:
            spans.append([level, level])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:4]]
    return ", ".join(shown) + (", ..." if len(spans) > 4 else "")
