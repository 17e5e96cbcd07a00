"""A reference and its distorted images at rising levels: which file is which level, and the maps of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pixq.errors import PixqError
from pixq.io.image_formats import ENDINGS
from pixq.io.images import pixels_of
from pixq.ladders.level_rule import is_rule, level_in
from pixq.scoring.grid import STRIDE
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["Ladder", "Level", "check_given", "maps", "open_ladder"]


@dataclass(frozen=True)
class Level:
    """One distorted image of a ladder; a higher level is distorted more."""

    level: float
    path: Path


@dataclass(frozen=True)
class Ladder:
    """A reference and its levels, rising.

    Parameters
    ----------
    name
        What it is called in tables and files.
    reference
        The reference's file.
    levels
        At least one, each number once.
    """

    name: str
    reference: Path
    levels: tuple[Level, ...]


def open_ladder(reference: Path, paths: Iterable[Path], rule: str = "n") -> Ladder:
    """The ladder of a reference's file and distorted images, or folders of them.

    Parameters
    ----------
    reference
        The reference's file.
    paths
        Images, and folders whose images are all taken, but for hidden ones and the reference itself.
    rule
        How an image's level follows from n, the last number in its file's name: `n`, or `101-n` where n is the quality
        that a JPEG was saved with, and a higher n is distorted less. A single image needs no number: it is level 1.

    Raises
    ------
    PixqError
        If a file is missing, has no number in its name or the level of another, or the rule is none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "a_90.jpg", "a_50.jpg"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [(each.level, each.path.name) for each in open_ladder(folder / "a.png", [folder], "101-n").levels]
    [(11.0, 'a_90.jpg'), (51.0, 'a_50.jpg')]
    """
    rule = rule.replace(" ", "")
    if not is_rule(rule):
        raise PixqError(f"--level is {rule!r}; give n, or a number minus n, like 101-n: n is that in a file's name")
    if not reference.is_file():
        raise PixqError(f"{reference}: there is no such file; give the reference of the ladder")
    found: dict[float, Path] = {}
    files = list(_files(reference, paths))
    for path in files:
        level = level_in(path.stem, rule)
        if level is None and len(files) == 1:
            # It has no others to be told from.
            found[1.0] = path
            break
        if level is None:
            raise PixqError(
                f"{path}: has no number in its name, which would tell its level; rename it, or leave it out: "
                "name the levels alone, like photo_*.jpg"
            )
        if (other := found.setdefault(level, path)) != path:
            raise PixqError(f"{path}: is level {level:g}, as {other.name} is; keep one of them")
    if not found:
        raise PixqError(f"{reference}: no level of it was given; name distorted images, or a folder of them")
    return Ladder(reference.stem, reference, tuple(Level(level, found[level]) for level in sorted(found)))


def _files(reference: Path, paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if not each.name.startswith(".") and each.is_file())
            yield from (each for each in inside if each.suffix.lower() in ENDINGS and not each.samefile(reference))
        elif not path.exists():
            raise PixqError(f"{path}: there is no such file or folder")
        elif path.samefile(reference):
            raise PixqError(f"{path}: is the reference itself; leave it out of the levels")
        else:
            yield path


def check_given(scorer: Scorer, share: float | None, stride: int | None) -> None:
    """See to it that a share of patches, and pixels between them, are such; `None` was not given.

    Raises
    ------
    PixqError
        If a number is out of its range.
    """
    if share is not None and not 0.0 < share <= 1.0:
        raise PixqError(f"--share is {share:g}; give a share of the patches, above 0 and up to 1")
    if stride is not None and not 1 <= stride <= scorer.size:
        raise PixqError(f"--stride is {stride}; give 1 to {scorer.size} pixels")


def maps(
    scorer: Scorer,
    ladder: Ladder,
    *,
    stride: int = STRIDE,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Level, QualityMap]]:
    """The map of each level, rising; the next image is decoded while one is scored.

    Parameters
    ----------
    scorer
        The model.
    ladder
        What to score.
    stride
        Pixels between neighbouring patches.
    watch
        Is told how many levels are done, of how many.

    Raises
    ------
    PixqError
        If a file can't be read, or is of another size than the reference.
    """
    tell = watch or (lambda done, total: None)
    reference = pixels_of(ladder.reference)
    with ThreadPoolExecutor(1, "pixq-decode") as pool:
        ahead = pool.submit(pixels_of, ladder.levels[0].path)
        for number, level in enumerate(ladder.levels):
            tell(number, len(ladder.levels))
            distorted = ahead.result()
            if number + 1 < len(ladder.levels):
                ahead = pool.submit(pixels_of, ladder.levels[number + 1].path)
            if distorted.shape != reference.shape:
                raise PixqError(
                    f"{level.path}: has {distorted.shape[1]}x{distorted.shape[0]} pixels, and {ladder.reference} "
                    f"{reference.shape[1]}x{reference.shape[0]}; give images of one size"
                )
            yield level, scorer.map(reference, distorted, stride=stride)
    tell(len(ladder.levels), len(ladder.levels))
