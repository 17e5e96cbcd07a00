"""Writes generated datasets, and replaces just those that pixq made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pixq.distort.kinds import Image
from pixq.errors import PixqError
from pixq.io.atomic import atomic_directory
from pixq.io.json_file import load_json

__all__ = ["MAKER", "save_png", "write_whole"]

#: `made_by` in `labels.json`, which marks folders that pixq may replace.
MAKER = "pixq.distort"


def write_whole(root: Path, labels: str, wanted: set[str], fill: Callable[[Path], None]) -> bool:
    """Write a generated dataset to the folder `root`, whole or not at all.

    Parameters
    ----------
    root
        The folder to write. A folder made by pixq is kept if it has the same content, and replaced if not.
    labels
        The text of `labels.json`, a JSON object with `made_by` and everything that decides the dataset's bytes.
    wanted
        The paths of all files of the dataset, including `labels.json`.
    fill
        Writes all files except `labels.json` to the folder passed to it.

    Returns
    -------
    bool
        True if files were written, False if they were there already.

    Raises
    ------
    PixqError
        If `root` holds other files, or can't be written.
    """
    ours = _is_ours(root)
    if ours and (root / "labels.json").read_text(encoding="utf-8") == labels and _listing(root) == wanted:
        return False
    old = root.with_name(f".{root.name}.old-{os.getpid()}")
    try:
        with atomic_directory(root) as scratch:
            fill(scratch)
            (scratch / "labels.json").write_text(labels, encoding="utf-8")
            if ours:
                root.rename(old)
    except BaseException:
        if old.exists() and not root.exists():
            old.rename(root)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True


def save_png(image: Image, path: Path) -> None:
    """Write uint8 RGB as PNG, with little compression: it is fast, and these files are read once or twice."""
    from PIL import Image as Pillow

    Pillow.fromarray(image).save(path, compress_level=1)


def _is_ours(root: Path) -> bool:
    """True if pixq made `root`, False if it is missing or empty; anything else is an error."""
    try:
        if not any(root.iterdir()):
            return False
        if load_json(root / "labels.json").get("made_by") == MAKER:
            return True
    except FileNotFoundError:
        if not root.exists():
            return False
    except (NotADirectoryError, ValueError, AttributeError):
        pass
    raise PixqError(f"{root}: holds something that pixq did not make; choose another folder, or remove this one first")


def _listing(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
