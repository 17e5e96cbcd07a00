"""A ladder: a reference and its distorted images at rising levels, and the maps of all levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pixq import ranges
from pixq.errors import PixqError
from pixq.io.folders import SPECIAL, LeftOut, explain_missing, find_files
from pixq.io.image_formats import ENDINGS
from pixq.io.images import AS_SHOWN, ReadOptions, load_pixels
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.level_rule import is_rule, levels_in, same_level
from pixq.ranges import whole
from pixq.scoring.grid import STRIDE
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["Ladder", "Level", "check_options", "check_share_used", "image_value", "level_maps", "open_ladder"]


@dataclass(frozen=True)
class Level:
    """One distorted image of a ladder; a higher level means more distortion."""

    level: float
    path: Path


@dataclass(frozen=True)
class Ladder:
    """A reference and its levels, rising.

    Parameters
    ----------
    name
        Its name in tables and files.
    reference
        The reference's file.
    levels
        At least one; no number twice.
    left_out
        What a folder holds besides and can't be read.
    reading
        How the images are read.
    """

    name: str
    reference: Path
    levels: tuple[Level, ...]
    left_out: tuple[LeftOut, ...] = ()
    reading: ReadOptions = AS_SHOWN


def open_ladder(reference: Path, paths: Iterable[Path], rule: str = "n") -> Ladder:
    """Make a ladder of a reference file and distorted images, or folders of them.

    Parameters
    ----------
    reference
        The reference's file.
    paths
        Images, and folders; of a folder, all images except hidden ones and the reference itself. Links that lead
        nowhere, and what else can't be read, are left out of a folder and listed in the ladder.
    rule
        How the level of an image follows from n, the last number in its file name: `n`, or for example `101-n` if n is
        a JPEG's quality, so that a higher n means less distortion. A single image needs no number: it is level 1.

    Raises
    ------
    PixqError
        If a file is missing, has no number in its name or the same level as another, or the rule is not valid.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "a_90.jpg", "a_50.jpg"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [(level.level, level.path.name) for level in open_ladder(folder / "a.png", [folder], "101-n").levels]
    [(11.0, 'a_90.jpg'), (51.0, 'a_50.jpg')]
    """
    rule = rule.replace(" ", "")
    if not is_rule(rule):
        raise PixqError(
            f"--level is {rule!r}; give n, or a number minus n, like 101-n, where n is the number in a file's name"
        )
    if not reference.is_file():
        missing = explain_missing(reference, "no such file")
        raise PixqError(f"{reference}: {missing}; give the reference of the ladder")
    paths_by_level: dict[float, Path] = {}
    left_out: list[LeftOut] = []
    files = list(_files(reference, paths, left_out))
    for path, level in zip(files, levels_in([file.stem for file in files], rule), strict=True):
        if level is None and len(files) == 1:
            paths_by_level[1.0] = path
            break
        if level is None:
            raise PixqError(
                f"{path}: has no number in its name to be its level; rename it, or leave it out by naming only the "
                "levels, like photo_*.jpg"
            )
        if (other := paths_by_level.setdefault(level, path)) != path:
            raise PixqError(same_level(path, other, level))
    if not paths_by_level:
        raise PixqError(f"{reference}: has no levels; give distorted images, or a folder of them")
    levels = tuple(Level(*entry) for entry in sorted(paths_by_level.items()))
    return Ladder(reference.stem, reference, levels, tuple(left_out))


def _files(reference: Path, paths: Iterable[Path], left_out: list[LeftOut]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            listing = find_files(path, ENDINGS, recursive=False)
            left_out += listing.left_out
            yield from (path / name for name in listing.files if not (path / name).samefile(reference))
        elif not path.exists():
            raise PixqError(f"{path}: {explain_missing(path)}; check the path")
        elif not path.is_file():
            raise PixqError(f"{path}: {SPECIAL}; a ladder's images are read more than once, so save it as a file")
        elif path.samefile(reference):
            raise PixqError(f"{path}: is the reference itself; leave it out of the levels")
        else:
            yield path


def check_options(scorer: Scorer, share: float | None, stride: int | None) -> None:
    """Check a share of patches and a stride; `None` stands for a default.

    Raises
    ------
    PixqError
        If a number is out of range.
    """
    if share is not None:
        ranges.SHARE.check(share, "--share")
    if stride is not None:
        whole(1, scorer.size).check(stride, "--stride")


def check_share_used(share: float | None, fix: str) -> None:
    """Refuse a share of patches for a run of `visibility`, whose levels are noticed by the JND of the image.

    Raises
    ------
    PixqError
        If there is a share. The message ends with `fix`.
    """
    if share is not None:
        raise PixqError(
            f"--share has no effect with a run of the model visibility: the JND of the whole image decides; {fix}"
        )


def image_value(quality_map: QualityMap) -> float:
    """Minus the JND of an image, which is what a run of `visibility` compares with a cut: 0 for identical images."""
    assert quality_map.visibility is not None
    return 0.0 - quality_map.visibility.jnd


def level_maps(
    scorer: Scorer, ladder: Ladder, *, stride: int = STRIDE, on_progress: ProgressCallback = ignore_progress
) -> Iterator[tuple[Level, QualityMap]]:
    """Score the levels of a ladder, rising; the next image is decoded while one is scored.

    Parameters
    ----------
    scorer
        The model.
    ladder
        What to score.
    stride
        Pixels between neighbouring patches.
    on_progress
        Called with the ladder's name as the stage, and the number of levels.

    Raises
    ------
    PixqError
        If a file can't be read, or has another size than the reference.
    """
    reference = load_pixels(ladder.reference, ladder.reading)
    with ThreadPoolExecutor(1, "pixq-decode") as pool:
        ahead = pool.submit(load_pixels, ladder.levels[0].path, ladder.reading)
        for number, level in enumerate(ladder.levels):
            on_progress(ladder.name, number, len(ladder.levels))
            distorted = ahead.result()
            if number + 1 < len(ladder.levels):
                ahead = pool.submit(load_pixels, ladder.levels[number + 1].path, ladder.reading)
            if distorted.shape != reference.shape:
                raise PixqError(
                    f"{level.path}: has {distorted.shape[1]}x{distorted.shape[0]} pixels, and {ladder.reference} "
                    f"{reference.shape[1]}x{reference.shape[0]}; give images of the same size"
                )
            yield level, scorer.map(reference, distorted, stride=stride)
    on_progress(ladder.name, len(ladder.levels), len(ladder.levels))
