"""Runs that were trained: `pixq.load`, what a scorer takes and gives, and what of a damaged run is said."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import pixq
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.models.base import CHUNK
from pixq.patches.store import PatchSet
from pixq.runs.directory import RunInfo
from pixq.runs.load import load_model
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import Scorer, load
from pixq.train.curves import draw, png
from pixq.train.data import Pool
from pixq.train.loop import train
from pixq.train.metrics import agreement, plcc, srcc
from pixq.train.partition import by_split
from pixq.train.predict import predict
from support.built import lines, make_small
from support.damage import announce_weights

torch.set_num_threads(1)

Bytes = NDArray[np.uint8]
CPU = torch.device("cpu")
SMALL = ["train.epochs=1", "train.batch=64", "train.threads=1"]
RECIPES = {
    "mean": [],
    "percentile": ["model.pooling=percentile", "model.percentile=30"],
    "learned": ["model.pooling=learned", "train.unit=images", "train.bag=4", "train.batch=4"],
    "monotone": [
        "model.name=monotone",
        "model.pooling=learned",
        "model.members=3",
        "train.unit=images",
        "train.bag=4",
        "train.batch=4",
        "loss.correlation=0.3",
        "optimiser.lr=0.02",
        "optimiser.clip=5",
    ],
    "ordinal": ["model.head=ordinal", "model.cuts=[0.5, 0.7]"],
}


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return make_small(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="session")
def run_of(patches: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a run by one of `RECIPES`, trained when it is first asked for."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp("runs") / name
            train(by_split(patches), out, read_recipe("seed", [*SMALL, *RECIPES[name]]), device="cpu")
            made[name] = out
        return made[name]

    return run


@pytest.fixture(scope="session")
def run(run_of: Callable[[str], Path]) -> Path:
    return run_of("mean")


@pytest.fixture(scope="session")
def scorer(run: Path) -> Scorer:
    return load(run)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run to damage."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def pairs(n: int, size: int = 20) -> tuple[Bytes, Bytes]:
    both = np.random.default_rng(n).integers(0, 256, (2, n, size, size, 3), dtype=np.uint8)
    return both[0], both[1]


# What a scorer gives.


@pytest.mark.parametrize("name", RECIPES)
def test_image_scores_are_those_of_the_run(name: str, run_of: Callable[[str], Path], patches: PatchSet) -> None:
    run = run_of(name)
    scorer = load(run)
    table = require("safetensors", "safetensors.numpy").load_file(run / "predictions.safetensors")
    validation = patches.select(split="validation")
    assert sorted(table["row"].tolist()) == validation.rows.tolist()
    records = patches[table["row"]].records
    reference, fused = patches.reference[records.reference_row], patches[table["row"]].fused()
    # The core rounds other sums than torch, by which a run is validated.
    close = 1e-5 if name == "monotone" else 1e-6
    np.testing.assert_allclose(scorer.quality(reference, fused), table["predicted"], rtol=0, atol=close)
    np.testing.assert_array_equal(table["quality"], records.quality)
    images = lines(run / "predictions.jsonl")
    assert len(images) == len(set(records.image)) == 8
    by_id = {image["image_id"]: number for number, image in enumerate(patches.images)}
    for line in images:
        own = table["image"] == by_id[line["image_id"]]
        score = scorer.image_score(reference[own], fused[own])
        assert score == pytest.approx(line["predicted"], abs=close)
        quality, weight = table["predicted"][own].astype(float), table["weight"][own].astype(float)
        by_hand = {
            "percentile": float(np.percentile(quality, 30)),
            "learned": float((quality * weight).sum() / weight.sum()),
            "monotone": float((quality * weight).sum() / weight.sum()),
        }.get(name, float(quality.mean()))
        assert score == pytest.approx(by_hand, abs=1e-6)
        assert line["quality"] == pytest.approx(records.quality[own].mean())
    # Nothing here is the same for all, or no test could fail.
    assert table["predicted"].std() > 1e-4
    assert (table["weight"].std() > 1e-6) == (name in ("learned", "monotone"))


def test_probabilities(run_of: Callable[[str], Path], scorer: Scorer) -> None:
    ordinal = load(run_of("ordinal"))
    assert (ordinal.kind, scorer.kind) == ("ordinal", "regression")
    assert repr(ordinal) == "<Scorer tiny (ordinal) on cpu>"
    r, d = pairs(40)
    found = ordinal.probabilities(r, d)
    assert (found.shape, found.dtype) == ((40, 3), np.float32)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    # Red, Orange, Green: 0, 0.5 and 1.
    np.testing.assert_allclose(found @ np.array([0.0, 0.5, 1.0], np.float32), ordinal.quality(r, d), atol=1e-6)
    assert ordinal.probabilities(r[:0], d[:0]).shape == (0, 3)
    with pytest.raises(PixqError, match="this run's head is regression: it gives quality, not probabilities of Red, O"):
        scorer.probabilities(r, d)


def test_quality_is_of_each_pair_alone(scorer: Scorer) -> None:
    r, d = pairs(2 * CHUNK + 3)
    whole = scorer.quality(r, d)
    assert (whole.shape, whole.dtype) == ((2 * CHUNK + 3,), np.float32)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.std() > 1e-4
    for start, stop in ((0, 1), (0, CHUNK), (CHUNK - 1, CHUNK + 1), (CHUNK + 5, 2 * CHUNK + 3)):
        np.testing.assert_allclose(scorer.quality(r[start:stop], d[start:stop]), whole[start:stop], atol=1e-6)
    assert scorer.image_score(r, d) == pytest.approx(float(whole.mean()), abs=1e-6)
    assert not np.allclose(scorer.quality(d, r), whole)


def test_no_patch(scorer: Scorer) -> None:
    r, d = pairs(0)
    found = scorer.quality(r, d)
    assert (found.shape, found.dtype) == ((0,), np.float32)
    with pytest.raises(ValueError, match="there is no patch to pool into an image's score"):
        scorer.image_score(r, d)


def test_arrays_of_any_layout(scorer: Scorer, patches: PatchSet, recwarn: pytest.WarningsRecorder) -> None:
    r, d = pairs(9)
    expected = scorer.quality(r, d)
    locked = r.copy()
    locked.flags.writeable = False
    for same in (
        locked,
        np.asfortranarray(r),
        np.repeat(r, 2, axis=0)[::2],
        r[::-1][::-1],
        r[..., ::-1].copy()[..., ::-1],
    ):
        assert np.array_equal(same, r)
        before = same.copy()
        np.testing.assert_array_equal(scorer.quality(same, d), expected)
        assert np.array_equal(same, before)
    mapped = patches.reference.shard(0)[:5]
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(scorer.quality(mapped, mapped), scorer.quality(np.array(mapped), np.array(mapped)))
    assert not recwarn.list


def test_patches_of_other_sizes(scorer: Scorer, run_of: Callable[[str], Path]) -> None:
    assert scorer.quality(*pairs(3, 5)).shape == (3,)
    assert scorer.quality(*(each[:, :, :11] for each in pairs(3, 32))).shape == (3,)
    with pytest.raises(ValueError, match=r"patches have shape \(4, 4\); this model needs 5 pixels a side"):
        scorer.quality(*pairs(3, 4))
    monotone = load(run_of("monotone"))
    assert monotone.quality(*(each[:, :, :8] for each in pairs(3, 32))).shape == (3,)
    with pytest.raises(ValueError, match=r"patches have shape \(20, 18\); this model needs multiples of 4"):
        monotone.quality(*(each[:, :, :18] for each in pairs(3)))
    empty = np.zeros((3, 0, 0, 3), np.uint8)
    with pytest.raises(ValueError, match="this model needs 5 pixels a side"):
        scorer.quality(empty, empty)


def test_wrong_arrays(scorer: Scorer) -> None:
    r, d = pairs(3)
    for method in (scorer.quality, scorer.image_score):
        with pytest.raises(TypeError, match="'reference' has dtype float32; expected uint8"):
            method(r.astype(np.float32), d)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'distorted' has dtype int64; expected uint8"):
            method(r, d.astype(np.int64))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'distorted' has dtype Tensor; expected uint8"):
            method(r, torch.from_numpy(d))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"'reference' has shape \(20, 20, 3\); expected \(n, height, width, 3\)"):
            method(r[0], d[0])
        with pytest.raises(ValueError, match=r"'distorted' has shape \(3, 20, 20, 1\); expected"):
            method(r, d[..., :1])
        with pytest.raises(
            ValueError, match=r"'reference' has shape \(3, .*\), 'distorted' \(2, .*\); make them equal"
        ):
            method(r, d[:2])
        # An array from which channels can't be told from rows is not guessed at.
        with pytest.raises(ValueError, match=r"\(3, 3, 20, 20\); expected"):
            method(np.moveaxis(r, 3, 1), np.moveaxis(d, 3, 1))


def test_scoring_leaves_no_trace(scorer: Scorer) -> None:
    before = {name: value.clone() for name, value in scorer.model.state_dict().items()}
    r, d = pairs(5)
    first = scorer.quality(r, d)
    assert np.array_equal(scorer.quality(r, d), first)
    assert not scorer.model.training
    assert all(torch.equal(value, before[name]) for name, value in scorer.model.state_dict().items())
    assert all(weight.grad is None for weight in scorer.model.parameters())


# Loading.


def test_load_is_the_packages_own(run: Path, scorer: Scorer) -> None:
    assert pixq.load is load
    r, d = pairs(4)
    np.testing.assert_array_equal(pixq.load(str(run), device="auto").quality(r, d).shape, (4,))
    np.testing.assert_array_equal(pixq.load(run, device="cpu").quality(r, d), scorer.quality(r, d))
    assert isinstance(scorer.info, RunInfo)
    assert scorer.recipe == read_recipe("seed", SMALL)
    with pytest.raises(PixqError, match="there is no device 'abacus'; choose auto, cpu, cuda or cuda:0"):
        load(run, device="abacus")


def mistake(path: Path) -> str:
    with pytest.raises(PixqError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def rewrite(path: Path, **changes: Any) -> None:
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(info | changes), encoding="utf-8")


def test_what_is_not_a_run(tmp_path: Path, patches: PatchSet) -> None:
    assert "holds no run.json; give the directory of a pixq train run" in mistake(tmp_path)
    assert "holds no run.json" in mistake(tmp_path / "absent")
    assert "holds no run.json" in mistake(patches.directory)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in mistake(tmp_path / "file")


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run(copy: Path, status: str) -> None:
    rewrite(copy / "run.json", status=status)
    assert mistake(copy) == f"{copy}: is not finished; continue it with pixq train --resume"


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"format": "pixq run"}', "\0" * 9, "[" * 100_000])
def test_a_damaged_run_json(copy: Path, text: str) -> None:
    (copy / "run.json").write_text(text, encoding="utf-8")
    assert "is damaged or from another version of pixq" in mistake(copy)


def test_a_run_json_that_says_otherwise(copy: Path) -> None:
    info = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    for change in ({"schema_version": 2}, {"format": "pixq"}, {"status": "done"}, {"parameters": "many"}, {"more": 1}):
        rewrite(copy / "run.json", **change)
        assert "from another version of pixq" in mistake(copy)
        (copy / "run.json").write_text(json.dumps(info), encoding="utf-8")
    for recipe, expected in (
        ({"model": {"name": "huge"}}, "unknown model 'huge'"),
        ({"model": {"name": "dual"}}, "does not fit its recipe"),
        ({"model": {"head": "ordinal"}}, "does not fit its recipe"),
        ({"model": {"names": "dual"}}, "model.names: there is no such key"),
        ({"optimiser": {"lr": "1"}}, "optimiser.lr: input should be a valid number, not '1'"),
    ):
        rewrite(copy / "run.json", recipe=info["recipe"] | recipe)
        with pytest.raises(PixqError, match=expected) as caught:
            load(copy)
        assert "\n" not in str(caught.value)


def test_weights_that_were_tampered_with(copy: Path) -> None:
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    expected = "model.safetensors: does not match its checksum in run.json; copy the whole run directory again"
    assert expected in mistake(copy)


def test_weights_that_are_damaged_or_missing(copy: Path) -> None:
    path = copy / "model.safetensors"
    data = path.read_bytes()
    for damaged in (data[:-1], data[:100], b"", b"\xff" * 64, data[:8] + b"{" * (len(data) - 8)):
        path.write_bytes(damaged)
        announce_weights(copy)
        assert "model.safetensors: is damaged (" in mistake(copy)
    path.unlink()
    assert "model.safetensors: is missing; copy the whole run directory, or train again" in mistake(copy)
    path.mkdir()
    assert "model.safetensors: Is a directory; copy the whole run directory again" in mistake(copy)


def test_a_pickle_is_not_read(copy: Path) -> None:
    fired = copy / "fired"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (fired,)

    torch.save({"weight": Trap()}, copy / "model.safetensors")
    announce_weights(copy)
    assert "is damaged" in mistake(copy)
    assert not fired.exists()


@pytest.mark.slow
def test_a_run_of_a_backbone_needs_neither_its_file_nor_the_network(
    patches: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    file = tmp_path / "backbone.safetensors"
    backbone = timm.create_model("mobilenetv3_small_100", pretrained=False).state_dict()
    require("safetensors", "safetensors.torch").save_file(backbone, file)
    recipe = read_recipe("seed", [*SMALL, "model.name=pretrained", f"model.weights={file}"])
    info = train(by_split(patches), tmp_path / "run", recipe, device="cpu")
    # Only the judge and the head are trained, and counted.
    assert info.parameters == (2 * 32 * 64 + 64) + 65
    file.unlink()
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    model, loaded, _ = load_model(tmp_path / "run")
    assert loaded == recipe
    saved = {name: value for name, value in model.state_dict().items() if name.startswith("body.backbone.")}
    assert len(saved) > 100
    assert all(torch.equal(value, backbone[name.removeprefix("body.backbone.")]) for name, value in saved.items())
    table = require("safetensors", "safetensors.numpy").load_file(tmp_path / "run" / "predictions.safetensors")
    records = patches[table["row"]].records
    found = load(tmp_path / "run").quality(patches.reference[records.reference_row], patches[table["row"]].fused())
    np.testing.assert_allclose(found, table["predicted"], atol=1e-6)


# Predictions.


def test_predictions_do_not_depend_on_pieces_or_mode(scorer: Scorer, patches: PatchSet) -> None:
    repeated = patches[np.repeat(np.arange(len(patches)), 4)]
    resident, streamed = Pool(repeated, CPU, 64), Pool(repeated, CPU, 1)
    assert (len(resident.pieces), len(streamed.pieces)) == (1, 5)
    scorer.model.train()
    whole, parts = predict(scorer.model, resident), predict(scorer.model, streamed)
    assert scorer.model.training
    scorer.model.eval()
    for name in ("row", "image", "quality", "images", "image_quality"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.predicted, parts.predicted, atol=1e-6)
    np.testing.assert_allclose(whole.image_predicted, parts.image_predicted, atol=1e-6)
    some = predict(scorer.model, streamed, 5)
    assert len(some.row) == 5 * len(patches.images)
    assert len(some.image_predicted) == len(patches.images)


# Agreement.


def test_agreement_by_hand() -> None:
    found = agreement([0.1, 0.4, 0.3, 0.9], [0.2, 0.4, 0.6, 0.8])
    # Ranks 1 3 2 4 against 1 2 3 4: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15).
    assert found["srcc"] == pytest.approx(0.8)
    assert found["mse"] == pytest.approx((0.01 + 0 + 0.09 + 0.01) / 4)
    assert found["mae"] == pytest.approx((0.1 + 0 + 0.3 + 0.1) / 4)
    # Less their means, (-13, -1, -5, 19) / 40 and (-3, -1, 1, 3) / 10.
    assert found["plcc"] == pytest.approx((39 + 1 - 5 + 57) / math.sqrt((169 + 1 + 25 + 361) * 20))


VALUES = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30)


@pytest.mark.slow
@given(VALUES, st.randoms(use_true_random=False))
def test_correlations_are_scipys(values: list[float], random: Any) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    x = np.array(values)
    y = np.array(random.choices(values, k=len(values)))
    if np.ptp(x) < 1e-6 or np.ptp(y) < 1e-6:
        return
    assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)


@given(st.floats(0, 1), st.integers(0, 20))
def test_a_constant_agrees_with_nothing(value: float, n: int) -> None:
    truth = np.linspace(0, 1, n) ** 2
    constant = np.full(n, value)
    for correlation in (srcc, plcc):
        assert math.isnan(correlation(constant, truth))
        assert math.isnan(correlation(truth, constant))
    if n:
        found = agreement(constant, truth)
        assert found["srcc"] is found["plcc"] is None
        assert json.loads(json.dumps(found, allow_nan=False)) == found


# Curves.


def line(epoch: int, train: float | None, validation: float, srcc: float | None) -> dict[str, Any]:
    values = {"loss": validation, "srcc": srcc, "image_srcc": srcc}
    return {"epoch": epoch, "train": None if train is None else {"loss": train}, "validation": values}


@pytest.mark.slow
def test_curves_show_what_was_measured() -> None:
    metrics = [line(0, None, 0.5, None), line(1, 0.4, 0.3, 0.2), line(2, 0.2, 0.25, 0.6)]
    figure = draw(metrics, best=2)
    left, right = figure.axes
    drawn = {each.get_label(): each.get_xydata().tolist() for each in left.get_lines()}  # type: ignore[union-attr]
    assert drawn["training"] == [[1, 0.4], [2, 0.2]]
    assert drawn["validation"] == [[0, 0.5], [1, 0.3], [2, 0.25]]
    assert [x for x, _ in drawn["kept"]] == [2, 2]
    drawn = {each.get_label(): each.get_xydata().tolist() for each in right.get_lines()}  # type: ignore[union-attr]
    assert drawn["images"] == drawn["patches"] == [[1, 0.2], [2, 0.6]]
    assert left.get_yscale() == "log"
    assert png(figure) == png(draw(metrics, best=2))
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "metrics", [[], [line(0, None, 0.0, None)], [line(0, None, 0.3, None), line(1, 0.0, 0.0, 1.0)]]
)
def test_curves_of_little(metrics: list[dict[str, Any]]) -> None:
    assert png(draw(metrics, best=0)).startswith(b"\x89PNG")


def test_runs_draw_their_curves(run: Path) -> None:
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    epochs = [each["epoch"] for each in lines(run / "metrics.jsonl")]
    assert epochs == [0, 1]
