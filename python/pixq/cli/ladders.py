"""What `pixq pjnd` and `pixq critical` have in common: which ladder, and which files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pixq.errors import PixqError

if TYPE_CHECKING:
    from pixq.ladders.ladder import Ladder
    from pixq.ladders.predict import Rule
    from pixq.scoring.scorer import Scorer

__all__ = ["given_ladder", "said_of", "warn"]

#: What the outputs of both verbs end in, by option.
_ENDINGS = {"csv": (".csv",), "map": (".png",), "picture": (".png",), "values": (".npy",)}


def given_ladder(
    paths: tuple[Path, ...], rule: str, device: str, calibration: str | None, outputs: Mapping[str, Path | None]
) -> tuple[Scorer, Ladder]:
    """The model and the ladder of `[RUN] REFERENCE LEVELS...`: a run is a folder, a reference is none.

    It is seen to that `outputs`, by option, can be written.
    """
    from pixq.ladders.ladder import open_ladder
    from pixq.predict.outputs import check_outputs
    from pixq.scoring.scorer import load

    run, rest = (paths[0], paths[1:]) if paths and paths[0].is_dir() else (None, paths)
    if len(rest) < 2:
        raise PixqError("that is too few paths; give REFERENCE LEVELS..., or RUN REFERENCE LEVELS...")
    ladder = open_ladder(rest[0], rest[1:], rule)
    check_outputs(outputs, _ENDINGS, [ladder.reference, *(level.path for level in ladder.levels)])
    return load(run, device, calibration=calibration), ladder


def warn(line: str) -> None:
    """Say on stderr what makes an answer doubtful."""
    print(f"pixq: warning: {line}", file=sys.stderr)


def said_of(rule: Rule) -> str:
    """Whose cut it is, in the words of `pixq predict`."""
    name = rule.decision.name
    return "no calibration" if name is None else f"calibration {name}"
