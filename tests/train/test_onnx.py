"""Models as ONNX: the same numbers as PyTorch's on real patches, for any number of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.io.optional import require
from pixq.models import MODELS
from pixq.models.tiny import Tiny
from pixq.patches.plan import BuildSettings, Sampling
from pixq.patches.store import PatchSet
from pixq.runs.load import load_model
from pixq.runs.onnx_export import CHECKED, TOLERANCE, export_onnx
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import load
from pixq.train.loop import train
from pixq.train.partition import by_split
from support.built import make, make_small
from support.trees import data_dir, write_tid

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

torch.set_num_threads(1)

SMALL = ["train.epochs=1", "train.batch=64", "train.threads=1"]


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return make_small(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="session")
def run(patches: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(by_split(patches), out, read_recipe("seed", SMALL), device="cpu")
    return out


def session_of(path: Path) -> Any:
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def shapes(values: Any) -> dict[str, tuple[str, list[Any]]]:
    return {value.name: (value.type, value.shape) for value in values}


def check_parity(run: Path, path: Path, patches: PatchSet, some: int) -> None:
    """Every output against PyTorch's, for many patches, few and one."""
    session, scorer = session_of(path), load(run)
    rows = np.linspace(0, len(patches) - 1, some).astype(np.int64)
    records = patches[rows].records
    r, d = patches.reference[records.reference_row], patches[rows].fused()
    names = [output.name for output in session.get_outputs()]
    for n in (some, 7, 2, 1):
        found = dict(zip(names, session.run(None, {"reference": r[:n], "distorted": d[:n]}), strict=True))
        assert all(len(values) == n for values in found.values())
        np.testing.assert_allclose(found["quality"], scorer.quality(r[:n], d[:n]), atol=TOLERANCE)
        score, weight = scorer.scores(r[:n], d[:n])
        np.testing.assert_allclose(found["score"], score, atol=TOLERANCE)
        np.testing.assert_allclose(found["weight"], weight, atol=TOLERANCE)
        if scorer.kind == "ordinal":
            np.testing.assert_allclose(found["probabilities"], scorer.probabilities(r[:n], d[:n]), atol=TOLERANCE)
    whole = session.run(["quality"], {"reference": r, "distorted": d})[0]
    # The scores differ from patch to patch, and by which image is the reference: equal ones would agree by chance.
    assert np.ptp(whole) > 10 * TOLERANCE
    swapped = session.run(["quality"], {"reference": d, "distorted": r})[0]
    np.testing.assert_allclose(swapped, scorer.quality(d, r), atol=TOLERANCE)
    # A backbone gives a distance, and that is the same either way.
    assert (np.abs(swapped - whole).max() > TOLERANCE) == (scorer.recipe.model.name != "pretrained")


@pytest.mark.slow
def test_a_file_scores_as_the_run_does(run: Path, patches: PatchSet, tmp_path: Path) -> None:
    out = tmp_path / "tiny.onnx"
    report = export_onnx(run, out)
    assert report.out == out
    assert report.patches == min(CHECKED, len(patches)) == 480
    assert 0.0 <= report.difference <= 1e-4
    check_parity(run, out, patches, 100)
    session = session_of(out)
    assert shapes(session.get_inputs()) == {
        name: ("tensor(uint8)", ["n", 20, 20, 3]) for name in ("reference", "distorted")
    }
    assert shapes(session.get_outputs()) == {name: ("tensor(float)", ["n"]) for name in ("quality", "weight", "score")}
    onnx.checker.check_model(onnx.load(out), full_check=True)
    said = json.loads(session.get_modelmeta().custom_metadata_map["pixq"])
    _, recipe, info = load_model(run)
    assert said["weights"] == info.files["model.safetensors"]["blake3"]
    assert said["model"] == recipe.model.model_dump(mode="json")
    assert said["classes"] == ["Red", "Orange", "Green"]
    assert said["patches"]["fingerprint"] == info.patches["fingerprint"]
    assert said["patches"]["geometry"]["size"] == 20
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.onnx"}


@pytest.mark.slow
def test_one_patch_is_enough_for_the_check(run: Path, patches: PatchSet, tmp_path: Path) -> None:
    report = export_onnx(run, tmp_path / "one.onnx", patches[:1])
    assert report.patches == 1
    # Any number is still taken.
    check_parity(run, tmp_path / "one.onnx", patches, 50)


def mistake(expected: str, *arguments: Any) -> None:
    """The export is refused in one line, and no file is left."""
    with pytest.raises(PixqError, match=expected) as caught:
        export_onnx(*arguments)
    assert "\n" not in str(caught.value)
    assert not arguments[1].exists()


def test_what_can_not_be_exported(run: Path, patches: PatchSet, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    mistake("holds no run.json", tmp_path / "absent", out)
    mistake("nothing is selected", run, out, patches[:0])
    write_tid(tmp_path / "tid", references=5, types=(1,), levels=1)
    settings = BuildSettings(geometry=PatchGeometry(16, 12))
    make("tid2013", tmp_path / "tid", tmp_path / "other", settings)
    mistake("has patches of 16 pixels, but the run has 20", run, out, PatchSet(tmp_path / "other"))

    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    for changes, expected in (
        ({"directory": str(tmp_path / "gone")}, "gone: the run's patch set is gone; give one to check"),
        ({"directory": str(tmp_path / "other")}, "other: is no longer the patch set of the run; give one to check"),
    ):
        changed = info | {"patches": info["patches"] | changes}
        (moved / "run.json").write_text(json.dumps(changed), encoding="utf-8")
        mistake(expected, moved, out)
    out.mkdir()
    with pytest.raises(PixqError, match="already exists; choose another --out or delete it"):
        export_onnx(run, out)


@pytest.mark.slow
def test_a_file_that_is_wrong_is_not_written(
    run: Path, patches: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.onnx"
    session = runtime.InferenceSession

    class Wrong:
        add = 0.0

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.session = session(*arguments, **options)
            self.get_inputs = self.session.get_inputs

        def run(self, *arguments: Any) -> list[Any]:
            first, *others = self.session.run(*arguments)
            return [first, *(each + self.add for each in others)]

    # Numbers that differ, and none.
    monkeypatch.setattr(runtime, "InferenceSession", Wrong)
    for Wrong.add in (2e-4, float("nan")):
        mistake("not written: its outputs differ from PyTorch's by", run, out, patches[:9])
    monkeypatch.setattr(runtime, "InferenceSession", session)
    # `len` of a tensor is a number to the exporter, and the number of patches with it.
    forward = Tiny.forward
    monkeypatch.setattr(Tiny, "forward", lambda self, x: forward(self, x + torch.zeros(len(x), 1, 1, 1)))
    mistake("not written: the exporter fixed the number of patches", run, out, patches[:2])
    # The exporter's talk is not the user's.
    said = capfd.readouterr()
    assert said.out == said.err == ""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    """Some patches of each image of TID2013."""
    out = tmp_path_factory.mktemp("real") / "out"
    fusions = tuple(Fusion.parse(text) for text in ("none", "copy", "blend", "paste"))
    settings = BuildSettings(fusions=fusions, sampling=Sampling.parse("random", n=2))
    make("tid2013", data_dir("tid2013"), out, settings)
    return PatchSet(out)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    def file() -> str:
        timm = pytest.importorskip("timm", reason="timm is not installed")
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("backbone") / "weights.safetensors"
        weights = timm.create_model("mobilenetv3_small_100", pretrained=False).state_dict()
        require("safetensors", "safetensors.torch").save_file(weights, path)
        return str(path)

    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head"),
    [
        *((name, "regression") for name in MODELS if name != "visibility"),
        *((name, "ordinal") for name in MODELS if name not in ("monotone", "visibility")),
        ("tiny", "sigmoid"),
        ("dual", "learned"),
        ("monotone", "learned"),
    ],
)
def test_every_model_and_head_on_real_patches(
    name: str, head: str, real: PatchSet, backbone: Callable[[], str], tmp_path: Path
) -> None:
    overrides = {
        "regression": [],
        "sigmoid": ["model.link=sigmoid", "model.norm=none"],
        "ordinal": ["model.head=ordinal"],
        "learned": ["model.pooling=learned", "train.unit=images", "train.bag=4"],
    }[head]
    weights = [f"model.weights={backbone()}"] if name == "pretrained" else []
    few = ["train.patches=1"] if head != "learned" else []
    recipe = read_recipe(
        "seed", [*SMALL, "train.validation_patches=1", f"model.name={name}", *few, *weights, *overrides]
    )
    train(by_split(real), tmp_path / "run", recipe, device="cpu")
    out = tmp_path / "model.onnx"
    report = export_onnx(tmp_path / "run", out)
    assert report.patches == CHECKED
    assert report.difference <= 1e-4
    names = [output.name for output in session_of(out).get_outputs()]
    assert names == ["quality", "weight", "score", "probabilities"][: 4 if head == "ordinal" else 3]
    check_parity(tmp_path / "run", out, real, 300)
