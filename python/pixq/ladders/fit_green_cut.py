"""Fit the cut to ladders whose PJNDs people gave: the Green cut, or the JND of an image from which people notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pixq._version import __version__
from pixq.classes import QUALITY_CUTS
from pixq.datasets.photos import fingerprint
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import PjndCuts, PjndSource
from pixq.errors import PixqError
from pixq.io.images import AS_SHOWN, ReadOptions, explain_image_errors
from pixq.io.paths import nfc
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.difference import order_warnings
from pixq.ladders.ground_truth import GroundTruth, read_ground_truth
from pixq.ladders.ladder import check_options, check_share_used, image_value, level_maps
from pixq.ladders.pjnd import SHARE, SourceRange, choose_green_cut, leave_one_out, score_quantile
from pixq.scoring.grid import STRIDE
from pixq.scoring.scorer import Scorer

__all__ = ["fit_green_cut", "make_pjnd_cuts", "source_range"]


def fit_green_cut(
    scorer: Scorer,
    folders: Sequence[Path],
    *,
    share: float | None = None,
    stride: int = STRIDE,
    reading: ReadOptions = AS_SHOWN,
    on_progress: ProgressCallback = ignore_progress,
    leave_out: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> PjndCuts:
    """Choose the cuts on the sources of `folders`; sources without a range of PJNDs are left out.

    For a run of `visibility`, what is chosen is the JND of an image from which people notice.

    Parameters
    ----------
    scorer
        The model.
    folders
        Folders as `pixq.ladders.ground_truth.read_ground_truth` takes them.
    share
        The share of patches that must not be Green for a level to count as noticed, by default `SHARE`; of no use for a
        run of `visibility`.
    stride
        Pixels between patches.
    reading
        How the images are read.
    on_progress
        Called with a source's name as the stage, and the number of its levels.
    leave_out
        Called with one line for each source or folder that can't be used; the others go on. Without it, that is an
        error.
    warn
        Called with one line for each level that looks better than both its neighbours.

    Raises
    ------
    PixqError
        If a folder or image is malformed, a source occurs twice or fewer than two have a range, the model was trained
        on a source's photo, its head is ordinal, a number is out of range, a share would have no effect, or no cut
        fits.
    """
    if scorer.scores_visibility:
        check_share_used(share, "remove it")
    elif scorer.kind != "regression":
        raise PixqError(
            f"{scorer.run}: its head is {scorer.kind}, whose scale does not say where Orange begins; give a run whose "
            "head is regression"
        )
    check_options(scorer, share, stride)
    share = SHARE if share is None and not scorer.scores_visibility else share
    truths: dict[str, GroundTruth] = {}
    for folder in folders:
        # Of one folder alone, what is wrong with it is the error.
        for truth in _read_folder(folder, leave_out) if len(folders) > 1 else read_ground_truth(folder, leave_out):
            if truth.range is None:
                continue
            name = nfc(truth.ladder.name)
            if name in truths:
                raise PixqError(f"{folder}: {truth.ladder.name} is also in another folder; give each source once")
            truths[name] = replace(truth, ladder=replace(truth.ladder, reading=reading))
    if len(truths) < 2:
        raise PixqError(f"{len(truths)} sources have a range of PJNDs; give at least two")
    ranges: list[SourceRange] = []
    readable: list[GroundTruth] = []
    for truth in truths.values():
        try:
            photo = _photo_of(truth)
        except PixqError as error:
            _leave_out(error, leave_out)
        else:
            _check_unseen(scorer, truth, photo)
            readable.append(truth)
    for truth in readable:
        try:
            ranges.append(source_range(scorer, truth, share=share, stride=stride, on_progress=on_progress, warn=warn))
        except PixqError as error:
            _leave_out(error, leave_out)
    if len(ranges) < 2:
        raise PixqError(f"{len(ranges)} sources with a range of PJNDs can be read; give at least two")
    cuts = make_pjnd_cuts(ranges, blake3=scorer.blake3, share=share, stride=stride)
    return cuts.model_copy(update={"viewing": scorer.viewing}) if scorer.scores_visibility else cuts


def make_pjnd_cuts(ranges: Sequence[SourceRange], *, blake3: str, share: float | None, stride: int) -> PjndCuts:
    """Choose the cuts on all sources, and predict each source by the cut of the others.

    Parameters
    ----------
    ranges
        Two or more sources, with the ranges of levels that people accepted.
    blake3
        Checksum of `model.safetensors`, the weights that gave the scores.
    share, stride
        See `fit_green_cut`. Without a share, the ranges hold minus the JND of images.

    Raises
    ------
    PixqError
        If no cut puts any prediction into its range.
    """
    cut, predicted = choose_green_cut(ranges), leave_one_out(ranges)
    assert cut.low is not None
    assert cut.high is not None
    return PjndCuts(
        pixq=__version__,
        blake3=blake3,
        share=share,
        stride=stride,
        orange=None if share is None else min(QUALITY_CUTS[0], cut.value),
        green=cut.value,
        low=cut.low,
        high=cut.high,
        within=sum(source.contains(predicted[source.name]) for source in ranges) / len(ranges),
        sources={
            source.name: PjndSource(range=source.range, predicted=predicted[source.name].level) for source in ranges
        },
    )


def source_range(
    scorer: Scorer,
    truth: GroundTruth,
    *,
    share: float | None = None,
    stride: int = STRIDE,
    on_progress: ProgressCallback = ignore_progress,
    warn: Callable[[str], None] | None = None,
) -> SourceRange:
    """Score the levels of a source; the result holds what is compared with cuts, and the range that people gave.

    For a run of `visibility`, that is minus the JND of each image; for others, a quantile of each map's scores. `share`
    and `warn` are those of `fit_green_cut`.

    Raises
    ------
    PixqError
        If the source has no range, or an image can't be scored.
    """
    name = truth.ladder.name
    if truth.range is None:
        raise PixqError(f"{name}: has no range of PJNDs; add pjnd_range to its ground_truth.json")
    # Only scores are used, so the run's own cuts, which this may replace, are not read.
    plain = scorer.with_decision(Decision.choose(None, visibility=scorer.scores_visibility))
    numbers, values = [], []
    for level, quality_map in level_maps(plain, truth.ladder, stride=stride, on_progress=on_progress):
        numbers.append(level.level)
        values.append(
            image_value(quality_map)
            if scorer.scores_visibility
            else score_quantile(quality_map.score, SHARE if share is None else share)
        )
    levels, quantiles = np.array(numbers, np.float64), np.array(values, np.float64)
    if warn is not None:
        for line in order_warnings(truth.ladder.levels, quantiles.tolist()):
            warn(line)
    return SourceRange(name, levels, quantiles, truth.range)


def _read_folder(folder: Path, leave_out: Callable[[str], None] | None) -> list[GroundTruth]:
    try:
        return read_ground_truth(folder, leave_out)
    except PixqError as error:
        _leave_out(error, leave_out)
        return []


def _leave_out(error: PixqError, leave_out: Callable[[str], None] | None) -> None:
    if leave_out is None:
        raise error
    leave_out(str(error))


def _photo_of(truth: GroundTruth) -> str:
    with explain_image_errors(truth.ladder.reference):
        return fingerprint(truth.ladder.reference, frame=truth.ladder.reading.frame).sha256[:16]


def _check_unseen(scorer: Scorer, truth: GroundTruth, photo: str) -> None:
    reference = truth.ladder.reference
    for part, photos in scorer.info.seen().items():
        if photo in photos:
            raise PixqError(
                f"{reference}: a leak: the model has seen this photo in its {part} split; leave the source out"
            )
