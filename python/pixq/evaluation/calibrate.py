"""Calibration: choose the cuts that turn a model's scores into Red, Orange and Green on a target domain."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq._version import __version__
from pixq.classes import NAMES, classify
from pixq.decisions.calibration_file import Calibration, CalibrationCuts, Conformal, MappingFile, ModelReference
from pixq.decisions.conformal import divide_groups, fit_sets
from pixq.decisions.curves import Mapping, fit_mapping
from pixq.decisions.cuts import BestCuts, Objective, bootstrap_cuts, find_cuts
from pixq.errors import PixqError
from pixq.evaluation.labelled import LabelledSplit, check_photos, check_target, model_scores, read_split
from pixq.io.json_file import check_name, now
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet
from pixq.scoring.scorer import load
from pixq.statistics.bootstrap import Resamples, check_bootstrap, interval, resample_groups
from pixq.statistics.estimates import Bootstrap, Cut, Estimate
from pixq.statistics.metrics import Answers, measure
from pixq.viewing import ViewingConditions

__all__ = ["CalibrateSettings", "calibrate", "out_of_bag"]

#: If a class has fewer patches than this, its cut can't be trusted.
FEW_PATCHES = 30
#: If more than this share of answers is unsure, conformal sets are useless.
MOSTLY_UNSURE = 0.9

BALANCED = Objective()


@dataclass(frozen=True)
class CalibrateSettings:
    """How a calibration is made.

    Parameters
    ----------
    name
        Name of the calibration; a run has only one of each name.
    split
        The split of the target that cuts are chosen on: `validation`, or `train` if the model was not trained on it.
    objective
        What the cuts are optimised for.
    coverage
        For conformal sets: the share of patches whose true class should be in its set; `None` for no sets.
    resamples, level, seed
        The number of bootstrap resamples of groups, the confidence level of intervals, and the random seed.
    """

    name: str = "default"
    split: str = "validation"
    objective: Objective = BALANCED
    coverage: float | None = None
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.split == "test":
            raise PixqError("cuts are never chosen on the test split; use --split validation or --split train")
        if self.coverage is not None:
            ranges.LEVEL.check(self.coverage, "--coverage")
        check_bootstrap(self.resamples, self.level, self.seed)


def calibrate(
    run: str | os.PathLike[str],
    target: PatchSet | str | os.PathLike[str],
    settings: CalibrateSettings | None = None,
    *,
    device: str = "cpu",
    viewing: ViewingConditions | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Calibration:
    """Choose the cuts of a run's scores on a target's calibration split; `add_calibration` saves them.

    The cuts are the exact optimum on that split. Their intervals come from resamples of its groups, and so does
    `out_of_bag`: the balanced accuracy of a resample's cuts on the groups that it did not draw, which is what to expect
    on new groups.

    Parameters
    ----------
    run
        A finished run.
    target
        A patch set.
    settings
        See `CalibrateSettings`.
    device
        Where the model computes.
    viewing
        How people look at the patches; by default `ViewingConditions()`. Only the model `visibility` depends on it.
    on_progress
        Called with the number of patches scored so far.

    Raises
    ------
    PixqError
        If the run or the target can't be used, a photo that was trained on would be calibrated on, there is only one
        class or one group, or there is too little data for the coverage.
    """
    settings = settings or CalibrateSettings()
    # Always with PyTorch, so that scores don't depend on what else the run holds.
    scorer = load(run, device, engine="torch", viewing=viewing)
    data = read_split(target, settings.split)
    check_target(scorer, data)
    warnings = check_photos(scorer, data, ("train",))
    counts = np.bincount(data.truth, minlength=len(NAMES))
    if np.count_nonzero(counts) < 2:
        raise PixqError(
            f"{data.patches.directory}: all {len(data)} patches of its {data.split} split are "
            f"{NAMES[int(counts.argmax())]}, so there are no classes to separate; use a target with several classes"
        )
    if len(np.unique(data.group)) < 2:
        raise PixqError(
            f"{data.patches.directory}: its {data.split} split is a single group, which says nothing about others; "
            "build it with more references, or with a larger share for this split"
        )
    score = model_scores(scorer, data, on_progress).patches
    cuts, intervals, resamples, expected = _choose_cuts(score, data, settings)
    mapping, conformal = _fit_curves(score, data, settings)
    probability = mapping.probabilities(score)
    answers = Answers(
        truth=data.truth,
        answer=classify(score, cuts.pair),
        quality=data.quality,
        score=score,
        mapped=mapping.quality(score),
        probability=probability,
        sets=None if conformal is None else conformal.sets.of(probability),
        group=data.group,
    )
    measured = measure(answers, resamples, settings.level)
    achieved = {name: Estimate(**estimate.to_json()) for name, estimate in measured.estimates.items()}
    warnings += _warnings(counts, data, cuts, expected, achieved)
    return Calibration(
        name=settings.name,
        created=now(),
        pixq=__version__,
        model=ModelReference(blake3=scorer.blake3),
        data=data.describe(),
        photos=sorted(data.patches.photos()),
        objective=settings.objective.name,  # type: ignore[arg-type]  # one of OBJECTIVES
        cost=settings.objective.cost,
        cuts=intervals,
        value=cuts.value,
        achieved=achieved,
        out_of_bag=expected,
        bootstrap=Bootstrap(resamples=settings.resamples, level=settings.level, seed=settings.seed),
        mapping=MappingFile.model_validate(mapping.to_json()),
        conformal=conformal,
        warnings=warnings,
        viewing=scorer.viewing if scorer.scores_visibility else None,
    )


def _choose_cuts(
    score: NDArray[np.float64], data: LabelledSplit, settings: CalibrateSettings
) -> tuple[BestCuts, CalibrationCuts, Resamples, Estimate]:
    """Find the best cuts and their intervals, the resamples, and the balanced accuracy to expect on new groups."""
    cuts = find_cuts(score, data.truth, settings.objective)
    resamples = resample_groups(data.group, settings.resamples, settings.seed)
    drawn = bootstrap_cuts(score, data.truth, data.group, resamples, settings.objective)

    def cut(value: float, column: int) -> Cut:
        ends = interval(drawn[:, column], settings.level) or (None, None)
        return Cut(value=value, low=ends[0], high=ends[1])

    unseen = out_of_bag(score, data, resamples, drawn)
    ends = interval(unseen, settings.level) or (None, None)
    # Without an interval, the mean is over few resamples and says nothing.
    mean = None if ends[0] is None else float(unseen[~np.isnan(unseen)].mean())
    expected = Estimate(value=mean, low=ends[0], high=ends[1])
    return cuts, CalibrationCuts(orange=cut(cuts.orange, 0), green=cut(cuts.green, 1)), resamples, expected


def out_of_bag(
    score: NDArray[np.float64], data: LabelledSplit, resamples: Resamples, cuts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the balanced accuracy of each resample's `cuts` (count, 2) on the groups that it did not draw.

    It is NaN if these groups don't have all classes that `data` has.
    """
    rows = resamples.rows(data.group)
    classes = np.unique(data.truth)
    accuracy = np.full(resamples.count, np.nan)
    truth = data.truth.astype(np.int64)
    for number, (times, pair) in enumerate(zip(resamples.multiplicity, cuts, strict=True)):
        unseen = times[rows] == 0
        if not unseen.any() or np.isnan(pair).any():
            continue
        answer = classify(score[unseen], (float(pair[0]), float(pair[1])))
        confusion = np.bincount(truth[unseen] * len(NAMES) + answer, minlength=len(NAMES) ** 2)
        confusion = confusion.reshape(len(NAMES), len(NAMES))
        if (confusion[classes].sum(axis=1) > 0).all():
            accuracy[number] = BALANCED.value(confusion)
    return accuracy


def _fit_curves(
    score: NDArray[np.float64], data: LabelledSplit, settings: CalibrateSettings
) -> tuple[Mapping, Conformal | None]:
    """Fit the isotonic curves, and conformal sets if the settings ask for them.

    The coverage of sets only holds if they are fitted to patches that the curves have not seen, so each gets half of
    the groups.
    """
    if settings.coverage is None:
        return fit_mapping(score, data.quality, data.truth), None
    fitted = divide_groups(data.group_names[data.group], seed=settings.seed)
    mapping = fit_mapping(score[fitted], data.quality[fitted], data.truth[fitted])
    rest = ~fitted
    try:
        sets = fit_sets(mapping.probabilities(score[rest]), data.truth[rest], settings.coverage)
    except PixqError as error:
        raise PixqError(f"{data.patches.directory}: {error}") from None
    groups = len(np.unique(data.group[rest]))
    return mapping, Conformal.model_validate({**sets.to_json(), "groups": groups})


def _warnings(
    counts: NDArray[np.int64], data: LabelledSplit, cuts: BestCuts, expected: Estimate, achieved: dict[str, Estimate]
) -> list[str]:
    """Explain what a reader must know before using these cuts."""
    warnings = []
    srcc, unsure = achieved["srcc"], achieved.get("unsure")
    if srcc.value is None:
        warnings.append(
            "every patch gets the same score, so the model says nothing about these patches; train or adapt it again"
        )
    elif srcc.high is not None and srcc.high < 0.0:
        warnings.append(
            f"better patches get lower scores (SRCC {srcc.value:.3f}); check the polarity of the labels, then adapt or "
            "fine-tune the model"
        )
    if unsure is not None and unsure.value is not None and unsure.value > MOSTLY_UNSURE:
        warnings.append(f"with these sets {100 * unsure.value:.0f} % of answers are unsure; use a lower --coverage")
    for name, count in zip(NAMES, counts.tolist(), strict=True):
        if count == 0:
            warnings.append(f"no patch of the {data.split} split is {name}, so nothing is known about that class")
        elif count < FEW_PATCHES:
            warnings.append(f"only {count} patches are {name}; with fewer than {FEW_PATCHES}, its cut is a guess")
    warnings += data.warnings()
    for name, never in (("Red", cuts.orange == -math.inf), ("Green", cuts.green == math.inf)):
        if never:
            warnings.append(f"with these cuts no patch is ever {name}")
    if cuts.orange == cuts.green:
        warnings.append("both cuts are the same: no patch is ever Orange")
    chance = 1.0 / np.count_nonzero(counts)
    if expected.low is None:
        warnings.append("there are too few groups to tell how well these cuts do on groups they were not chosen on")
    elif expected.low <= chance:
        warnings.append(
            f"the scores don't separate the classes: on groups that the cuts were not chosen on, the interval of "
            f"balanced accuracy, {expected.low:.3f} to {expected.high:.3f}, includes chance, {chance:.3f}"
        )
    return warnings
