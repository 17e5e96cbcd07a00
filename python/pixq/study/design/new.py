"""`pixq study new`: find the ladders of a folder tree, and write a commented `study.toml` about them."""

from __future__ import annotations

import glob
import json
import math
import os
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pixq import ranges
from pixq.errors import PixqError
from pixq.io.atomic import save_text
from pixq.io.folders import LeftOut, find_files
from pixq.io.image_formats import ENDINGS, SHOWN, titles_of
from pixq.io.images import load_pixels
from pixq.io.paths import nfc, original_of
from pixq.ladders.difference import difference
from pixq.ladders.ground_truth import RULE, read_ground_truth
from pixq.ladders.level_rule import is_rule, levels_in
from pixq.study.design.config import PLACEHOLDER, STUDY_FILE, read_study
from pixq.study.design.study_files import levels_of

__all__ = ["FoundLadder", "find_ladders", "left_out", "new_study"]

#: The codec that a file's ending stands for, of files that every browser shows.
_CODECS = {ending: shown.name.upper() for shown in SHOWN for ending in shown.endings}
_NAMED = re.compile(r"(?P<source>.+)_(?P<codec>[A-Za-z0-9-]+)_(?P<number>\d+)")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class FoundLadder:
    """A reference and its levels, as found in a folder tree.

    Parameters
    ----------
    source, codec
        The name of the reference, and what made the levels.
    reference
        Path of the reference relative to the tree, with `/`.
    files
        Paths of the levels, likewise.
    pattern
        Matches these files and no others.
    rule
        How a level is computed from the last number in a file's name; empty if not known yet.
    range, points
        The range of levels and the places that people noticed, if known.
    """

    source: str
    codec: str
    reference: str
    files: tuple[str, ...]
    pattern: str
    rule: str = ""
    range: tuple[float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None


def find_ladders(root: Path) -> list[FoundLadder]:
    """Find the ladders of a folder tree, sorted by name.

    Parameters
    ----------
    root
        A tree that holds, anywhere, `SOURCE.png` and `SOURCE_CODEC_NUMBER.jpg` for each level; or `SOURCE.png`, and
        files with a number in their names in a folder `SOURCE` or `SOURCE/CODEC`; or a folder in LocJND's layout, with
        `ground_truth.json`. PNG, JPEG and WebP files are considered; hidden files, and files that look like copies of
        others, are not.

    Raises
    ------
    PixqError
        If there is no ladder.
    """
    if (root / "ground_truth.json").is_file():
        return _locjnd_ladders(root)
    if not root.is_dir():
        raise PixqError(f"{root}: is not a folder; give one with references and their levels")
    files, _ = _images(root)
    groups = _group_levels(root, files)
    levels = {file for group in groups.values() for file in group}
    references: dict[str, Path] = {}
    for file in files:
        if file not in levels and (other := references.setdefault(nfc(file.stem), file)) != file:
            raise PixqError(f"{file}: has the same name as {other}; rename one of them")
    ladders = [
        FoundLadder(
            group.source,
            group.codec,
            _posix(references[group.source], root),
            tuple(_posix(member, root) for member in members),
            _pattern(group, root, members),
        )
        for group, members in sorted(groups.items())
        if group.source in references
    ]
    if not ladders:
        raise PixqError(
            f"{root}: has no SOURCE.png with levels; name levels SOURCE_CODEC_NUMBER.jpg, or put them into a folder "
            "SOURCE"
        )
    return ladders


def _locjnd_ladders(root: Path) -> list[FoundLadder]:
    return [
        FoundLadder(
            truth.ladder.name,
            truth.codec,
            _posix(truth.ladder.reference, root),
            tuple(_posix(level.path, root) for level in truth.ladder.levels),
            f"images/{glob.escape(truth.ladder.name)}_{glob.escape(truth.codec)}_*",
            RULE,
            truth.range,
            truth.points,
        )
        for truth in read_ground_truth(root)
    ]


class _Group(NamedTuple):
    """Levels of one source in one folder; `prefixed` if their names begin with that of the source."""

    source: str
    codec: str
    folder: Path
    prefixed: bool


def _group_levels(root: Path, files: Sequence[Path]) -> dict[_Group, list[Path]]:
    """Group the files that look like levels, by the name of the reference that they belong to."""
    stems = {nfc(file.stem) for file in files}
    groups: dict[_Group, list[Path]] = defaultdict(list)
    for file in files:
        stem = nfc(file.stem)
        name = _NAMED.fullmatch(stem)
        numbered = _NUMBER.search(stem) is not None
        folder, above = file.parent, file.parent.parent
        inner, outer = nfc(folder.name), nfc(above.name)
        if name and name["source"] in stems:
            groups[_Group(name["source"], name["codec"], folder, True)].append(file)
        elif numbered and folder != root and inner in stems - {stem}:
            groups[_Group(inner, _CODECS[file.suffix.lower()], folder, False)].append(file)
        elif numbered and root not in (folder, above) and outer in stems - {stem}:
            groups[_Group(outer, inner, folder, False)].append(file)
    return groups


def new_study(
    folder: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    title: str = "Where do you see it?",
    level: str | None = None,
    seed: int = 1,
) -> Path:
    """Write `study.toml` into `folder`, about the images that are there or that are copied there.

    Parameters
    ----------
    folder
        Folder of the study.
    images
        A folder tree whose images are copied to `folder/images`; see `find_ladders`. By default the images that are in
        `folder` already.
    title
        Title of the study.
    level
        How a level is computed from n, the last number in a file's name: `n` or `101-n`. By default, the image of the
        lowest and that of the highest number are compared with the reference.
    seed
        Seed of all random draws.

    Returns
    -------
    Path
        The path of `study.toml`.

    Raises
    ------
    PixqError
        If `study.toml` or a file to be copied exists already, or no ladder is found.

    Examples
    --------
    >>> new_study("my-study", "my-images")  # doctest: +SKIP
    PosixPath('my-study/study.toml')
    """
    folder = Path(folder)
    path = folder / STUDY_FILE
    if path.exists() or path.is_symlink():
        raise PixqError(f"{path}: exists already; choose another folder, or move it away")
    # Before anything is copied.
    ranges.SEED.check(seed, "--seed")
    if not 1 <= len(title) <= 200:
        raise PixqError(f"--title: has {len(title)} characters; give 1 to 200")
    if level is not None and not is_rule(level):
        raise PixqError(f"--level {level}: give n, or a number minus n, like 101-n; n is the number in a file's name")
    root = folder if images is None else Path(images)
    ladders = [_with_rule(root, ladder, level) for ladder in find_ladders(root)]
    if all(_is_known(ladder) for ladder in ladders):
        raise PixqError(f"{root}: the truth of all its images is known, so there is nothing to ask; add sources")
    made = [path]
    try:
        if images is not None:
            ladders = _copied(root, folder, ladders, made)
        save_text(path, (_text(ladders, title, seed),))
        _check_patterns(path, ladders)
    except BaseException:
        # So that the corrected command does not find them.
        for file in made:
            file.unlink(missing_ok=True)
        for parent in sorted({file.parent for file in made} - {folder}, reverse=True):
            with suppress(OSError):
                parent.rmdir()
        raise
    return path


def left_out(folder: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> list[LeftOut]:
    """List what `new_study` leaves out: references without levels, levels without a reference, and unusable files.

    Parameters
    ----------
    folder, images
        As for `new_study`.
    """
    root = Path(folder if images is None else images)
    used = {name for ladder in find_ladders(root) for name in (ladder.reference, *ladder.files)}
    files, unusable = _images(root)
    unused = [file for file in files if _posix(file, root) not in used]
    return [*(LeftOut(file, "has no levels, or no reference") for file in unused), *unusable]


def _images(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """The image files of a tree by name, without hidden ones, and what can't be used."""
    listing = find_files(root, ENDINGS)
    stems = {nfc(str(PurePosixPath(name).with_suffix(""))) for name in listing.files}
    files: list[Path] = []
    unusable = list(listing.left_out)
    for name in listing.files:
        path = PurePosixPath(name)
        original = original_of(path.stem)
        if path.suffix.lower() not in _CODECS:
            unusable.append(LeftOut(root / name, f"is not {titles_of(SHOWN)}, which every browser shows"))
        elif not name.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            unusable.append(LeftOut(root / name, "has a name with control characters; rename it"))
        elif original is not None and nfc(str(path.with_name(original))) in stems:
            unusable.append(LeftOut(root / name, f"looks like a copy of {original}"))
        else:
            files.append(root / name)
    return sorted(files), unusable


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _is_known(ladder: FoundLadder) -> bool:
    return ladder.points is not None and ladder.range is not None


def _pattern(group: _Group, root: Path, members: Sequence[Path]) -> str:
    suffixes = {member.suffix for member in members}
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    start = f"{glob.escape(group.source)}_{glob.escape(group.codec)}_*" if group.prefixed else "*"
    return str(PurePosixPath(glob.escape(_posix(group.folder, root))) / f"{start}{suffix}")


def _with_rule(root: Path, ladder: FoundLadder, level: str | None) -> FoundLadder:
    if level is not None or ladder.rule:
        return replace(ladder, rule=level or ladder.rule)
    levels = levels_in([PurePosixPath(name).stem for name in ladder.files])
    by_number = [name for _, name in sorted(zip((level or 0.0 for level in levels), ladder.files, strict=True))]
    reference = load_pixels(root / ladder.reference)
    lowest, highest = (difference(reference, root / name) for name in (by_number[0], by_number[-1]))
    return replace(ladder, rule="n" if highest >= lowest else RULE)


def _copied(root: Path, folder: Path, ladders: Sequence[FoundLadder], made: list[Path]) -> list[FoundLadder]:
    """Copy the images of ladders to `folder/images`, and add each new file to `made`."""

    def target_of(name: str) -> str:
        return name if name.startswith("images/") else f"images/{name}"

    names = sorted({name for ladder in ladders for name in (ladder.reference, *ladder.files)})
    for name in names:
        if (target := folder / target_of(name)).exists() and not target.samefile(root / name):
            raise PixqError(f"{target}: exists already; choose another folder, or move it away")
    for name in names:
        target = folder / target_of(name)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            made.append(target)
            shutil.copyfile(root / name, target)
    return [
        replace(
            ladder,
            reference=target_of(ladder.reference),
            files=tuple(map(target_of, ladder.files)),
            pattern=target_of(ladder.pattern),
        )
        for ladder in ladders
    ]


def _check_patterns(path: Path, ladders: Sequence[FoundLadder]) -> None:
    """Refuse patterns that match other files than were found, as when a name is the beginning of another."""
    study = read_study(path)
    sources = {(source.reference, source.codec): source for source in study.everything}
    for ladder in ladders:
        levels = levels_of(study, sources[nfc(ladder.reference), ladder.codec])
        names = {_posix(file, path.parent) for level, file in levels.items() if level}
        if others := names.symmetric_difference(ladder.files):
            raise PixqError(f"{path.parent / min(others)}: may belong to two sources; rename it")


def _text(ladders: Sequence[FoundLadder], title: str, seed: int) -> str:
    codecs: dict[str, set[str]] = defaultdict(set)
    for ladder in ladders:
        codecs[ladder.source].add(ladder.codec)
    known = [ladder for ladder in ladders if _is_known(ladder)]
    training = known[: max(1, len(known) // 3)] if known else []
    tests = known[len(training) :]
    sources = [ladder for ladder in ladders if not _is_known(ladder)]
    images = min(10, len(sources))

    def tables(kind: str, members: Iterable[FoundLadder]) -> str:
        return "".join(_table(kind, ladder, len(codecs[ladder.source]) > 1) for ladder in members)

    return _FRAME.format(
        title=_quoted(title),
        seed=seed,
        contact=PLACEHOLDER,
        images=images,
        # As many sessions as one person can have, if that is fewer than the usual ten.
        screen_after=min(10, math.ceil(len({ladder.reference for ladder in sources}) / images)),
        tests=min(2, len(tests)),
        sources=tables("source", sources),
        training=tables("training", training) or _NONE,
        hidden=tables("test", tests) or _NONE,
    )


def _quoted(text: str) -> str:
    # JSON strings are TOML strings, except for one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(kind: str, ladder: FoundLadder, with_codec: bool) -> str:
    name = f"{ladder.source}_{ladder.codec}" if with_codec else ladder.source
    lines = [
        f"[[{kind}]]",
        f"id = {_quoted(name)}",
        f"codec = {_quoted(ladder.codec)}",
        f"reference = {_quoted(ladder.reference)}",
        f"levels = {_quoted(ladder.pattern)}",
        f"level = {_quoted(ladder.rule)}",
    ]
    if kind != "source" and ladder.range is not None and ladder.points is not None:
        low, high = map(int, ladder.range)
        lines.append(f"pjnd_range = [{low}, {high}]")
        lines.append("points_yx = [" + ", ".join(f"[{y:g}, {x:g}]" for y, x in ladder.points) + "]")
    return "\n".join(lines) + "\n\n"


_NONE = "# None yet. Besides the keys of a source, it needs pjnd_range = [low, high] and points_yx = [[y, x], ...].\n\n"

_FRAME = """\
# A flicker study. Run `pixq study check` to see whether it is ready, and what it takes.

title = {title}
version = "1"                   # stored with each answer; change it when you change anything below
contact = "{contact}"     # whom participants can ask
languages = ["en"]              # languages of the page: en, de
default_language = "en"
seed = {seed}                        # seed of all random draws

scaling = "physical"            # width_cm x height_cm on every screen; or "native": one image pixel to one device pixel
width_cm = 13.797
height_cm = 10.347
distance_cm = 30                # viewing distance
min_screen_cm = 17              # lowest height of a screen
min_window = [1360, 760]        # smallest window, in CSS pixels
hertz = 8                       # changes per second
clicks = 3                      # places to click in an image

[consent]                       # a text for each language, or {{ file = "consent.en.txt" }}
en = \"\"\"
You are asked to look at images and to say at which level of distortion you first notice a flicker, and where.
Your answers are stored under a pseudonym. You may stop at any time, and have your answers deleted.
\"\"\"

[quota]
answers = 30                    # answers wanted for each source, from different people
images = {images:<23}# sources per session
tests = {tests}                       # test images hidden among them
max_sessions = 20               # sessions per person
screen_after = {screen_after:<17}# after this many sessions, people are screened out ...
screen_below = 0.7              # ... who passed less than this share of the tests
hold_minutes = 120              # how long an unfinished session reserves its sources

[platform]
kind = "local"                  # or "link" (an address with a token), or "prolific", which needs the codes
# done = "CODE1"                # completion codes
# screened_out = "CODE2"
# failed = "CODE3"
# url = "https://app.prolific.com/submissions/complete?cc={{code}}"
# signature.domain = "study.example.org"    # verify that Prolific signed the address: secure external URL

[qualification]                 # completed sessions that get no completion code ...
unwatched = 0.25                # ... as the server's clock contradicts more than this share of their answers
failed_tests = true             # ... or as they passed none of their test images
# code = "CODE4"                # give them this code instead of none

[estimate]                      # assumptions of `pixq study check`
seconds_per_image = 45
minutes_before = 5              # consent, checks, calibration and instructions, once per person
megabits = 10                   # speed of a participant's connection, in Mbit/s
per_hour = 0                    # what a participant is paid per hour
currency = "EUR"
fee = 0.0                       # the platform's fee, as a share of the pay

# The images that people are asked about. `levels` is a pattern; `level` says how a level, 1 to 100, is computed from n,
# the last number in a file's name: "n", or "101-n" if n is a JPEG quality. Level 0 is the reference.

{sources}# Training images, shown first, with feedback: at which levels they are noticed, and where ([y, x] in pixels).

{training}# Test images, hidden among the sources.

{hidden}"""
