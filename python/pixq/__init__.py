"""Would a person notice this local change in an image?

`pixq.load` loads a trained model, by default the one that comes with pixq. `pixq.build` makes a patch set from a
dataset of human scores, and `pixq.PatchSet` opens it. `pixq.tile`, `pixq.fuse`, `pixq.psnr` and the others work on
arrays: they are functions of the compiled core, `pixq._core`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixq._core import (
    __version__,
    compose,
    decode,
    equal_at,
    feather_mask,
    fuse,
    fuse_at,
    fuse_rows,
    grid,
    local_variance,
    mse,
    num_threads,
    probe,
    psnr,
    sample_random,
    sample_texture,
    set_num_threads,
    tile,
    untile,
)
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry

if TYPE_CHECKING:
    from pixq.io.images import ReadOptions
    from pixq.patches.build import build
    from pixq.patches.plan import BuildSettings, Sampling
    from pixq.patches.records import Records
    from pixq.patches.store import Batch, PatchSet
    from pixq.scoring.scorer import Scorer, load

__all__ = [
    "Batch",
    "BuildSettings",
    "Fusion",
    "PatchGeometry",
    "PatchSet",
    "PixqError",
    "ReadOptions",
    "Records",
    "Sampling",
    "Scorer",
    "__version__",
    "build",
    "compose",
    "decode",
    "equal_at",
    "feather_mask",
    "fuse",
    "fuse_at",
    "fuse_rows",
    "grid",
    "load",
    "local_variance",
    "mse",
    "num_threads",
    "probe",
    "psnr",
    "sample_random",
    "sample_texture",
    "set_num_threads",
    "tile",
    "untile",
]

_LATER = {
    "Batch": "pixq.patches.store",
    "BuildSettings": "pixq.patches.plan",
    "PatchSet": "pixq.patches.store",
    "ReadOptions": "pixq.io.images",
    "Records": "pixq.patches.records",
    "Sampling": "pixq.patches.plan",
    "Scorer": "pixq.scoring.scorer",
    "build": "pixq.patches.build",
    "load": "pixq.scoring.scorer",
}


def __getattr__(name: str) -> object:
    # `import pixq` for a call of the core does not pay for what it does not use.
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'pixq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
