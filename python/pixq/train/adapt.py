"""Adapting a trained model to a target whose patches nobody has labelled: its pixels alone are looked at.

Two ways, both of second-order statistics of the target's `train` split against those of the patches that the model was
trained on. Both change numbers that the model has already, so an adapted model is as fast, and exported the same way.

- `norm` re-normalises what goes in, after AdaBN (Li, Wang, Shi, Liu and Hou, 2016). The models here have no batch
  statistics to replace (GroupNorm takes each patch's own), so it is `NineChannels` that changes.
- `coral` aligns the features that the head gets (Sun, Feng and Saenko, "Return of Frustratingly Easy Domain
  Adaptation", AAAI 2016), folded into the head's linear layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixq.errors import PixqError
from pixq.io.paths import text_of
from pixq.models.base import CHUNK, PatchModel
from pixq.models.heads import Members, Ordinal
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.directory import RunDirectory, RunInfo, versions
from pixq.runs.load import load_model
from pixq.train.partition import by_fold, by_split

__all__ = ["MOST", "RIDGE", "adapt", "align", "moments", "renormalise"]

How = Literal["norm", "coral"]
Array = NDArray[np.float64]

#: The largest number of patches that statistics are computed from; a split with more is sampled evenly.
MOST = 50_000

#: What is added to every variance of features before its root is taken, as a share of the source's mean variance.
#: Without it, a feature that never varies in the target would be scaled up without limit.
RIDGE = 0.01


def adapt(
    run: str | os.PathLike[str],
    target: PatchSet,
    how: How,
    out: str | os.PathLike[str],
    source: PatchSet | None = None,
) -> RunInfo:
    """Adapt the best model of a run to a target without any training, and write a finished run.

    Parameters
    ----------
    run
        A finished run of `pixq train`.
    target
        The target's patch set; the pixels of its `train` split are used, and no label.
    how
        `norm` or `coral`.
    out
        Directory of the new run: `run.json`, `recipe.toml` and `model.safetensors`. There are no metrics,
        because nothing is trained, and no predictions, because no label is read.
    source
        The patch set of the run. Default: the one that its `run.json` names.

    Returns
    -------
    RunInfo
        What `run.json` holds; `adapted` describes the adaptation.

    Raises
    ------
    PixqError
        If the run or its patch set is missing, `out` exists, the target has no `train` split or patches of another
        size, or the model has no linear head, for `coral`.
    """
    if how not in ("norm", "coral"):
        raise PixqError(f"--how is {how!r}; choose norm or coral")
    model, recipe, info = load_model(run)
    files = RunDirectory(out)
    if files.exists():
        raise PixqError(f"{files.path}: holds a run already; choose another --out")
    if info.adapted is not None:
        raise PixqError(f"{run}: is already adapted; adapt {info.adapted['from']['directory']}, from which it was made")
    if how == "coral" and isinstance(model.head, Members):
        raise PixqError(f"{run}: {model.spec.name} has no linear head for coral to fold into; choose --how norm")
    selected = target.select(split="train")
    if len(selected) == 0:
        raise PixqError(
            f"{target.directory}: its train split is empty; build it with one, for example --split 0.6,0.2,0.2"
        )
    size = info.patches["geometry"]["size"]
    if target.geometry.size != size:
        raise PixqError(
            f"{target.directory}: has patches of {target.geometry.size} pixels, but the run has {size}; "
            "build it with the same size"
        )
    trained = _trained_on(info, source)
    # Sums of floats depend on how many threads share them.
    torch.set_num_threads(recipe.train.threads)
    if how == "norm":
        renormalise(model, trained, selected)
    else:
        align(model, trained, selected)
    made = {
        "how": how,
        "from": {"directory": text_of(run), "model_blake3": info.model_blake3},
        "to": {
            "directory": text_of(target.directory),
            "fingerprint": fingerprint(target),
            "dataset": target.manifest["dataset"]["name"],
            "patches": min(len(selected), MOST),
        },
    }
    files.create()
    files.write_recipe(recipe)
    files.write_tensors(files.model, model.state_dict(), {"adapted": how})
    update: dict[str, Any] = {"adapted": made, "best": None, "timings": {}, "versions": versions()}
    # Last of all: a run that says it is finished has all of its files.
    files.write_info(info.model_copy(update={**update, "files": files.checksums()}))
    return files.read_info()


def _trained_on(info: RunInfo, source: PatchSet | None) -> PatchSet:
    """The patches that a run was trained on."""
    if source is None:
        directory = Path(info.patches["directory"])
        if not directory.exists():
            raise PixqError(f"{directory}: the run's patch set is gone; give it: --source DIR")
        source = PatchSet(directory)
    if fingerprint(source) != info.patches["fingerprint"]:
        raise PixqError(f"{source.directory}: is not the patch set that the run was trained on; give it: --source DIR")
    rule = info.split
    partition = by_split(source) if rule["rule"] == "split" else by_fold(source, rule["fold"], rule.get("left_out"))
    return partition.train


def _pairs(patches: PatchSet) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Reference and fused patches, `CHUNK` at a time, of `MOST` patches at most."""
    rows = np.linspace(0, len(patches) - 1, min(len(patches), MOST)).astype(np.int64)
    for batch in patches[rows].batches(CHUNK):
        yield batch.reference, batch.fused


def renormalise(model: PatchModel, trained: PatchSet, target: PatchSet) -> None:
    """Set `NineChannels` so that a target's patches get the contrast of those that were trained on.

    Each of red, green and blue gets one factor and one shift for reference and distorted, which give the references the
    same mean and deviation, so that equal patches stay equal. Differences get a separate factor and no shift, which
    gives them the same root mean square, so that no difference stays no difference. Scores mean nothing until they are
    calibrated again, but this helps where a target's artefacts are smaller than those of the source. From TID2013
    to interpolated pixels, balanced accuracy after calibration was 0.378 before, 0.435 with unscaled differences, 0.364
    with the references' factor for them, 0.610 with their own factor, and as much with a separate factor and shift for
    each of the nine channels.

    Raises
    ------
    PixqError
        If a channel does not vary, or nothing differs.
    """
    mean_s, deviation_s, difference_s = _channels(trained)
    mean_t, deviation_t, difference_t = _channels(target)
    factor = deviation_s / deviation_t
    scale, shift = (values.double().numpy() for values in (model.channels.scale, model.channels.shift))
    for first in (0, 3):
        here = slice(first, first + 3)
        # x * scale' + shift' of the target is (x * factor + mean_s - mean_t * factor) * scale + shift.
        shift[here] += scale[here] * (mean_s - mean_t * factor)
        scale[here] *= factor
    scale[6:] *= difference_s / difference_t
    model.channels.scale.copy_(torch.from_numpy(scale))
    model.channels.shift.copy_(torch.from_numpy(shift))


def _channels(patches: PatchSet) -> tuple[Array, Array, Array]:
    """Mean and deviation of references, and root mean square of differences, by colour, in grey levels, (3,)."""
    count, total, squares, apart = 0, np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for reference, fused in _pairs(patches):
        values, others = (pixels.reshape(-1, 3).astype(np.int64) for pixels in (reference, fused))
        count += len(values)
        total += values.sum(axis=0)
        squares += (values * values).sum(axis=0)
        apart += ((values - others) ** 2).sum(axis=0)
    # In integers, to which nothing is lost where a channel hardly varies.
    spread = np.array([count * int(s) - int(t) ** 2 for s, t in zip(squares, total, strict=True)], dtype=np.float64)
    if not (spread > 0).all():
        raise PixqError(
            f"{patches.directory}: a colour of its train split does not vary, but norm needs contrast; "
            "build a larger set, or choose --how coral"
        )
    if not (apart > 0).all():
        raise PixqError(
            f"{patches.directory}: a colour of its train split differs nowhere, but norm needs differences; "
            "choose --how coral"
        )
    return total / count, np.sqrt(spread) / count, np.sqrt(apart / count)


def moments(model: PatchModel, patches: PatchSet) -> tuple[Array, Array]:
    """Mean (k,) and covariance (k, k) of the head's input features for some patches, float64."""
    model.eval()
    count, total, products = 0, np.zeros(0), np.zeros(0)
    for pair in _pairs(patches):
        with torch.inference_mode():
            reference, fused = (torch.from_numpy(pixels) for pixels in pair)
            features = model.body(model.channels(reference, fused)).double().numpy()
        sums = features.sum(axis=0), features.T @ features
        total, products = (total + sums[0], products + sums[1]) if count else sums
        count += len(features)
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def align(model: PatchModel, trained: PatchSet, target: PatchSet) -> None:
    """CORAL, folded into the linear layers that read the features.

    A target's features f become M (f - mean_t) + mean_s, with M = Cs^1/2 Ct^-1/2 of both covariances, `RIDGE` added:
    the paper's whitening and re-colouring, for features as columns. A linear layer W f + b of them is one of f again,
    with W M and b + W (mean_s - M mean_t). The layer that weighs patches, where pooling is learned, is folded too.
    """
    mean_s, covariance_s = moments(model, trained)
    mean_t, covariance_t = moments(model, target)
    ridge = RIDGE * max(float(np.trace(covariance_s)) / len(mean_s), 1e-12) * np.eye(len(mean_s))
    matrix = _power(covariance_s + ridge, 0.5) @ _power(covariance_t + ridge, -0.5)
    offset = mean_s - matrix @ mean_t
    head = model.head
    assert not isinstance(head, Members)
    moved = _fold(head.linear, matrix, offset)
    with torch.no_grad():
        if isinstance(head, Ordinal):
            # It has no bias: the score is compared with cut points, the first of which carries it.
            head.first.sub_(moved)
        else:
            head.linear.bias.add_(moved)
        if model.weigh is not None:
            model.weigh.bias.add_(_fold(model.weigh, matrix, offset))


def _fold(layer: nn.Linear, matrix: Array, offset: Array) -> torch.Tensor:
    """Multiply a layer's weights by `matrix`, and return what `offset` adds to its output."""
    weight = layer.weight.detach().double().numpy().copy()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight @ matrix))
    return torch.from_numpy(weight @ offset).float()


def _power(symmetric: Array, exponent: float) -> Array:
    """A power of a symmetric matrix whose eigenvalues are above 0."""
    values, vectors = np.linalg.eigh(symmetric)
    powered: Array = (vectors * np.maximum(values, np.finfo(float).tiny) ** exponent) @ vectors.T
    return powered
