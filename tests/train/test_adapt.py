"""Adaptation without labels: against plain NumPy, and what it leaves."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import nn

import pixq
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.io.atomic import checksum
from pixq.models.base import PatchModel
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.directory import RunDirectory
from pixq.runs.load import load_model
from pixq.runs.onnx_export import export_onnx
from pixq.runs.recipe import read_recipe
from pixq.train import adapt as adapting
from pixq.train import loop
from pixq.train.adapt import adapt, moments
from pixq.train.init_from_run import InitialRun, finetuning_recipe
from pixq.train.partition import by_fold, by_split
from support import built, trees

Array = NDArray[np.float64]

QUICK = ("train.epochs=1", "train.threads=1", "train.patches=2")
#: Models with a linear head.
FORMS = {
    "regression": (),
    "sigmoid": ("model.link=sigmoid",),
    "ordinal": ("model.head=ordinal", "model.cuts=[0.2, 0.4]"),
    "learned": ("model.pooling=learned", "train.unit=images", "train.bag=2"),
}


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return built.make_small(tmp_path_factory.mktemp("source"))


def darker(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Another camera: less contrast, and a cast that differs by colour."""
    return np.clip(image * np.array([0.5, 0.6, 0.4]) + np.array([20, 5, 60]), 0, 255).astype(np.uint8)


def write_target(root: Path, scores: NDArray[np.float64] | None = None) -> PatchSet:
    """Patches of five other photographs with milder noise, whose labels are `scores`."""
    names = [(reference, level) for reference in range(1, 6) for level in (1, 2)]
    lines = []
    for row, (reference, level) in enumerate(names):
        clean = darker(trees.photo(50 + reference))
        trees.save(root / "tid" / "reference_images" / f"I{reference:02d}.BMP", clean)
        name = f"{reference:02d}_01_{level}.bmp"
        noisy = trees.distorted(clean, 10 * reference + level, 1)
        trees.save(root / "tid" / "distorted_images" / f"i{name}", noisy)
        lines.append(f"{9.0 - level if scores is None else scores[row]:.3f} I{name}\n")
    (root / "tid" / "mos_with_names.txt").write_text("".join(lines))
    built.make("tid2013", root / "tid", root / "out", BuildSettings(fusions=(Fusion("none"), Fusion("paste"))))
    return PatchSet(root / "out")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return write_target(tmp_path_factory.mktemp("target"))


def train(patches: PatchSet, out: Path, *overrides: str) -> Path:
    loop.train(by_split(patches), out, read_recipe("seed", [*QUICK, *overrides]), device="cpu")
    return out


@pytest.fixture(scope="module")
def runs(patches: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {form: train(patches, root / form, *overrides) for form, overrides in FORMS.items()}


def channels(model: PatchModel, patches: PatchSet) -> Array:
    """The nine channels of patches as the model makes them, (n, 9)."""
    reference = patches.reference[patches.records.reference_row]
    made = model.channels(torch.from_numpy(reference), torch.from_numpy(patches.fused()))
    return made.permute(0, 2, 3, 1).reshape(-1, 9).double().numpy()


@pytest.mark.slow
def test_norm_gives_the_target_the_contrast_of_the_source(
    runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path
) -> None:
    adapt(runs["regression"], target, "norm", tmp_path / "run")
    before, after = load_model(runs["regression"])[0], load_model(tmp_path / "run")[0]
    expected = channels(before, patches.select(split="train"))
    found = channels(after, target.select(split="train"))
    np.testing.assert_allclose(found[:, :3].mean(axis=0), expected[:, :3].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[:, :3].std(axis=0), expected[:, :3].std(axis=0), rtol=1e-5)
    np.testing.assert_allclose((found[:, 6:] ** 2).mean(axis=0), (expected[:, 6:] ** 2).mean(axis=0), rtol=1e-5)
    # Not of all splits: these are others.
    assert (np.abs(channels(after, target)[:, :3].mean(axis=0) - expected[:, :3].mean(axis=0)) > 1e-3).all()
    weights = [dict(model.state_dict()) for model in (before, after)]
    changed = {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])}
    assert changed == {"channels.scale", "channels.shift"}


@pytest.mark.slow
def test_norm_keeps_equal_what_is_equal(runs: dict[str, Path], target: PatchSet, tmp_path: Path) -> None:
    adapt(runs["regression"], target, "norm", tmp_path / "run")
    same = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8))
    made = load_model(tmp_path / "run")[0].channels(same, same)
    assert torch.equal(made[:, :3], made[:, 3:6])
    assert (made[:, 6:] == 0).all()


def features(model: PatchModel, patches: PatchSet) -> Array:
    model.eval()
    reference = torch.from_numpy(patches.reference[patches.records.reference_row])
    with torch.inference_mode():
        return model.body(model.channels(reference, torch.from_numpy(patches.fused()))).double().numpy()


def test_moments_are_those_of_the_features(runs: dict[str, Path], target: PatchSet) -> None:
    model = load_model(runs["regression"])[0]
    mean, covariance = moments(model, target)
    found = features(model, target)
    np.testing.assert_allclose(mean, found.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(found.T, bias=True), atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_coral_is_folded_into_the_head(
    runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path, form: str
) -> None:
    adapt(runs[form], target, "coral", tmp_path / "run")
    before, after = load_model(runs[form])[0], load_model(tmp_path / "run")[0]
    of_source, of_target = (features(before, part.select(split="train")) for part in (patches, target))
    # The paper's own words, on rows: whiten by the target's covariance, colour by the source's, both plus a ridge.
    covariances = [np.cov(rows.T, bias=True) for rows in (of_source, of_target)]
    ridge = adapting.RIDGE * np.trace(covariances[0]) / len(covariances[0]) * np.eye(len(covariances[0]))
    colour, spread = (np.real(sqrtm(covariance + ridge)) for covariance in covariances)
    aligned = (of_target - of_target.mean(axis=0)) @ np.linalg.inv(spread) @ colour + of_source.mean(axis=0)
    assert np.abs(aligned - of_target).max() > 0.01, "both are alike: this target tests nothing"
    np.testing.assert_allclose(aligned.mean(axis=0), of_source.mean(axis=0), atol=1e-9)
    shown = target.select(split="train")
    pair = torch.from_numpy(shown.reference[shown.records.reference_row]), torch.from_numpy(shown.fused())
    with torch.inference_mode():
        expected = before.head(torch.from_numpy(aligned).float())
        found = after(*pair)
        np.testing.assert_allclose(found.raw.numpy(), expected.numpy(), atol=2e-5)
        if before.weigh is not None:
            weight = nn.functional.softplus(before.weigh(torch.from_numpy(aligned).float())) + 1e-3
            np.testing.assert_allclose(found.weight.numpy(), weight.numpy(), atol=2e-5)
    changed = {
        name for name, values in before.state_dict().items() if not torch.equal(values, after.state_dict()[name])
    }
    assert all(name.startswith(("head.", "weigh.")) for name in changed)


def test_coral_gives_features_the_sources_covariance(
    runs: dict[str, Path], patches: PatchSet, target: PatchSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapting, "RIDGE", 1e-9)
    model = load_model(runs["regression"])[0]
    of_target = features(model, target.select(split="train"))
    mean_s, covariance_s = moments(model, patches.select(split="train"))
    # A layer that gives the features themselves tells what becomes of them.
    model.head.linear = nn.Linear(8, 8)  # type: ignore[union-attr]
    with torch.no_grad():
        model.head.linear.weight.copy_(torch.eye(8))  # type: ignore[union-attr]
        model.head.linear.bias.zero_()  # type: ignore[union-attr]
    adapting.align(model, patches.select(split="train"), target.select(split="train"))
    weight, bias = (values.detach().double().numpy() for values in model.head.linear.parameters())  # type: ignore[union-attr]
    found = of_target @ weight.T + bias
    live = np.diag(np.cov(of_target.T, bias=True)) > 1e-8
    assert live.sum() >= 4
    scale = np.trace(covariance_s)
    np.testing.assert_allclose(found.mean(axis=0), mean_s, atol=1e-3 * np.sqrt(scale))
    covariance = np.cov(found.T, bias=True)
    np.testing.assert_allclose(covariance[np.ix_(live, live)], covariance_s[np.ix_(live, live)], atol=0.02 * scale)


@pytest.mark.parametrize("how", ["norm", "coral"])
def test_labels_change_nothing(runs: dict[str, Path], target: PatchSet, tmp_path: Path, how: adapting.How) -> None:
    other = write_target(tmp_path, np.random.default_rng(1).uniform(0, 9, 10))
    assert not np.array_equal(other.records.quality, target.records.quality)
    assert fingerprint(other) != fingerprint(target)
    for name, each in (("a", target), ("b", other)):
        adapt(runs["ordinal"], each, how, tmp_path / name)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    assert models[0] != (runs["ordinal"] / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["norm", "coral"])
def test_an_adapted_run_is_a_finished_run(
    runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path, how: adapting.How
) -> None:
    run, source = tmp_path / "run", runs["regression"]
    info = adapt(source, target, how, run)
    assert info.adapted == {
        "how": how,
        "from": {"directory": str(source), "model_blake3": checksum(source / "model.safetensors").blake3},
        "to": {
            "directory": str(target.directory),
            "fingerprint": fingerprint(target),
            "dataset": "tid2013",
            "patches": len(target.select(split="train")),
        },
    }
    assert info.best is None
    assert set(info.files) == {"recipe.toml", "model.safetensors"}
    assert (run / "recipe.toml").read_bytes() == (source / "recipe.toml").read_bytes()
    assert "NaN" not in (run / "run.json").read_text()
    pair = target.reference[target.records.reference_row], target.fused()
    scores = [pixq.load(each).quality(*pair) for each in (source, run)]
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    assert export_onnx(run, tmp_path / "model.onnx").patches > 0
    # What is trained further starts from the adapted weights.
    further = loop.train(
        by_split(target), tmp_path / "further", finetuning_recipe(run), device="cpu", start=InitialRun.of(run, "head")
    )
    assert further.started_from is not None
    assert further.adapted is None
    kept = load_model(tmp_path / "further")[0].state_dict()
    for name, values in load_model(run)[0].state_dict().items():
        assert name.startswith("head.") or torch.equal(kept[name], values), name


def test_statistics_are_of_what_the_run_was_trained_on(patches: PatchSet, tmp_path: Path) -> None:
    recipe = read_recipe("seed", ["train.epochs=0", "train.threads=1"])
    info = loop.train(by_fold(patches, 1, None), tmp_path / "fold", recipe, device="cpu")
    found = adapting._trained_on(info, None)
    np.testing.assert_array_equal(found.rows, by_fold(patches, 1).train.rows)
    assert len(found) != len(patches.select(split="train"))


def test_a_large_split_is_looked_at_evenly(
    runs: dict[str, Path], target: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapting, "MOST", 5)
    shown = target.select(split="train")
    reference = np.concatenate([pair[0] for pair in adapting._pairs(shown)])
    wanted = np.linspace(0, len(shown) - 1, 5).astype(int)
    np.testing.assert_array_equal(reference, shown.reference[shown.records.reference_row[wanted]])
    info = adapt(runs["regression"], target, "norm", tmp_path / "run")
    assert info.adapted is not None
    assert info.adapted["to"]["patches"] == 5


def test_mistakes_are_one_line(runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path) -> None:
    run = runs["regression"]

    def refused(message: str, *arguments: object, **options: object) -> None:
        with pytest.raises(PixqError, match=message) as caught:
            adapt(*arguments, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    refused("--how is 'best'; choose norm or coral", run, target, "best", tmp_path / "a")
    refused("holds a run already", run, target, "norm", runs["ordinal"])
    adapt(run, target, "norm", tmp_path / "adapted")
    refused("is already adapted; adapt .*regression", tmp_path / "adapted", target, "norm", tmp_path / "a")
    refused("is not the patch set that the run was trained on", run, target, "norm", tmp_path / "a", target)
    monotone = train(patches, tmp_path / "monotone", "model.name=monotone", "model.members=2")
    refused("monotone has no linear head for coral", monotone, target, "coral", tmp_path / "a")
    trees.write_tid(tmp_path / "tid", references=5, levels=1)
    settings = BuildSettings(ratio=(0.0, 0.5, 0.5))
    built.make("tid2013", tmp_path / "tid", tmp_path / "untrained", settings)
    refused("its train split is empty", run, PatchSet(tmp_path / "untrained"), "norm", tmp_path / "a")
    built.make("tid2013", tmp_path / "tid", tmp_path / "small", BuildSettings(geometry=PatchGeometry(8, 4)))
    refused("has patches of 8 pixels, but the run has 20", run, PatchSet(tmp_path / "small"), "norm", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    # Any model can be re-normalised.
    assert adapt(monotone, target, "norm", tmp_path / "b").adapted is not None


def test_a_target_without_contrast_or_differences_is_one_line(
    runs: dict[str, Path], target: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, fused = next(adapting._pairs(target))
    grey = reference.copy()
    grey[..., 1] = 9
    for pair, message in (((grey, fused), "does not vary"), ((reference, reference), "differs nowhere")):
        with monkeypatch.context() as patched:
            patched.setattr(adapting, "_pairs", lambda _, pair=pair: iter([pair]))
            with pytest.raises(PixqError, match=message):
                adapt(runs["regression"], target, "norm", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_patch_set_that_moved_is_named(
    runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path
) -> None:
    run = tmp_path / "moved"
    shutil.copytree(runs["regression"], run)
    info = json.loads((run / "run.json").read_text())
    info["patches"]["directory"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(info))
    with pytest.raises(PixqError, match=rf"{re.escape(str(tmp_path))}/gone: .* is gone; give it: --so"):
        adapt(run, target, "coral", tmp_path / "run")
    adapt(run, target, "coral", tmp_path / "run", patches)
    adapt(runs["regression"], target, "coral", tmp_path / "same")
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "same")]
    assert same[0] == same[1]
    assert RunDirectory(tmp_path / "run").read_info().adapted is not None


def test_the_command_line(runs: dict[str, Path], patches: PatchSet, target: PatchSet, tmp_path: Path) -> None:
    command = ("adapt", runs["regression"], "--to", target.directory)
    done = built.pixq(*command, "--how", "norm", "--out", tmp_path / "run", "--source", patches.directory)
    assert done.code == 0, done
    count = len(target.select(split="train"))
    assert done.out == f"{tmp_path / 'run'}: tiny, adapted by norm to {count:,} patches; calibrate it before use\n"
    assert "holds a run already" in built.mistake(built.pixq(*command, "--how", "norm", "--out", tmp_path / "run"))
    assert "adapt" in built.pixq("--help").out
