"""From a model's scores to Red, Orange and Green on a target domain."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixq._version import __version__
from pixq.classes import NAMES, classify
from pixq.decisions.calibration_file import Calibration, CalibrationCuts, Conformal, ModelReference
from pixq.decisions.conformal import Sets, divide_groups, fit_sets
from pixq.decisions.curves import Mapping, fit_mapping
from pixq.decisions.cuts import BestCuts, Objective, bootstrap_cuts, find_cuts
from pixq.errors import PixqError
from pixq.evaluation.labelled import LabelledSplit, check_photos, check_target, judged, model_scores
from pixq.io.json_file import check_name, now
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet
from pixq.scoring.scorer import load
from pixq.statistics.bootstrap import Resamples, check_bootstrap, interval, resample_groups
from pixq.statistics.estimates import Bootstrap, Cut, Estimate
from pixq.statistics.metrics import Answers, measure

__all__ = ["CalibrateSettings", "calibrate", "out_of_bag"]

#: Fewer patches of a class than this are too few for cuts to be trusted.
FEW_PATCHES = 30
#: With more unsure answers than this share, conformal sets are of no use.
MOSTLY = 0.9

BALANCED = Objective()


@dataclass(frozen=True)
class CalibrateSettings:
    """How a calibration is made.

    Parameters
    ----------
    name
        What it is called among those of the run.
    split
        The split of the target that cuts are chosen on: `validation`, or `train` where nothing was trained on it.
    objective
        What cuts are best at.
    coverage
        For conformal sets: the share of patches whose true class is to be in its set; `None` for no sets.
    resamples, level, seed
        Of the bootstrap over groups.
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
            raise PixqError("cuts are never chosen on the test split; give --split validation, or train")
        if self.coverage is not None and not 0.0 < self.coverage < 1.0:
            raise PixqError(f"--coverage is {self.coverage:g}; give a share between 0 and 1, like 0.9")
        check_bootstrap(self.resamples, self.level, self.seed)


def calibrate(
    run: str | os.PathLike[str],
    target: PatchSet | str | os.PathLike[str],
    settings: CalibrateSettings | None = None,
    *,
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> Calibration:
    """Choose cut points for a run's scores on a target's calibration split; see `add_calibration` to keep them.

    Cuts are the exact best on that split. Their intervals are of resamples of its groups, and so is `out_of_bag`, the
    balanced accuracy of a resample's cuts on the groups that it did not draw: what new groups may expect.

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
    on_progress
        Called with the number of patches scored so far.

    Raises
    ------
    PixqError
        If the run or the target can't be used, one photo was trained on and is calibrated on, there is one class or
        one group alone, or too little data for the coverage.
    """
    settings = settings or CalibrateSettings()
    # Whatever else the run holds, the same scores every time.
    scorer = load(run, device, engine="torch")
    data = judged(target, settings.split)
    check_target(scorer, data)
    warnings = check_photos(scorer, data, ("train",))
    counts = np.bincount(data.truth, minlength=len(NAMES))
    if np.count_nonzero(counts) < 2:
        raise PixqError(
            f"{data.patches.directory}: all {len(data)} patches of its {data.split} split are "
            f"{NAMES[int(counts.argmax())]}; there is nothing to tell apart"
        )
    if len(np.unique(data.group)) < 2:
        raise PixqError(
            f"{data.patches.directory}: its {data.split} split is one group, which says nothing of others; "
            "build it with more references, or with a larger share for this split"
        )
    score = model_scores(scorer, data, on_progress).patches
    cuts, intervals, resamples, honest = _cuts(score, data, settings)
    mapping, sets, conformal = _curves(score, data, settings)
    probability = mapping.probabilities(score)
    answers = Answers(
        truth=data.truth,
        answer=classify(score, cuts.pair),
        quality=data.quality,
        score=score,
        mapped=mapping.quality(score),
        probability=probability,
        sets=None if sets is None else sets.of(probability),
        group=data.group,
    )
    measured = measure(answers, resamples, settings.level).to_json()["estimates"]
    achieved = {name: Estimate(**each) for name, each in measured.items()}
    warnings += _warnings(counts, data, cuts, honest, achieved)
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
        out_of_bag=honest,
        bootstrap=Bootstrap(resamples=settings.resamples, level=settings.level, seed=settings.seed),
        mapping=mapping.to_json(),
        conformal=conformal,
        warnings=warnings,
    )


def _cuts(
    score: NDArray[np.float64], data: LabelledSplit, settings: CalibrateSettings
) -> tuple[BestCuts, CalibrationCuts, Resamples, Estimate]:
    cuts = find_cuts(score, data.truth, settings.objective)
    resamples = resample_groups(data.group, settings.resamples, settings.seed)
    drawn = bootstrap_cuts(score, data.truth, data.group, resamples, settings.objective)

    def cut(value: float, column: int) -> Cut:
        ends = interval(drawn[:, column], settings.level) or (None, None)
        return Cut(value=value, low=ends[0], high=ends[1])

    unseen = out_of_bag(score, data, resamples, drawn)
    ends = interval(unseen, settings.level) or (None, None)
    known = unseen[~np.isnan(unseen)]
    # Without an interval it is the mean of few resamples, and says nothing.
    honest = Estimate(value=None if ends[0] is None else float(known.mean()), low=ends[0], high=ends[1])
    return cuts, CalibrationCuts(orange=cut(cuts.orange, 0), green=cut(cuts.green, 1)), resamples, honest


def out_of_bag(
    score: NDArray[np.float64], data: LabelledSplit, resamples: Resamples, cuts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Balanced accuracy of each resample's `cuts` (count, 2) on the groups that it did not draw.

    NaN where these don't have all classes that `data` has.
    """
    rows = resamples.rows(data.group)
    classes = np.unique(data.truth)
    found = np.full(resamples.count, np.nan)
    truth = data.truth.astype(np.int64)
    for number, (times, pair) in enumerate(zip(resamples.multiplicity, cuts, strict=True)):
        left = times[rows] == 0
        if not left.any() or np.isnan(pair).any():
            continue
        answer = classify(score[left], (float(pair[0]), float(pair[1])))
        confusion = np.bincount(truth[left] * len(NAMES) + answer, minlength=len(NAMES) ** 2)
        confusion = confusion.reshape(len(NAMES), len(NAMES))
        if (confusion[classes].sum(axis=1) > 0).all():
            found[number] = BALANCED.value(confusion)
    return found


def _curves(
    score: NDArray[np.float64], data: LabelledSplit, settings: CalibrateSettings
) -> tuple[Mapping, Sets | None, Conformal | None]:
    """The isotonic curves, and conformal sets of them.

    Sets hold what they promise where they are fitted to patches that the curves have not seen: half of the groups is
    for either.
    """
    if settings.coverage is None:
        return fit_mapping(score, data.quality, data.truth), None, None
    fitted = divide_groups(data.group_names[data.group], seed=settings.seed)
    mapping = fit_mapping(score[fitted], data.quality[fitted], data.truth[fitted])
    rest = ~fitted
    try:
        sets = fit_sets(mapping.probabilities(score[rest]), data.truth[rest], settings.coverage)
    except PixqError as error:
        raise PixqError(f"{data.patches.directory}: {error}") from None
    groups = len(np.unique(data.group[rest]))
    return mapping, sets, Conformal.model_validate({**sets.to_json(), "groups": groups})


def _warnings(
    counts: NDArray[np.int64], data: LabelledSplit, cuts: BestCuts, honest: Estimate, achieved: dict[str, Estimate]
) -> list[str]:
    """What a reader must know before these cuts are used, in words."""
    found = []
    srcc, unsure = achieved["srcc"], achieved.get("unsure")
    if srcc.value is None:
        found.append("every patch gets the same score: the model says nothing of these patches; train or adapt it anew")
    elif srcc.high is not None and srcc.high < 0.0:
        found.append(
            f"the scores run against the labels, SRCC {srcc.value:.3f}: better patches get lower ones; see whether the "
            "labels' polarity is right, then adapt or fine-tune the model"
        )
    if unsure is not None and unsure.value is not None and unsure.value > MOSTLY:
        found.append(f"with these sets {100 * unsure.value:.0f} % of answers are unsure; ask for a lower coverage")
    for name, count in zip(NAMES, counts.tolist(), strict=True):
        if count == 0:
            found.append(f"no patch of the {data.split} split is {name}: nothing is known of that class")
        elif count < FEW_PATCHES:
            found.append(f"only {count} patches are {name}; with fewer than {FEW_PATCHES} its cut is a guess")
    found += data.warnings()
    for name, never in (("Red", cuts.orange == -math.inf), ("Green", cuts.green == math.inf)):
        if never:
            found.append(f"with these cuts no patch is ever {name}")
    if cuts.orange == cuts.green:
        found.append("both cuts are the same: no patch is ever Orange")
    chance = 1.0 / np.count_nonzero(counts)
    if honest.low is None:
        found.append("too few groups to tell how well these cuts do on groups they have not seen")
    elif honest.low <= chance:
        found.append(
            f"the scores don't separate the classes: on groups that the cuts have not seen, the interval of balanced "
            f"accuracy, {honest.low:.3f} to {honest.high:.3f}, includes chance, {chance:.3f}"
        )
    return found
