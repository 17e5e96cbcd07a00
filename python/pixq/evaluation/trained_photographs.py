"""Photographs that a model was trained on, recognised in another patch set although they were cropped or in grey."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pixq.datasets.same_photo import Sketch, recognisable, same_photos
from pixq.errors import PixqError
from pixq.patches.joined import sketches
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.directory import RunInfo

__all__ = ["trained_photograph"]


def trained_photograph(info: RunInfo, seen: Collection[str], patches: PatchSet) -> tuple[str, str] | None:
    """Find a reference that shows a photograph the model has seen, though not pixel for pixel.

    The patch sets of the run are compared as far as they are still where they were.

    Parameters
    ----------
    info
        The run.
    seen
        The photographs it has seen, as `PatchSet.photos` identifies them.
    patches
        A selection of a patch set.

    Returns
    -------
    tuple or None
        The reference of `patches`, and that of the run's patch set.
    """
    evaluated = recognisable(sketches(patches))
    if not evaluated:
        return None
    for described in info.patches.get("sets") or [info.patches]:
        for name, other, _ in same_photos(_trained(described, seen), evaluated):
            return other, name
    return None


def _trained(described: dict[str, str], seen: Collection[str]) -> dict[str, Sketch]:
    """The references of one of the run's patch sets that it has seen; none if the set is gone or has changed."""
    try:
        patches = PatchSet(Path(described["directory"]))
        if fingerprint(patches) != described["fingerprint"]:
            return {}
    except (PixqError, OSError):
        return {}
    photos = patches.manifest["photos"]["sha256"]
    return {name: sketch for name, sketch in sketches(patches).items() if photos.get(name, "")[:16] in seen}
