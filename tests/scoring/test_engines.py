"""What scores patches: the core, ONNX Runtime and PyTorch say the same, and each says when it can't."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixq import _core
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.io.progress import ignore_progress
from pixq.models import pooling as torch_pooling
from pixq.models.spec import ModelSpec
from pixq.patches.store import PatchSet
from pixq.runs.load import load_model
from pixq.runs.recipe import read_recipe
from pixq.scoring import engine as engine_module
from pixq.scoring import onnx_engine, torch_engine
from pixq.scoring.core_engine import CoreEngine, _sigmoid
from pixq.scoring.engine import cut_ahead, identical_at
from pixq.scoring.grid import Grid
from pixq.scoring.onnx_engine import ONNX, OnnxEngine
from pixq.scoring.pooling import pool, pool_by
from pixq.scoring.scorer import DEFAULT, Scorer, load
from pixq.scoring.torch_engine import TorchEngine, gather
from pixq.train.loop import train
from pixq.train.partition import by_split
from support.built import make_small
from support.trees import distorted, photo

torch.set_num_threads(1)

Bytes = NDArray[np.uint8]
# Random weights tell engines apart as well as trained ones do.
SMALL = ["train.epochs=0", "train.batch=64", "train.threads=1", "train.validation_patches=1"]
RECIPES = {
    "tiny": [],
    "sigmoid": ["model.link=sigmoid", "model.norm=none"],
    "percentile": ["model.pooling=percentile", "model.percentile=10"],
    "learned": ["model.pooling=learned", "train.unit=images", "train.bag=4", "train.batch=4"],
    "ordinal": ["model.head=ordinal"],
    "residual": ["model.name=residual"],
    "monotone": ["model.name=monotone", "model.members=3"],
}
ON_CORE = ("tiny", "sigmoid", "percentile")
REFERENCE = photo(3, (67, 91))
DISTORTED = distorted(REFERENCE, 1, 3)


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return make_small(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="session")
def run_of(patches: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp("runs") / name
            train(by_split(patches), out, read_recipe("seed", [*SMALL, *RECIPES[name]]), device="cpu")
            made[name] = out
        return made[name]

    return run


@pytest.fixture(scope="session")
def tiny(run_of: Callable[[str], Path]) -> Path:
    return run_of("tiny")


@pytest.fixture(scope="session")
def exported(run_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A copy of a run that holds its `model.onnx`."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            from pixq.runs.onnx_export import export_onnx

            made[name] = Path(shutil.copytree(run_of(name), tmp_path_factory.mktemp("exported") / name))
            export_onnx(made[name], made[name] / ONNX)
        return made[name]

    return run


def mistake(expected: str, *arguments: object, **options: object) -> None:
    with pytest.raises(PixqError, match=expected) as caught:
        load(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def cut(image: Bytes, grid: Grid) -> Bytes:
    return np.stack([image[y : y + grid.size, x : x + grid.size] for y, x in grid.corners.tolist()])


# Which engine.


@pytest.mark.parametrize("name", RECIPES)
def test_the_engine_is_the_first_that_can(name: str, run_of: Callable[[str], Path]) -> None:
    scorer = load(run_of(name))
    assert scorer.engine.name == ("core" if name in (*ON_CORE, "monotone") else "torch on cpu")
    assert (scorer.device, scorer.size) == ("cpu", 20)
    forced = load(run_of(name), engine="torch")
    assert isinstance(forced.engine, TorchEngine)
    assert forced.model is forced.engine.model


def test_an_engine_that_can_not(run_of: Callable[[str], Path], tiny: Path) -> None:
    for name in ("learned", "ordinal", "residual"):
        mistake(
            "the core scores the models monotone, and visibility, and tiny with a regression head and pooling that is "
            "not learned",
            run_of(name),
            engine="core",
        )
    mistake("the device 'cuda' needs the engine torch, not core; choose cpu", tiny, "cuda", engine="core")
    mistake("the device 'cuda:0' needs the engine torch, not onnx; choose cpu", tiny, "cuda:0", engine="onnx")
    mistake("unknown engine 'onyx'; did you mean onnx\\? choose one of auto, core, onnx, torch", tiny, engine="onyx")
    for default in (None, DEFAULT):
        mistake("the model that comes with pixq has no ONNX file; choose --engine core", default, engine="onnx")
    mistake(
        r"model.onnx: is missing; create it: pixq export .*tiny --onnx --out .*tiny/model.onnx", tiny, engine="onnx"
    )
    mistake("there is no device 'abacus'; choose auto, cpu, cuda or cuda:0", tiny, "abacus")
    assert load(tiny, "auto", engine="core").engine.name == "core"
    if not torch.cuda.is_available():
        mistake("there is no device 'cuda', because PyTorch finds no GPU; choose cpu", tiny, "cuda")


def test_the_default_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> None:
    assert DEFAULT.name == "default"
    monkeypatch.setattr("pixq.scoring.scorer.DEFAULT", tiny)
    assert load().run == tiny
    monkeypatch.setattr("pixq.scoring.scorer.DEFAULT", tmp_path)
    mistake("this pixq was installed without its default model; name a run: a directory that pixq train wrote")


SCORE = """
import sys
import numpy as np
{before}
import pixq
scorer = pixq.load({run!r}, {device!r})
image = np.arange(40 * 50 * 3, dtype=np.uint16).reshape(40, 50, 3).astype(np.uint8)
found = scorer.map(image, image[::-1])
scorer.quality(image[None], image[None]), scorer.image_score(image[None], image[None])
print(scorer.engine.name, found.classes.size, *sorted({{"torch", "PIL", "matplotlib"}} & set(sys.modules)))
"""


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_tiny_does_not_import_torch(tiny: Path) -> None:
    assert run_python(SCORE.format(before="", run=str(tiny), device="cpu")) == "core 12"


@pytest.mark.slow
def test_tiny_needs_no_torch(tiny: Path, run_of: Callable[[str], Path]) -> None:
    code = SCORE.format(before="sys.modules['torch'] = None", run=str(tiny), device="auto")
    assert run_python(code) == "core 12 torch"
    asked = f"import sys, pixq\nsys.modules['torch'] = None\npixq.load({str(run_of('residual'))!r})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert "PixqError: torch is not installed; install it with: pip install 'pixq[train]'" in done.stderr
    asked = asked.replace(str(run_of("residual")), str(tiny)).replace("')", "', 'cuda')")
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert "PixqError: the device 'cuda' needs PyTorch, which is not installed; choose cpu" in done.stderr


# The core.


@pytest.mark.parametrize("norm", ["group", "none"])
def test_parameters_are_in_the_order_of_torch(norm: str, tmp_path: Path) -> None:
    model = require("pixq.models").build(ModelSpec(norm=norm))  # type: ignore[arg-type]
    tensors = {name: value.detach().contiguous().numpy() for name, value in model.state_dict().items()}
    flat = CoreEngine.open(tensors, model.spec, tmp_path).parameters
    weights = [*model.body.parameters(), *model.head.parameters()]
    np.testing.assert_array_equal(flat, torch.cat([weight.detach().reshape(-1) for weight in weights]).numpy())
    for name in tensors:
        for other in (
            {key: value for key, value in tensors.items() if key != name},
            tensors | {name: tensors[name][..., None]},
            tensors | {name: tensors[name].astype(np.float64)},
            tensors | {f"{name}s": tensors[name]},
        ):
            with pytest.raises(PixqError, match=f"{name}s?"):
                CoreEngine.open(other, model.spec, tmp_path)


@pytest.mark.parametrize("name", ON_CORE)
def test_the_core_gives_what_torch_gives(name: str, run_of: Callable[[str], Path], patches: PatchSet) -> None:
    core, other = load(run_of(name)), load(run_of(name), engine="torch")
    some = patches[np.arange(0, len(patches), 2)]
    r, d = patches.reference[some.records.reference_row], some.fused()
    for found, expected in zip(core.engine.scores(r, d), other.engine.scores(r, d), strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if name == "sigmoid":
            np.testing.assert_array_max_ulp(found.astype(np.float32), expected.astype(np.float32), 2)
        else:
            np.testing.assert_array_equal(found, expected)
    assert core.quality(r, d).std() > 1e-5
    assert core.model.spec.name == "tiny"


def test_the_sigmoid_of_great_numbers() -> None:
    quality = _sigmoid(np.array([-1e30, -1000, 0, 1000, 1e30], np.float32))
    np.testing.assert_array_equal(quality, np.array([0, 0, 0.5, 1, 1], np.float32))


# Whole images.


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("stride", [7, 20])
def test_a_map_is_of_each_patch_alone(
    name: str, stride: int, run_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of few patches, as if the image were large.
    monkeypatch.setattr(engine_module, "BLOCK", 5)
    monkeypatch.setattr(cut_ahead, "__defaults__", (5,))
    scorer = load(run_of(name))
    found = scorer.map(REFERENCE, DISTORTED, stride=stride)
    r, d = cut(REFERENCE, found.grid), cut(DISTORTED, found.grid)
    alone = [scorer.scores(r[i : i + 1], d[i : i + 1])[0][0] for i in range(len(r))]
    quality = np.concatenate([scorer.quality(r[i : i + 1], d[i : i + 1]) for i in range(len(r))])
    assert not found.identical.any()
    exact = name in ON_CORE
    np.testing.assert_allclose(found.score.ravel(), alone, rtol=0, atol=0 if exact else 1e-5)
    np.testing.assert_allclose(found.quality.ravel(), quality, rtol=0, atol=0 if exact else 1e-6)
    assert found.pooled == pytest.approx(scorer.image_score(r, d), abs=1e-6)
    assert np.ptp(found.score) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "residual", "learned", "ordinal"])
def test_engines_agree(name: str, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = exported(name)
    torch_, onnx = load(run, engine="torch"), load(run, engine="onnx")
    assert onnx.engine.name == "onnx"
    assert load(run).engine.name == ("core" if name == "tiny" else "onnx")
    monkeypatch.setattr(cut_ahead, "__defaults__", (9,))
    monkeypatch.setattr(onnx_engine, "ONNX_BATCH", 4)
    monkeypatch.setattr(torch_engine, "DEVICE_BATCH", 7)
    corners = Grid(67, 91, 20, 9).corners
    expected = torch_.engine.scores(*(_core.tile(image, coords=corners) for image in (REFERENCE, DISTORTED)))
    told: list[tuple[int, int]] = []
    for engine in (torch_.engine, onnx.engine):
        found = engine.scores_at(
            REFERENCE, DISTORTED, corners, 20, lambda stage, done, total, note="": told.append((done, total))
        )
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, atol=1e-4)
        assert told[-1] == (len(corners), len(corners))
        assert len(told) == -(-len(corners) // 9)
        told.clear()
    # What a GPU does, here on the CPU.
    assert isinstance(torch_.engine, TorchEngine)
    gathered = torch_.engine._engine_scores(
        torch_.engine._gathered(REFERENCE[::-1], DISTORTED[::-1], corners, 20, ignore_progress)
    )
    flipped = torch_.engine.scores_at(REFERENCE[::-1], DISTORTED[::-1], corners, 20, ignore_progress)
    for a, b in zip(gathered, flipped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    if name == "ordinal":
        r, d = (_core.tile(image, coords=corners) for image in (REFERENCE, DISTORTED))
        np.testing.assert_allclose(onnx.probabilities(r, d), torch_.probabilities(r, d), atol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "residual", "learned"])
def test_no_corner_is_no_score(name: str, run_of: Callable[[str], Path]) -> None:
    engine = load(run_of(name)).engine
    none = np.empty((0, 2), np.int64)
    for column in engine.scores_at(REFERENCE, DISTORTED, none, 20, ignore_progress):
        assert column.shape == (0,)


@pytest.mark.slow
def test_a_file_of_other_weights_is_refused(exported: Callable[[str], Path], tiny: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(exported("residual"), tmp_path / "run"))
    shutil.copy(exported("learned") / ONNX, run / ONNX)
    again = rf"delete it, and export it again: pixq export {run} --onnx --out {run}/model.onnx"
    mistake(rf"model.onnx: was not made from this run's weights; {again}", run)
    assert load(run, engine="torch").engine.name == "torch on cpu"
    for damaged in (b"", b"\0" * 99, (exported("residual") / ONNX).read_bytes()[:-50]):
        (run / ONNX).write_bytes(damaged)
        mistake(rf"model.onnx: (is damaged \(.*\)|was not made from this run's weights); {again}", run)


def test_a_file_takes_patches_of_its_size(exported: Callable[[str], Path]) -> None:
    scorer = load(exported("residual"))
    small = np.zeros((3, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=r"patches have shape \(16, 16\); .*model.onnx takes \(20, 20\)"):
        scorer.quality(small, small)
    assert isinstance(scorer.engine, OnnxEngine)
    assert scorer.quality(np.zeros((0, 20, 20, 3), np.uint8), np.zeros((0, 20, 20, 3), np.uint8)).shape == (0,)


@given(st.data())
def test_gathered_patches_are_those_that_are_cut(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(5, 40)), data.draw(st.integers(5, 40))
    size = data.draw(st.integers(1, min(height, width)))
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    places = st.tuples(st.integers(0, height - size), st.integers(0, width - size))
    corners = np.array(data.draw(st.lists(places, min_size=1, max_size=9)), np.int64)
    found = gather(torch.from_numpy(image), torch.from_numpy(corners), size)
    np.testing.assert_array_equal(found.numpy(), _core.tile(image, size=size, coords=corners))


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(0, 30))
def test_identical_patches_are_found(seed: int, stride: int, changes: int) -> None:
    rng = np.random.default_rng(seed)
    r = rng.integers(0, 256, (43, 51, 3), dtype=np.uint8)
    d = r.copy()
    for _ in range(changes // 6):
        d[rng.integers(43), rng.integers(51), rng.integers(3)] ^= 1
    grid = Grid(43, 51, 20, stride)
    expected = (cut(r, grid) == cut(d, grid)).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(identical_at(r, d, grid.corners, 20), expected)


# Pooling.


@given(st.sampled_from(["mean", "percentile", "learned"]), st.floats(0, 100), st.integers(0, 2**32), st.integers(1, 40))
def test_pooling_is_that_of_training(how: str, percentile: float, seed: int, n: int) -> None:
    spec = ModelSpec(pooling=how, percentile=percentile)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    score, weight = rng.normal(size=n), rng.random(n) + 1e-3
    a, b = torch.from_numpy(score), torch.from_numpy(weight)
    assert pool(spec, score, weight) == pytest.approx(float(torch_pooling.pool(spec, a[None], b[None])), abs=1e-12)
    image = rng.integers(0, 5, n)
    expected = torch_pooling.pool_by(spec, torch.from_numpy(image), a, b)[1]
    np.testing.assert_allclose(pool_by(spec, image, score, weight), expected.numpy(), atol=1e-12)


def test_no_patch_is_pooled() -> None:
    none = np.empty(0)
    with pytest.raises(ValueError, match="there is no patch to pool into an image's score"):
        pool(ModelSpec(), none, none)
    assert pool_by(ModelSpec(), np.empty(0, np.int64), none, none).shape == (0,)


def test_what_counts_is_asked_of_identical_patches_too(run_of: Callable[[str], Path]) -> None:
    """Where pooling is learned, a patch that is equal still counts as the model says."""
    scorer = load(run_of("learned"))
    d = REFERENCE.copy()
    d[:30, :30] = DISTORTED[:30, :30]
    found = scorer.map(REFERENCE, d)
    r, d = cut(REFERENCE, found.grid), cut(d, found.grid)
    _, weight = scorer.scores(r, d)
    assert found.identical.any()
    assert (found.quality[found.identical] == 1).all()
    assert found.pooled == pytest.approx(np.average(found.quality.ravel(), weights=weight), abs=1e-6)
    assert weight.std() > 1e-6


def test_evaluation_and_calibration_score_by_torch_whatever_the_run_holds(
    run_of: Callable[[str], Path], patches: PatchSet, tmp_path: Path
) -> None:
    """A file that is put into a run must not move its cuts."""
    from pixq.evaluation.calibrate import calibrate
    from pixq.evaluation.evaluate import evaluate

    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    run = Path(shutil.copytree(run_of("residual"), tmp_path / "run"))
    (run / ONNX).write_bytes(b"no such thing")
    mistake("is damaged", run)
    for judge in (calibrate, evaluate):
        # The run is loaded first, and the file is no matter.
        with pytest.raises(PixqError, match="absent: "):
            judge(run, patches.directory / "absent")  # type: ignore[operator]


def test_the_tiny_model_of_a_scorer_is_made_when_it_is_asked_for(tiny: Path) -> None:
    scorer = load(tiny)
    assert "model" not in vars(scorer)
    expected = load_model(tiny)[0].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in scorer.model.state_dict().items())
    assert not scorer.model.training
    assert json.loads((tiny / "run.json").read_text())["files"]["model.safetensors"]["blake3"] == scorer.blake3
    assert isinstance(scorer, Scorer)


def test_threads_do_not_undo_each_other_s_precision() -> None:
    switch = torch.backends.cuda.matmul
    before, entered, left = switch.fp32_precision, threading.Event(), threading.Event()
    inside = []

    def second() -> None:
        with torch_engine._full_precision(torch.device("cuda")):
            entered.set()
            left.wait(60)
            inside.append(switch.fp32_precision)

    other = threading.Thread(target=second)
    try:
        switch.fp32_precision = "tf32"
        with torch_engine._full_precision(torch.device("cuda")):
            other.start()
            # It must not come in; a little time shows it where it does.
            assert not entered.wait(0.2)
        left.set()
        other.join(60)
        assert inside == ["ieee"]
        assert switch.fp32_precision == "tf32"
    finally:
        left.set()
        other.join(60)
        switch.fp32_precision = before
