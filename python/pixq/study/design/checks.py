"""The checks of `pixq study check`: every message comes from one of the functions below.

`SOURCE_PROBLEMS` and `SOURCE_WARNINGS` run once per source, `STUDY_PROBLEMS` and `STUDY_WARNINGS` once per study. A new
check is a function added to one of these lists at the end of this file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixq.ladders.difference import out_of_order
from pixq.study.constants import CONSTANTS
from pixq.study.design.config import PLACEHOLDER, Study, TruthSource
from pixq.study.design.image_metadata import metadata_kinds
from pixq.study.design.study_files import Kind, OpenedSource

__all__ = [
    "SOURCE_PROBLEMS",
    "SOURCE_WARNINGS",
    "STUDY_PROBLEMS",
    "STUDY_WARNINGS",
    "LadderCheck",
    "duplicate_images",
    "impossible_displays",
    "languages_without_texts",
    "metadata_leaks",
    "quota_warnings",
    "rare_displays",
    "reversed_levels",
    "suspicious_levels",
    "test_image_tells",
    "unanswerable_sources",
]

#: Images may be stretched by this share without a warning.
_STRETCH = 0.01
#: What a screen of 60 Hz is measured as at least, in Hz, and how far it may be off the planned rate without a warning.
_SLOWEST_SCREEN, _OFF_RATE = 59.0, 0.1
#: Windows in CSS pixels: a 4K screen without scaling, and a Full HD screen without the browser's own bars.
_LARGEST_WINDOW, _USUAL_WINDOW = (3840, 2160), (1920, 970)
#: Screens in centimetres: one of 43 inches, and the height of one of 27 inches.
_WIDEST_SCREEN, _HIGHEST_SCREEN, _USUAL_SCREEN = 96.0, 54.0, 34.0


@dataclass(frozen=True)
class LadderCheck:
    """The facts about one source that its checks use.

    Parameters
    ----------
    id, kind
        Its id, and the table of `study.toml` that it comes from.
    width, height
        Size of its images, in pixels.
    levels
        Its levels, rising, 0 included.
    equal
        Runs of neighbouring levels with the same pixels, each rising; the slider changes nothing inside one.
    bytes
        Size of all its files together.
    media
        Media types: first that of the reference, then, sorted, those of the other levels.
    reference_hash
        Equal for references with the same pixels.
    differences
        How much each level differs from the reference, in grey levels.
    """

    id: str
    kind: Kind
    width: int
    height: int
    levels: tuple[int, ...]
    equal: tuple[tuple[int, ...], ...]
    bytes: int
    media: tuple[str, ...] = ()
    reference_hash: str = ""
    differences: tuple[float, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """The levels from 0 to 100 that it lacks."""
        return tuple(sorted(set(range(101)) - set(self.levels)))


SourceCheck = Callable[[Study, OpenedSource, LadderCheck], list[str]]
StudyWideCheck = Callable[[Study, Sequence[LadderCheck]], list[str]]


def unanswerable_sources(study: Study, opened: OpenedSource, ladder: LadderCheck) -> list[str]:
    """Find sources that nobody could answer: too large for the window, no acceptable level, or nothing to see."""
    messages: list[str] = []
    width, height = study.min_window
    # The pixels that a size in centimetres takes on a participant's screen are unknown.
    if study.scaling == "native" and (ladder.width > width or ladder.height > height):
        messages.append(
            f'{ladder.id}: has {ladder.width}x{ladder.height} pixels and with scaling = "native" does not fit into '
            f"min_window [{width}, {height}]; raise min_window, or use smaller images"
        )
    if isinstance(opened.source, TruthSource):
        low, high = opened.source.pjnd_range
        if not any(low <= level <= high for level in ladder.levels):
            messages.append(
                f"{ladder.id}: has no level in its pjnd_range [{low}, {high}], so nobody can pass it; add one"
            )
    if ladder.equal and len(ladder.equal[0]) == len(ladder.levels):
        messages.append(f"{ladder.id}: all its levels equal the reference, so there is nothing to see; replace them")
    return messages


def suspicious_levels(study: Study, opened: OpenedSource, ladder: LadderCheck) -> list[str]:
    """Find sources with missing levels, with neighbouring levels that look the same, or with stretched images."""
    messages: list[str] = []
    if ladder.missing:
        messages.append(
            f"{ladder.id}: lacks {len(ladder.missing)} of the levels 0 to 100 ({_spans(ladder.missing)}); "
            "a PJND between its levels can't be measured"
        )
    if ladder.equal:
        runs = "; ".join(f"{run[0]} to {run[-1]}" for run in ladder.equal[:5])
        more = f" and {len(ladder.equal) - 5} more" if len(ladder.equal) > 5 else ""
        messages.append(
            f"{ladder.id}: has equal images at neighbouring levels ({runs}{more}); its ladder saturates there"
        )
    stretch = study.width_cm / study.height_cm * ladder.height / ladder.width
    if study.scaling == "physical" and abs(stretch - 1) > _STRETCH:
        messages.append(
            f"{ladder.id}: has {ladder.width}x{ladder.height} pixels, so showing it at {study.width_cm:g} x "
            f"{study.height_cm:g} cm stretches it by {abs(stretch - 1):.0%}; change width_cm or height_cm"
        )
    return messages


def reversed_levels(study: Study, opened: OpenedSource, ladder: LadderCheck) -> list[str]:
    """Find sources whose levels run the wrong way round or are mixed up, or whose reference is another picture."""
    if ladder.differences[1] <= ladder.differences[-1]:
        return [
            f"{opened.levels[ladder.levels[place]].path}: is level {ladder.levels[place]} of {ladder.id}, but differs "
            "less from the reference than the levels before and after it; check that the file has the right name"
            for place in out_of_order([-difference for difference in ladder.differences])
        ]
    return [
        f"{ladder.id}: its lowest level differs more from the reference than its highest, so level = "
        f'"{opened.source.level}" is the wrong way round, or the reference belongs to another picture; fix either'
    ]


def metadata_leaks(study: Study, opened: OpenedSource, ladder: LadderCheck) -> list[str]:
    """Find image files with text or camera data, which participants would download with the picture."""
    leaks: dict[Path, set[str]] = {}
    for image in opened.levels.values():
        if kinds := metadata_kinds(image.path):
            leaks[image.path] = kinds
    if not leaks:
        return []
    first, *others = leaks
    more = f" and {len(others)} more carry" if others else " carries"
    return [
        f"{ladder.id}: {first}{more} {', '.join(sorted(set().union(*leaks.values())))}, which participants receive "
        "with the image; remove it: exiftool -all= --icc_profile:all FILE"
    ]


def duplicate_images(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find pictures that are in the study under two names."""
    messages: list[str] = []
    pictures: dict[str, list[LadderCheck]] = defaultdict(list)
    for ladder in ladders:
        pictures[ladder.reference_hash].append(ladder)
    for same in pictures.values():
        kinds = {ladder.kind for ladder in same}
        if len(same) < 2:
            continue
        names = ", ".join(f"{ladder.id} ({ladder.kind})" for ladder in same)
        if kinds >= {"training", "test"}:
            messages.append(
                f"{names}: a training image is among the tests, so its answer is known; remove it from one of them"
            )
        elif len(kinds) > 1:
            messages.append(
                f"{names}: are the same picture, so people answer about an image that they know from training or a "
                "test; remove one of them"
            )
        else:
            messages.append(
                f"{names}: are the same picture; give both the same reference file, and nobody is shown it twice"
            )
    return messages


def test_image_tells(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find test images that a browser can tell from sources by their format, their size or their number of levels."""

    def traits(ladder: LadderCheck) -> list[str]:
        return [
            f"media types ({', '.join(ladder.media)})",
            f"size ({ladder.width}x{ladder.height})",
            f"number of levels ({len(ladder.levels) - 1})",
        ]

    common = {trait for ladder in ladders if ladder.kind == "source" for trait in traits(ladder)}
    messages: list[str] = []
    for ladder in ladders:
        unusual = [trait for trait in traits(ladder) if trait not in common]
        if ladder.kind == "test" and common and unusual:
            messages.append(
                f"{ladder.id}: no source has the same {' or '.join(unusual)}, which gives it away as a test; make it "
                "like the sources"
            )
    return messages


def impossible_displays(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find settings that no participant's screen meets: rates that 60 Hz can't show, or sizes that nobody has."""
    messages: list[str] = []
    frames = CONSTANTS["flow"]["frames_per_image"]
    fastest = _SLOWEST_SCREEN / frames
    if study.hertz > fastest:
        messages.append(
            f"hertz: is {study.hertz:g}, and an image stays for at least {frames} refreshes, so screens of 60 Hz, "
            f"which most people have, can't show it; lower it to {math.floor(fastest)} or less"
        )
    (width, height), (most_width, most_height) = study.min_window, _LARGEST_WINDOW
    if width > most_width or height > most_height:
        messages.append(
            f"min_window: is [{width}, {height}] CSS pixels, and hardly any screen has more than {most_width}x"
            f"{most_height}; lower it"
        )
    if study.min_screen_cm > _HIGHEST_SCREEN:
        messages.append(
            f"min_screen_cm: is {study.min_screen_cm:g}, and hardly any screen is higher than {_HIGHEST_SCREEN:g} cm; "
            "lower it"
        )
    if study.scaling == "physical" and (study.height_cm > _HIGHEST_SCREEN or study.width_cm > _WIDEST_SCREEN):
        messages.append(
            f"width_cm, height_cm: images of {study.width_cm:g} x {study.height_cm:g} cm are larger than a screen, "
            f"which is at most {_WIDEST_SCREEN:g} x {_HIGHEST_SCREEN:g} cm; lower them"
        )
    return messages


def languages_without_texts(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find languages of the study that the page has no texts in."""
    known = CONSTANTS["languages"]
    return [
        f"languages: the page has no texts in {language!r}, only in {', '.join(known)}; remove it, or add "
        f"python/pixq/study/web/texts/{language.split('-')[0]}.json to pixq"
        for language in study.languages
        if language.split("-")[0] not in known
    ]


def rare_displays(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find settings that exclude many people, and rates that a screen of 60 Hz shows differently."""
    messages: list[str] = []
    frames = max(CONSTANTS["flow"]["frames_per_image"], round(60 / study.hertz))
    if (
        study.hertz <= _SLOWEST_SCREEN / CONSTANTS["flow"]["frames_per_image"]
        and abs(60 / frames / study.hertz - 1) > _OFF_RATE
    ):
        messages.append(
            f"hertz: is {study.hertz:g}, and a screen of 60 Hz shows {60 / frames:g}, as images stay for whole "
            f"refreshes; set it to {60 / frames:g}, or to 60 divided by another whole number"
        )
    (width, height), (usual_width, usual_height) = study.min_window, _USUAL_WINDOW
    if width > usual_width or height > usual_height:
        messages.append(
            f"min_window: is [{width}, {height}] CSS pixels, and most people have at most {usual_width}x"
            f"{usual_height}, so many can't take part"
        )
    if study.min_screen_cm > _USUAL_SCREEN:
        messages.append(
            f"min_screen_cm: is {study.min_screen_cm:g}, and most screens are at most {_USUAL_SCREEN:g} cm high, so "
            "many people can't take part"
        )
    if study.scaling == "physical" and study.height_cm > study.min_screen_cm > 0:
        messages.append(
            f"height_cm: is {study.height_cm:g}, but screens of {study.min_screen_cm:g} cm are accepted, which can't "
            "show it; raise min_screen_cm"
        )
    return messages


def quota_warnings(study: Study, ladders: Sequence[LadderCheck]) -> list[str]:
    """Find settings of sessions, tests and contact that don't fit the number of images, or are still unset."""
    messages: list[str] = []
    quota = study.quota
    if not study.training:
        messages.append("training: there is no training image, so participants begin without feedback; add one")
    if not quota.tests:
        messages.append("quota.tests: no test image is hidden, so nobody can be screened out; raise it")
    references = len({source.reference for source in study.source})
    if references < quota.images:
        messages.append(
            f"quota.images: is {quota.images}, but there are only {references} pictures, so sessions are shorter; "
            "lower it"
        )
    sessions = min(quota.max_sessions, math.ceil(references / quota.images))
    if quota.tests and sessions < quota.screen_after:
        messages.append(
            f"quota.screen_after: is {quota.screen_after}, but nobody can have more than {sessions} sessions, so "
            f"nobody is ever screened out; lower it to {sessions} or less"
        )
    if study.contact == PLACEHOLDER:
        messages.append(f"contact: is still {PLACEHOLDER}; give an address where participants can ask questions")
    if quota.tests and sessions * quota.tests > len(study.test):
        messages.append(
            f"[[test]]: somebody with all {sessions} sessions sees {sessions * quota.tests} test images, but there are "
            f"{len(study.test)}, and an image that comes back gives itself away as a test; add some"
        )
    return messages


def _spans(levels: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for level in levels:
        if spans and spans[-1][1] == level - 1:
            spans[-1][1] = level
        else:
            spans.append([level, level])
    listed = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans[:4]]
    return ", ".join(listed) + (", ..." if len(spans) > 4 else "")


#: Problems: nobody may take part until they are fixed.
SOURCE_PROBLEMS: tuple[SourceCheck, ...] = (unanswerable_sources,)
STUDY_PROBLEMS: tuple[StudyWideCheck, ...] = (impossible_displays, languages_without_texts)
#: Warnings: they may be intended.
SOURCE_WARNINGS: tuple[SourceCheck, ...] = (suspicious_levels, reversed_levels, metadata_leaks)
STUDY_WARNINGS: tuple[StudyWideCheck, ...] = (duplicate_images, test_image_tells, quota_warnings, rare_displays)
