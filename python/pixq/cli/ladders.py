"""What `pixq pjnd` and `pixq critical` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pixq._core import set_num_threads
from pixq.cli.messages import note
from pixq.decisions.pjnd_cuts import PJND, PJND_CUTS
from pixq.errors import PixqError
from pixq.ladders.ladder import open_ladder
from pixq.predict.outputs import check_outputs
from pixq.runs.load import scores_visibility
from pixq.scoring.scorer import DEFAULT, load

if TYPE_CHECKING:
    from pixq.cli.options import ImageOptions, ViewingOptions
    from pixq.ladders.ladder import Ladder
    from pixq.ladders.predict import PjndRule
    from pixq.scoring.scorer import Scorer
    from pixq.viewing import ViewingConditions

__all__ = ["alternating", "describe_rule", "load_ladder"]

#: Endings of the outputs of both commands, by option.
_ENDINGS = {"csv": (".csv",), "map": (".png",), "picture": (".png",), "values": (".npy",)}


def load_ladder(
    paths: tuple[Path, ...],
    rule: str,
    device: str,
    calibration: str | None,
    outputs: Mapping[str, Path | None],
    images: ImageOptions,
    viewing: ViewingOptions,
    threads: int | None = None,
) -> tuple[Scorer, Ladder]:
    """Open the model and the ladder of `[RUN] REFERENCE LEVELS...`: the run is a folder, the reference a file.

    Also checks that `outputs`, by option, can be written.
    """
    run, rest = (paths[0], paths[1:]) if paths and paths[0].is_dir() else (None, paths)
    if len(rest) < 2:
        raise PixqError("too few paths; give REFERENCE LEVELS..., or RUN REFERENCE LEVELS...")
    ladder = replace(open_ladder(rest[0], rest[1:], rule), reading=images.reading)
    check_outputs(outputs, _ENDINGS, [ladder.reference, *(level.path for level in ladder.levels)])
    for item in ladder.left_out:
        note(item)
    path = DEFAULT if run is None else run
    viewing.check_run(path)
    if threads is not None:
        set_num_threads(threads)
    # The JND that was fitted for a run of `visibility` counts for ladders anyway, and gives patches no classes.
    by_default = calibration == PJND_CUTS and (path / PJND).exists() and scores_visibility(path)
    scorer = load(run, device, calibration=None if by_default else calibration, viewing=alternating(viewing))
    if threads is not None and scorer.engine.name.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    return scorer, ladder


def alternating(viewing: ViewingOptions) -> ViewingConditions:
    """The viewing conditions of a ladder: its images alternate unless another task was given."""
    return replace(viewing, task=viewing.task or "flicker").conditions


def describe_rule(rule: PjndRule) -> str:
    """Say when a level is noticed by the JND of its image, and name the calibration behind that, as `predict` does."""
    if rule.share is None:
        name = "" if rule.name is None else f", calibration {rule.name}"
        return f"noticed from {-rule.cut.value:.3g} JND on{name}"
    return "no calibration" if rule.name is None else f"calibration {rule.name}"
