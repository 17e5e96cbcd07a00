"""The image files of a study: which file is which level, its type and its size; all lie inside the study's folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from pixq.errors import PixqError, one_line
from pixq.io.folders import explain_missing, find_path, glob_files
from pixq.io.image_formats import SHOWN, titles_of
from pixq.ladders.level_rule import levels_in, same_level
from pixq.study.design.config import Source, Study, TruthSource, read_study

__all__ = ["Kind", "OpenedSource", "OpenedStudy", "StudyImage", "kind_of", "levels_of", "open_source", "open_study"]

#: Media types of the formats that every browser shows, by Pillow's names.
_MEDIA = {shown.name.upper(): shown.media_type for shown in SHOWN}
#: The most rows or columns that all browsers draw.
_LARGEST = 8192
_ORIENTATION = 0x0112
_LEVELS = range(1, 101)

Kind = Literal["source", "training", "test"]


@dataclass(frozen=True)
class StudyImage:
    """An image file that participants see: its path, its media type, and its size in bytes."""

    path: Path
    media: str
    bytes: int


@dataclass(frozen=True)
class OpenedSource:
    """A source whose files have all been opened.

    Parameters
    ----------
    source
        Its table in `study.toml`.
    kind
        Whether that table is `source`, `training` or `test`.
    width, height
        Size of all its images, in pixels.
    levels
        The image of each level, rising. Level 0 is the reference.
    """

    source: Source
    kind: Kind
    width: int
    height: int
    levels: Mapping[int, StudyImage]

    @property
    def bytes(self) -> int:
        """Size of all its files together."""
        return sum(image.bytes for image in self.levels.values())


@dataclass(frozen=True)
class OpenedStudy:
    """A study and its sources, training and test images by id."""

    study: Study
    sources: Mapping[str, OpenedSource]


def kind_of(study: Study, source: Source) -> Kind:
    """Tell in which of `[[source]]`, `[[training]]` and `[[test]]` a source stands."""
    for kind, members in (("training", study.training), ("test", study.test)):
        if any(member.id == source.id for member in members):
            return "training" if kind == "training" else "test"
    return "source"


def levels_of(study: Study, source: Source) -> dict[int, Path]:
    """Find the file of each level of a source, rising, without opening it; level 0 is the reference.

    Raises
    ------
    PixqError
        If a file is missing or lies outside the study's folder, or if its name gives no level from 1 to 100, or a
        level that another file has.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "a_90.jpg", "a_50.jpg"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> source = Source(id="a", codec="JPEG", reference="a.png", levels="a_*.jpg", level="101-n")
    >>> study = Study(title="t", contact="c", consent={"en": "?"}, source=[source], quota={"tests": 0}, folder=folder)
    >>> {level: path.name for level, path in levels_of(study, source).items()}
    {0: 'a.png', 11: 'a_90.jpg', 51: 'a_50.jpg'}
    """
    root = study.folder.resolve()
    reference = find_path(study.folder, source.reference)
    if not reference.is_file():
        raise PixqError(f"{reference}: {explain_missing(reference, 'is missing')}; add the reference of {source.id}")
    _require_inside(reference, root)
    try:
        paths, left_out = glob_files(study.folder, source.levels)
    except ValueError as error:
        raise PixqError(f"levels of {source.id}: {source.levels!r}: {error}") from None
    if left_out:
        raise PixqError(f"{left_out[0].path}: {left_out[0].reason}, but is among the levels of {source.id}; fix it")
    paths = [path for path in paths if not path.samefile(reference)]
    levels: dict[int, Path] = {}
    for path, level in zip(paths, levels_in([path.stem for path in paths], source.level), strict=True):
        _require_inside(path, root)
        if level is None:
            raise PixqError(f"{path}: has no number in its name to give its level; rename the file, or move it away")
        if level not in _LEVELS:
            raise PixqError(
                f"{path}: has level {level:g} by level = {source.level!r}, but levels are 1, 2, ... 100, and 0 is the "
                "reference; rename the file, or move it away"
            )
        if (other := levels.setdefault(int(level), path)) != path:
            raise PixqError(same_level(path, other, level))
    if not levels:
        raise PixqError(
            f"{study.folder / source.levels}: matches no file, but gives the levels of {source.id}; fix the pattern"
        )
    return {0: reference, **{level: levels[level] for level in sorted(levels)}}


def open_source(study: Study, source: Source) -> OpenedSource:
    """Open every file of a source without decoding its pixels.

    Raises
    ------
    PixqError
        As `levels_of`; or if browsers don't show a file, its EXIF tags rotate it, or its size differs from that of the
        reference; or if a point of the truth lies outside the image.
    """
    size: tuple[int, int] | None = None
    images: dict[int, StudyImage] = {}
    for level, path in levels_of(study, source).items():
        images[level], image_size = _probe(path)
        size = size or image_size
        if image_size != size:
            raise PixqError(
                f"{path}: has {image_size[0]}x{image_size[1]} pixels, but its reference has {size[0]}x{size[1]}; use "
                "images of one size"
            )
    width, height = size or (0, 0)
    if isinstance(source, TruthSource):
        for y, x in source.points_yx:
            if y >= height or x >= width:
                raise PixqError(
                    f"points_yx of {source.id}: [{y:g}, {x:g}] lies outside its image of {width}x{height} pixels; "
                    "give [y, x]"
                )
    return OpenedSource(source, kind_of(study, source), width, height, images)


def open_study(path: str | os.PathLike[str]) -> OpenedStudy:
    """Read `study.toml` and open every image that it names.

    Parameters
    ----------
    path
        The file or its folder.

    Raises
    ------
    PixqError
        As `read_study` and `open_source`.

    Examples
    --------
    >>> open_study("my-study").sources["SRC01"].levels[40].bytes  # doctest: +SKIP
    31872
    """
    study = read_study(path)
    return OpenedStudy(study, {source.id: open_source(study, source) for source in study.everything})


def _require_inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise PixqError(f"{path}: lies outside the study's folder; copy the file into it")


def _probe(path: Path) -> tuple[StudyImage, tuple[int, int]]:
    try:
        # Images that are too large for Pillow's liking get a message of ours below.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            kind, size = image.format or "", image.size
            # Pillow decodes all of a PNG to look for tags behind its pixels.
            tagged = kind != "PNG" or "exif" in image.info
            rotated = tagged and image.getexif().get(_ORIENTATION, 1) != 1
            frames = getattr(image, "n_frames", 1)
        if kind == "MPO":
            # A camera's JPEG with further pictures after its end, of which browsers know nothing.
            kind, frames = "JPEG", 1
        count = path.stat().st_size
    except Exception as error:  # Pillow raises nearly anything for a damaged file.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise PixqError(f"{path}: can't be read as an image: {reason}; save it again") from None
    if kind not in _MEDIA:
        raise PixqError(f"{path}: is a {kind} file, which not every browser shows; save it as {titles_of(SHOWN)}")
    if frames != 1:
        raise PixqError(f"{path}: is animated; save a single frame")
    if rotated:
        raise PixqError(f"{path}: is rotated by its EXIF orientation; rotate the pixels and remove the tag")
    if max(size) > _LARGEST:
        raise PixqError(f"{path}: has {size[0]}x{size[1]} pixels; no side may have more than {_LARGEST}")
    return StudyImage(path, _MEDIA[kind], count), size
