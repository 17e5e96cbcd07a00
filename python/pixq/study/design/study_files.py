"""A study's images: which file is which level, and what each is. Nothing outside the study's folder is ever named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from pixq.errors import PixqError, one_line
from pixq.io.image_formats import SHOWN, titles_of
from pixq.ladders.level_rule import level_in
from pixq.study.design.config import Source, Study, TruthSource, read_study

__all__ = ["Kind", "OpenedSource", "OpenedStudy", "StudyImage", "kind_of", "levels_of", "open_source", "open_study"]

#: The media types of what every browser shows, by Pillow's names of the formats.
_MEDIA = {shown.name.upper(): shown.media_type for shown in SHOWN}
#: Rows or columns that no browser is sure to draw.
_LARGEST = 8192
_ORIENTATION = 0x0112
_LEVELS = range(1, 101)

Kind = Literal["source", "training", "test"]


@dataclass(frozen=True)
class StudyImage:
    """A file that participants are shown: where it is, its media type, and how many bytes it has."""

    path: Path
    media: str
    bytes: int


@dataclass(frozen=True)
class OpenedSource:
    """A source of which every file was looked at.

    Parameters
    ----------
    source
        As `study.toml` has it.
    kind
        Where it has it.
    width, height
        Of all its images, in pixels.
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
        """Of all its files."""
        return sum(image.bytes for image in self.levels.values())


@dataclass(frozen=True)
class OpenedStudy:
    """A study and its images by id."""

    study: Study
    sources: Mapping[str, OpenedSource]


def kind_of(study: Study, source: Source) -> Kind:
    """Which of `[[source]]`, `[[training]]` and `[[test]]` it is."""
    for kind, members in (("training", study.training), ("test", study.test)):
        if any(each.id == source.id for each in members):
            return "training" if kind == "training" else "test"
    return "source"


def levels_of(study: Study, source: Source) -> dict[int, Path]:
    """The file of each level of a source, rising; level 0 is the reference. No file is opened.

    Raises
    ------
    PixqError
        If a file is missing, leads out of the study's folder, or its name tells no level from 1 to 100, or another's.

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
    reference = study.folder / source.reference
    if not reference.is_file():
        raise PixqError(f"{reference}: there is no such file; it is the reference of {source.id}")
    _stays(reference, root)
    try:
        paths = sorted(study.folder.glob(source.levels))
    except ValueError as error:
        raise PixqError(f"levels of {source.id}: {source.levels!r}: {error}") from None
    found: dict[int, Path] = {}
    for path in paths:
        if not path.is_file() or path.samefile(reference):
            continue
        _stays(path, root)
        told = level_in(path.stem, source.level)
        if told is None:
            raise PixqError(f"{path}: has no number in its name, which would tell its level; rename it or move it away")
        if told not in _LEVELS:
            raise PixqError(
                f"{path}: is level {told:g} by level = {source.level!r}; levels are 1, 2, ... 100, and 0 is the "
                "reference"
            )
        level = int(told)
        if (other := found.setdefault(level, path)) != path:
            raise PixqError(f"{path}: is level {level}, as {other.name} is; keep one of them")
    if not found:
        raise PixqError(
            f"{study.folder / source.levels}: no file is like that; these are to be the levels of {source.id}"
        )
    return {0: reference, **{level: found[level] for level in sorted(found)}}


def open_source(study: Study, source: Source) -> OpenedSource:
    """Look at every file of a source; no pixel is decoded.

    Raises
    ------
    PixqError
        As `levels_of`; or if a file is none that browsers show, is turned by its EXIF tags, or has another size than
        the reference; or a point of the truth lies outside the image.
    """
    size: tuple[int, int] | None = None
    images: dict[int, StudyImage] = {}
    for level, path in levels_of(study, source).items():
        image, own = _probe(path)
        size = size or own
        if own != size:
            raise PixqError(
                f"{path}: has {own[0]}x{own[1]} pixels, and its reference {size[0]}x{size[1]}; give images of one size"
            )
        images[level] = image
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
    """Read `study.toml` and look at every image it names.

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
    return OpenedStudy(study, {each.id: open_source(study, each) for each in study.everything})


def _stays(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise PixqError(f"{path}: leads out of the study's folder; copy the file into it")


def _probe(path: Path) -> tuple[StudyImage, tuple[int, int]]:
    try:
        # An image that is too large is told below, as an error of ours.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            kind, size = image.format or "", image.size
            # Pillow decodes all of a PNG to look for tags behind its pixels.
            tagged = kind != "PNG" or "exif" in image.info
            turned = tagged and image.getexif().get(_ORIENTATION, 1) != 1
            frames = getattr(image, "n_frames", 1)
        count = path.stat().st_size
    except Exception as error:  # Pillow raises nearly anything for a damaged file.
        said = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise PixqError(f"{path}: is no image that can be read: {said}; save it again") from None
    if kind not in _MEDIA:
        raise PixqError(f"{path}: is {kind}, which not every browser shows; save it as {titles_of(SHOWN)}")
    if frames != 1:
        raise PixqError(f"{path}: moves; save one picture of it")
    if turned:
        raise PixqError(f"{path}: is turned by its EXIF orientation; turn its pixels and take the tag out")
    if max(size) > _LARGEST:
        raise PixqError(f"{path}: has {size[0]}x{size[1]} pixels; no side may have more than {_LARGEST}")
    return StudyImage(path, _MEDIA[kind], count), size
