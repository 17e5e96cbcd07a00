"""Reads the reference images to distort."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pixq import ranges
from pixq.distort.kinds import Image
from pixq.errors import PixqError, printable
from pixq.io.folders import LeftOut, explain_missing, find_files
from pixq.io.image_formats import DECODED, ENDINGS, endings_of, titles_of
from pixq.io.images import AS_SHOWN, ReadOptions, read_pixels, to_8_bits
from pixq.io.paths import nfc, original_of

__all__ = ["References", "find_references", "read_references"]


@dataclass(frozen=True)
class References:
    """The files of references by name, what folders hold besides and can't be read, and files that look like copies."""

    files: dict[str, Path]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def copies(self) -> dict[str, str]:
        """The name of the original by that of what looks like its copy, such as `photo (1).png`."""
        names = {nfc(Path(name).stem).casefold(): name for name in self.files}
        originals = {name: original_of(Path(name).stem) for name in self.files}
        return {
            name: names[nfc(original).casefold()]
            for name, original in originals.items()
            if original is not None and nfc(original).casefold() in names
        }


def find_references(paths: Iterable[Path]) -> References:
    """Find the references that `read_references` reads.

    Raises
    ------
    PixqError
        If there is no image, a path leads to neither an image nor a folder, or two images have the same name.
    """
    files: dict[str, Path] = {}
    left_out: list[LeftOut] = []
    for file in (file for path in paths for file in _files(path, left_out)):
        name = printable(file.name)
        if files.setdefault(name, file) != file:
            raise PixqError(f"{file}: {files[name]} has the same name, which must be unique; rename one of them")
    if not files:
        raise PixqError("there is no reference; give image files or folders of them, like photos/")
    return References(files, tuple(left_out))


def read_references(
    paths: Iterable[Path], *, max_pixels: int = 1 << 28, reading: ReadOptions = AS_SHOWN
) -> dict[str, Image]:
    """Read images, by file name in the order of `paths`; folders give all of their image files in order of name.

    Parameters
    ----------
    paths
        Image files and folders. Files that are no images and hidden files in folders are ignored.
    max_pixels
        Larger images are refused before memory is taken.
    reading
        How their colours and transparent pixels are read.

    Returns
    -------
    dict
        uint8 RGB of shape (height, width, 3) by file name; samples of 16 bits are rounded to 8.

    Raises
    ------
    PixqError
        If there is no image, one can't be read, or two have the same name.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image as Pillow
    >>> folder = Path(tempfile.mkdtemp())
    >>> Pillow.new("RGB", (40, 30)).save(folder / "black.png")
    >>> {name: image.shape for name, image in read_references([folder]).items()}
    {'black.png': (30, 40, 3)}
    """
    ranges.MAX_PIXELS.check(max_pixels, "--max-pixels")
    images: dict[str, Image] = {}
    for name, file in find_references(paths).files.items():
        try:
            pixels = read_pixels(file, max_pixels=max_pixels, options=reading)
        except (OSError, ValueError) as error:
            what = str(error)
            if isinstance(error, OSError) and error.strerror:
                what = f"{error.strerror}; give images that can be read"
            raise PixqError(f"{file}: {' '.join(what.split()).removeprefix(f'{file}: ')}") from None
        images[name] = to_8_bits(pixels)
    return images


def _files(path: Path, left_out: list[LeftOut]) -> list[Path]:
    """An image file, or the image files in a folder."""
    if not path.is_dir():
        if not path.is_file():
            raise PixqError(f"{path}: {explain_missing(path)}; give image files or folders of them")
        return [path]
    listing = find_files(path, ENDINGS, recursive=False)
    left_out += listing.left_out
    files = [name for name in listing.files if Path(name).suffix.lower() in endings_of(DECODED)]
    left_out += [
        LeftOut(path / name, "is an image of a format that pixq does not read")
        for name in sorted(set(listing.files).difference(files))
    ]
    if not files:
        unread = "".join(f"; {item.path} {item.reason}" for item in listing.left_out[:1])
        raise PixqError(f"{path}: contains no image files{unread}; give a folder with {titles_of(DECODED)} files")
    return [path / name for name in files]
