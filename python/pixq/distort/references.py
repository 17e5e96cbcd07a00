"""Reads the reference images to distort."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pixq.distort.kinds import Image
from pixq.errors import PixqError, printable
from pixq.io.image_formats import DECODED, endings_of, titles_of
from pixq.io.images import read_pixels, to_8_bits

__all__ = ["read_references"]


def read_references(paths: Iterable[Path], *, max_pixels: int = 1 << 28) -> dict[str, Image]:
    """Read images, by file name in the order of `paths`; folders give all of their image files in order of name.

    Parameters
    ----------
    paths
        Image files and folders. Other files and hidden files in folders are ignored.
    max_pixels
        Larger images are refused before memory is taken.

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
    images: dict[str, Image] = {}
    files: dict[str, Path] = {}
    for file in (file for path in paths for file in _files(path)):
        name = printable(file.name)
        if files.setdefault(name, file) != file:
            raise PixqError(f"{file}: {files[name]} has the same name, which must be unique; rename one of them")
        try:
            pixels = read_pixels(file, max_pixels=max_pixels)
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PixqError(
                f"{file}: {' '.join(what.split()).removeprefix(f'{file}: ')}; give images that can be read"
            ) from None
        images[name] = to_8_bits(pixels)
    if not images:
        raise PixqError("there is no reference; give image files or folders of them, like photos/")
    return images


def _files(path: Path) -> list[Path]:
    """An image file, or the image files in a folder."""
    if not path.is_dir():
        if not path.exists():
            raise PixqError(f"{path}: no such file or folder; give image files or folders of them")
        return [path]
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in endings_of(DECODED) and file.name[0] != "." and file.is_file()
    )
    if not files:
        raise PixqError(f"{path}: contains no image files; give a folder with {titles_of(DECODED)} files")
    return files
