"""Trees that appear whole or not at all, and that know what pixq made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pixq.distort.kinds import Image
from pixq.errors import PixqError
from pixq.io.atomic import atomic_directory

__all__ = ["MAKER", "save_png", "write_whole"]

#: Stands in `labels.json` as `made_by`: a tree with it may be replaced by another one.
MAKER = "pixq.distort"


def write_whole(root: Path, labels: str, wanted: set[str], fill: Callable[[Path], None]) -> bool:
    """Make the tree `root`, beside it first, then by a rename.

    Parameters
    ----------
    root
        The folder to make. One that pixq made is kept if it is the same tree, and replaced if not.
    labels
        The text of `labels.json`, a JSON object with `made_by`: all that decides the tree's bytes.
    wanted
        The paths of all files of the tree, `labels.json` among them.
    fill
        Writes all but `labels.json` into the folder that it is given.

    Returns
    -------
    bool
        Whether the tree was written; False if it was there already.

    Raises
    ------
    PixqError
        If `root` holds anything else, or can't be written.
    """
    ours = _is_ours(root)
    if ours and (root / "labels.json").read_text(encoding="utf-8") == labels and _listing(root) == wanted:
        return False
    old = root.with_name(f".{root.name}.old-{os.getpid()}")
    with atomic_directory(root) as scratch:
        fill(scratch)
        (scratch / "labels.json").write_text(labels, encoding="utf-8")
        if ours:
            root.rename(old)
    shutil.rmtree(old, ignore_errors=True)
    return True


def save_png(image: Image, path: Path) -> None:
    """Write uint8 RGB as PNG, fast rather than small: these trees are made to be read once or twice."""
    from PIL import Image as Pillow

    Pillow.fromarray(image).save(path, compress_level=1)


def _is_ours(root: Path) -> bool:
    """Whether `root` is a tree that pixq made; False if there is nothing; otherwise an error."""
    try:
        if not any(root.iterdir()):
            return False
        if json.loads((root / "labels.json").read_text(encoding="utf-8")).get("made_by") == MAKER:
            return True
    except FileNotFoundError:
        if not root.exists():
            return False
    except (NotADirectoryError, ValueError, AttributeError):
        pass
    raise PixqError(f"{root} holds something that pixq did not make; name a new folder, or remove it first")


def _listing(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
