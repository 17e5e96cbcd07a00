"""A new study: `study.toml`, written so that a person can read it, about the images of a folder tree."""

from __future__ import annotations

import glob
import json
import math
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pixq.errors import PixqError
from pixq.io.atomic import write_text
from pixq.io.image_formats import SHOWN
from pixq.io.images import load_pixels
from pixq.ladders.difference import difference
from pixq.ladders.ground_truth import RULE, read_ground_truth
from pixq.ladders.level_rule import is_rule
from pixq.study.design.config import PLACEHOLDER, STUDY_FILE, read_study
from pixq.study.design.study_files import levels_of

__all__ = ["FoundLadder", "find_ladders", "left_out", "new_study"]

#: The codec that a file's ending stands for, of files that every browser shows.
_CODECS = {ending: shown.name.upper() for shown in SHOWN for ending in shown.endings}
_NAMED = re.compile(r"(?P<source>.+)_(?P<codec>[A-Za-z0-9-]+)_(?P<number>\d+)")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class FoundLadder:
    """A reference and its levels in a folder tree.

    Parameters
    ----------
    source, codec
        The reference's name, and what made the levels.
    reference
        Relative to the tree, with `/`.
    files
        Of the levels, the same.
    pattern
        Of these files and no others.
    rule
        How a level follows from the last number in a file's name; empty: not known yet.
    range, points
        What people said of it, if known.
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
    """The ladders of a folder tree, by name.

    Parameters
    ----------
    root
        Holds, anywhere below it, `SOURCE.png` and `SOURCE_CODEC_NUMBER.jpg` for each level; or `SOURCE.png`, and in a
        folder called `SOURCE` or in `SOURCE/CODEC` files with a number in their names. Or it is a folder of LocJND's
        layout, with `ground_truth.json`. PNG, JPEG and WebP are looked at; hidden files are not.

    Raises
    ------
    PixqError
        If there is no ladder.
    """
    if (root / "ground_truth.json").is_file():
        return [
            FoundLadder(
                truth.ladder.name,
                truth.codec,
                _posix(truth.ladder.reference, root),
                tuple(_posix(each.path, root) for each in truth.ladder.levels),
                f"images/{glob.escape(truth.ladder.name)}_{glob.escape(truth.codec)}_*",
                RULE,
                truth.range,
                truth.points,
            )
            for truth in read_ground_truth(root)
        ]
    if not root.is_dir():
        raise PixqError(f"{root}: there is no such folder; put references and their levels there")
    files = _images(root)
    stems = {each.stem for each in files}
    groups: dict[tuple[str, str, Path, bool], list[Path]] = defaultdict(list)
    for file in files:
        named = _NAMED.fullmatch(file.stem)
        own, above = file.parent.name, file.parent.parent.name
        if named and named["source"] in stems:
            groups[named["source"], named["codec"], file.parent, True].append(file)
        elif file.parent != root and own in stems - {file.stem} and _NUMBER.search(file.stem):
            groups[own, _CODECS[file.suffix.lower()], file.parent, False].append(file)
        elif (
            root not in (file.parent, file.parent.parent) and above in stems - {file.stem} and _NUMBER.search(file.stem)
        ):
            groups[above, own, file.parent, False].append(file)
    taken = {file for group in groups.values() for file in group}
    references: dict[str, Path] = {}
    for file in files:
        if file not in taken and (other := references.setdefault(file.stem, file)) != file:
            raise PixqError(f"{file}: has the name of {other}; rename one of them")
    found = [
        FoundLadder(
            source,
            codec,
            _posix(references[source], root),
            tuple(_posix(each, root) for each in members),
            _pattern(source, codec, folder.relative_to(root), named, members),
        )
        for (source, codec, folder, named), members in sorted(groups.items())
        if source in references
    ]
    if not found:
        raise PixqError(
            f"{root}: holds no SOURCE.png with levels, which are called SOURCE_CODEC_NUMBER.jpg, "
            "or lie in a folder SOURCE"
        )
    return found


def new_study(
    folder: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    title: str = "Where do you see it?",
    level: str | None = None,
    seed: int = 1,
) -> Path:
    """Write `study.toml` into `folder`, about the images that are in it, or that are copied into it.

    Parameters
    ----------
    folder
        Of the study.
    images
        A folder tree whose images are copied to `folder/images`; see `find_ladders`. Default: those in `folder`.
    title
        Of the study.
    level
        How a level follows from n, the last number in a file's name: `n` or `101-n`. Default: by looking whether the
        image of the lowest or of the highest number differs more from its reference.
    seed
        Of everything that is drawn.

    Returns
    -------
    Path
        Of `study.toml`.

    Raises
    ------
    PixqError
        If there is a `study.toml` or a file to be copied already, or no ladder is found.

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
    if not 1 <= len(title) <= 200:
        raise PixqError(f"--title: has {len(title)} characters; give 1 to 200")
    if level is not None and not is_rule(level):
        raise PixqError(f"--level {level}: give n, or a number minus n, like 101-n: n is that in a file's name")
    root = folder if images is None else Path(images)
    ladders = [_ruled(root, each, level) for each in find_ladders(root)]
    if all(each.points is not None and each.range is not None for each in ladders):
        raise PixqError(f"{root}: the truth of all its images is known, so there is nothing to ask; add sources")
    if images is not None:
        ladders = _copied(root, folder, ladders)
    scratch = folder / f".{STUDY_FILE}.partial-{os.getpid()}"
    try:
        write_text(scratch, path, (_text(ladders, title, seed),))
        _agrees(path, ladders)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        scratch.unlink(missing_ok=True)
    return path


def left_out(folder: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> list[str]:
    """Images of a tree that `new_study` made no source of: references without levels, and levels without a reference.

    Parameters
    ----------
    folder, images
        As `new_study` has them.
    """
    root = Path(folder if images is None else images)
    taken = {name for each in find_ladders(root) for name in (each.reference, *each.files)}
    return sorted(_posix(each, root) for each in _images(root) if _posix(each, root) not in taken)


def _images(root: Path) -> list[Path]:
    """All image files of a tree but hidden ones, by name."""
    return sorted(
        each
        for each in root.rglob("*")
        if each.suffix.lower() in _CODECS
        and not any(part.startswith(".") for part in each.relative_to(root).parts)
        and each.is_file()
    )


def _posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _pattern(source: str, codec: str, folder: Path, named: bool, members: Sequence[Path]) -> str:
    suffixes = {each.suffix for each in members}
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    start = f"{glob.escape(source)}_{glob.escape(codec)}_*" if named else "*"
    return str(PurePosixPath(glob.escape(folder.as_posix())) / f"{start}{suffix}")


def _ruled(root: Path, ladder: FoundLadder, level: str | None) -> FoundLadder:
    if level is not None or ladder.rule:
        return replace(ladder, rule=level or ladder.rule)
    numbered = sorted(ladder.files, key=lambda name: int(_NUMBER.findall(PurePosixPath(name).stem)[-1]))
    reference = load_pixels(root / ladder.reference)
    errors = [difference(reference, root / name) for name in (numbered[0], numbered[-1])]
    return replace(ladder, rule="n" if errors[1] >= errors[0] else RULE)


def _copied(root: Path, folder: Path, ladders: Sequence[FoundLadder]) -> list[FoundLadder]:
    def to(name: str) -> str:
        return name if name.startswith("images/") else f"images/{name}"

    names = sorted({name for each in ladders for name in (each.reference, *each.files)})
    for name in names:
        if (target := folder / to(name)).exists() and not target.samefile(root / name):
            raise PixqError(f"{target}: exists already; choose another folder, or move it away")
    for name in names:
        target = folder / to(name)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
    return [
        replace(each, reference=to(each.reference), files=tuple(map(to, each.files)), pattern=to(each.pattern))
        for each in ladders
    ]


def _agrees(path: Path, ladders: Sequence[FoundLadder]) -> None:
    """Each pattern must find what was found: a name may be the beginning of another."""
    study = read_study(path)
    by_reference = {(each.reference, each.codec): each for each in study.everything}
    for ladder in ladders:
        found = levels_of(study, by_reference[ladder.reference, ladder.codec])
        names = {_posix(each, path.parent) for level, each in found.items() if level}
        if other := names.symmetric_difference(ladder.files):
            raise PixqError(f"{path.parent / min(other)}: may be of two sources; rename it")


def _text(ladders: Sequence[FoundLadder], title: str, seed: int) -> str:
    codecs: dict[str, set[str]] = defaultdict(set)
    for each in ladders:
        codecs[each.source].add(each.codec)
    known = [each for each in ladders if each.points is not None and each.range is not None]
    training = known[: max(1, len(known) // 3)] if known else []
    tests = known[len(training) :]
    asked = [each for each in ladders if each not in known]
    images = min(10, len(asked))

    def tables(kind: str, members: Iterable[FoundLadder]) -> str:
        return "".join(_table(kind, each, len(codecs[each.source]) > 1) for each in members)

    return _FRAME.format(
        title=_quoted(title),
        seed=seed,
        contact=PLACEHOLDER,
        images=images,
        # As many as somebody can have, if that is less than the usual ten.
        screen_after=min(10, math.ceil(len({each.reference for each in asked}) / images)),
        tests=min(2, len(tests)),
        sources=tables("source", asked),
        training=tables("training", training) or _NONE,
        hidden=tables("test", tests) or _NONE,
    )


def _quoted(text: str) -> str:
    # JSON's text is TOML's but for one character.
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
        low, high = (int(each) for each in ladder.range)
        lines.append(f"pjnd_range = [{low}, {high}]")
        lines.append("points_yx = [" + ", ".join(f"[{y:g}, {x:g}]" for y, x in ladder.points) + "]")
    return "\n".join(lines) + "\n\n"


_NONE = (
    "# There is none: it needs pjnd_range = [low, high] and points_yx = [[y, x], ...] besides what a source has.\n\n"
)

_FRAME = """\
# A flicker study. `pixq study check` says whether it is ready, and what it takes.

title = {title}
version = "1"                   # answers carry it: change it when anything below changes
contact = "{contact}"     # whom participants can ask
languages = ["en"]              # of the page: en, de
default_language = "en"
seed = {seed}                        # of everything that is drawn

scaling = "physical"            # width_cm x height_cm on every screen; or "native": one image pixel to one device pixel
width_cm = 13.797
height_cm = 10.347
distance_cm = 30                # to be seen from
min_screen_cm = 17              # lowest height of a screen
min_window = [1360, 760]        # smallest window, in CSS pixels
hertz = 8                       # changes a second
clicks = 3                      # places to be found in an image

[consent]                       # a text for each language, or {{ file = "consent.en.txt" }}
en = \"\"\"
You are asked to look at images and to say at which level of distortion you first notice a flicker, and where.
Your answers are stored under a pseudonym. You may stop at any time, and have your answers deleted.
\"\"\"

[quota]
answers = 30                    # wanted for each source, of different people
images = {images:<23}# sources that a session asks about
tests = {tests}                       # test images hidden among them
max_sessions = 20               # of one person
screen_after = {screen_after:<17}# from so many sessions on ...
screen_below = 0.7              # ... who passed a smaller share of the tests is out
hold_minutes = 120              # how long an unfinished session keeps its places

[platform]
kind = "local"                  # or "link" (an address with a token), or "prolific", which needs the codes
# done = "CODE1"                # completion codes
# screened_out = "CODE2"
# failed = "CODE3"
# url = "https://app.prolific.com/submissions/complete?cc={{code}}"

[estimate]                      # what `pixq study check` reckons with
seconds_per_image = 45
minutes_before = 5              # consent, checks, calibration and instructions, once a person
megabits = 10                   # of a participant's line, a second
per_hour = 0                    # what a participant is paid
currency = "EUR"
fee = 0.0                       # the platform's, as a share of that

# What people are asked about. `levels` is a pattern; `level` says how a level, 1 to 100, follows from n, the last
# number in a file's name: "n", or "101-n" where n is a JPEG's quality. Level 0 is the reference.

{sources}# Shown first, with feedback: between which levels people notice it, and where ([y, x] in pixels).

{training}# Hidden among the sources, and told to nobody.

{hidden}"""
