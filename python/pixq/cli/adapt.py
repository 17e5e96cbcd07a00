"""`pixq adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.cli.messages import print_lines
from pixq.io.optional import require
from pixq.patches.store import PatchSet

__all__ = ["adapt"]


def adapt(
    run: Path,
    /,
    *,
    to: Path,
    how: Literal["norm", "coral"],
    out: Path,
    source: Annotated[Path | None, Parameter(name="--source")] = None,
) -> int:
    """Adapt a trained model to patches that nobody has labelled.

    Parameters
    ----------
    run
        Directory of a finished run.
    to
        Directory of the target's patch set; the pixels of its train split are used, and no label.
    how
        norm: match the contrast of the target and the size of its differences to those of the training patches;
        coral: match the mean and covariance of its features.
    out
        Directory of the new run.
    source
        The patch set that the run was trained on. Default: the one that its run.json names.
    """
    require("torch")
    from pixq.train.adapt import adapt as adapted

    info = adapted(run, PatchSet(to), how, out, None if source is None else PatchSet(source))
    assert info.adapted is not None
    patches = info.adapted["to"]["patches"]
    print_lines(
        f"{out}: {info.recipe['model']['name']}, adapted by {how} to {patches:,} patches; calibrate it before use"
    )
    return 0
