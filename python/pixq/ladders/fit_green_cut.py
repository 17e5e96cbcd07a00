"""The Green cut by ladders whose PJNDs people gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pixq._version import __version__
from pixq.classes import QUALITY_CUTS
from pixq.datasets.photos import fingerprint
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import PjndCuts, Source
from pixq.errors import PixqError
from pixq.io.images import explained
from pixq.ladders.ground_truth import Truth, read_truth
from pixq.ladders.ladder import check_given, maps
from pixq.ladders.pjnd import SHARE, SourceRange, choose, edge, leave_one_out
from pixq.scoring.grid import STRIDE
from pixq.scoring.scorer import Scorer

__all__ = ["choose_cuts", "fit", "ranged"]


def fit(
    scorer: Scorer,
    folders: Sequence[Path],
    *,
    share: float = SHARE,
    stride: int = STRIDE,
    watch: Callable[[str, int, int], None] | None = None,
) -> PjndCuts:
    """The cuts that the sources of `folders` choose; those without a range of PJNDs take no part.

    Parameters
    ----------
    scorer
        The model.
    folders
        As `pixq.ladders.ground_truth.read_truth` takes them.
    share, stride
        Of patches that must be no longer Green, and pixels between them.
    watch
        Is told a source's name, how many of its levels are done, and of how many.

    Raises
    ------
    PixqError
        If a folder or image is not as it must be, a source is there twice or less than two have a range, the model has
        learned from a source's photo, its head is ordinal, a number is out of its range, or no cut does.
    """
    if scorer.kind != "regression":
        raise PixqError(
            f"{scorer.run}: its head is {scorer.kind}, on whose scale nothing says where Orange begins; give a run "
            "whose head is regression"
        )
    check_given(scorer, share, stride)
    truths: dict[str, Truth] = {}
    for folder in folders:
        for truth in read_truth(folder):
            if truth.range is None:
                continue
            if truth.ladder.name in truths:
                raise PixqError(f"{folder}: {truth.ladder.name} was given already; give every source once")
            truths[truth.ladder.name] = truth
    if len(truths) < 2:
        raise PixqError(f"{len(truths)} sources have a range of PJNDs; give two or more")
    for truth in truths.values():
        _check_unseen(scorer, truth)
    ladders = [ranged(scorer, truth, share=share, stride=stride, watch=watch) for truth in truths.values()]
    return choose_cuts(ladders, blake3=scorer.blake3, share=share, stride=stride)


def choose_cuts(ladders: Sequence[SourceRange], *, blake3: str, share: float, stride: int) -> PjndCuts:
    """Choose the cuts on `ladders`, and predict each ladder by the cut of the others; see `pixq.ladders.pjnd.choose`.

    Parameters
    ----------
    ladders
        Two or more, with the ranges of levels that people accepted.
    blake3
        Of `model.safetensors`, the weights that gave the scores.
    share, stride
        Share of patches that must no longer be Green, and pixels between patches.

    Raises
    ------
    PixqError
        If no cut puts any prediction into its range.
    """
    cut, out = choose(ladders), leave_one_out(ladders)
    assert cut.low is not None
    assert cut.high is not None
    return PjndCuts(
        pixq=__version__,
        blake3=blake3,
        share=share,
        stride=stride,
        orange=min(QUALITY_CUTS[0], cut.value),
        green=cut.value,
        low=cut.low,
        high=cut.high,
        within=sum(ladder.holds(out[ladder.name]) for ladder in ladders) / len(ladders),
        sources={each.name: Source(range=each.range, predicted=out[each.name].level) for each in ladders},
    )


def ranged(
    scorer: Scorer,
    truth: Truth,
    *,
    share: float = SHARE,
    stride: int = STRIDE,
    watch: Callable[[str, int, int], None] | None = None,
) -> SourceRange:
    """The edges of a source's maps, beside the range that people gave; see `fit`.

    Raises
    ------
    PixqError
        If the source has no range, or an image is not as it must be.
    """
    name = truth.ladder.name
    if truth.range is None:
        raise PixqError(f"{name}: has no range of PJNDs")
    # Scores are all that is asked for, so no cut of the run is, which may be what is to be replaced.
    plain = scorer.with_decision(Decision.choose(None))
    tell = None if watch is None else lambda done, of: watch(name, done, of)
    found = [
        (each.level, edge(map_.score, share)) for each, map_ in maps(plain, truth.ladder, stride=stride, watch=tell)
    ]
    levels, edges = np.array(found, dtype=np.float64).T
    return SourceRange(name, levels, edges, truth.range)


def _check_unseen(scorer: Scorer, truth: Truth) -> None:
    reference = truth.ladder.reference
    photo = explained(reference, lambda: fingerprint(reference)).sha256[:16]
    for part, photos in scorer.info.seen().items():
        if photo in photos:
            raise PixqError(f"{reference}: a leak: the model has this photo in its {part} split; leave the source out")
