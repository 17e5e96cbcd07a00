"""Fine-tuning: runs that start from another run's model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import pixq
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.io.atomic import checksum
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.plan import BuildSettings
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train import loop
from pixq.train.init_from_run import InitialRun, finetuning_recipe
from pixq.train.partition import by_split
from support import built, trees
from support.training import interrupt_at

QUICK = ("train.epochs=2", "train.batch=16", "train.threads=1", "train.patches=2")
SAME_BYTES = ("recipe.toml", "model.safetensors", "last.safetensors", "metrics.jsonl", "predictions.safetensors")


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built.make_small(tmp_path_factory.mktemp("finetune")).directory


def train(
    patches: Path,
    out: Path,
    recipe: Recipe,
    start: InitialRun | None = None,
    resume: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> RunInfo:
    partition = by_split(pixq.PatchSet(patches))
    return loop.train(partition, out, recipe, device="cpu", resume=resume, start=start, on_progress=on_progress)


@pytest.fixture(scope="module")
def source(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("source") / "run"
    train(patches, out, read_recipe("seed", QUICK))
    return out


@pytest.fixture(scope="module")
def monotone(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("monotone") / "run"
    overrides = ("train.epochs=1", "train.visits=1", "train.bag=2", "model.members=2")
    train(patches, out, read_recipe("strong", overrides))
    return out


def weights(run: Path, name: str = "model.safetensors") -> dict[str, np.ndarray]:
    return load_file(run / name)


def test_a_run_starts_from_the_best_weights_of_another(patches: Path, source: Path, tmp_path: Path) -> None:
    info = train(patches, tmp_path / "run", finetuning_recipe(source, None, ["train.epochs=0"]), InitialRun.of(source))
    for name, values in weights(source).items():
        np.testing.assert_array_equal(weights(tmp_path / "run")[name], values)
    best = RunDirectory(source).read_info().best
    assert best is not None
    # Epoch 0 is validation before the first step: what the source's best was, on the same patches.
    assert info.best == {"epoch": 0, "loss": best["loss"]}
    assert info.started_from is not None
    assert info.started_from.model_dump() == {
        "directory": str(source),
        "model_blake3": checksum(source / "model.safetensors").blake3,
        "only": None,
        "photos": RunDirectory(source).read_info().seen(),
    }
    assert RunDirectory(source).read_info().started_from is None


def test_what_the_source_has_seen_is_not_forgotten(source: Path, target: pixq.PatchSet, tmp_path: Path) -> None:
    """Not by a run on other photos, nor by one that starts from that."""
    train(target.directory, tmp_path / "second", finetuning_recipe(source), InitialRun.of(source))
    train(target.directory, tmp_path / "third", finetuning_recipe(source), InitialRun.of(tmp_path / "second"))
    first = RunDirectory(source).read_info().seen()
    assert set(first) == {"train", "validation"}
    for run in ("second", "third"):
        seen = RunDirectory(tmp_path / run).read_info().seen()
        for part in first:
            assert set(seen[part]) == set(first[part]) | target.select(split=part).photos()
            assert set(seen[part]) > set(first[part])


def test_scales_of_the_source_are_kept(monotone: Path, tmp_path: Path) -> None:
    # Other training patches, which give other scales to a run of their own.
    trees.write_kadid10k(tmp_path / "kadid", references=5, levels=2)
    built.make("kadid10k", tmp_path / "kadid", tmp_path / "patches", BuildSettings(fusions=(Fusion("paste"),)))
    train(tmp_path / "patches", tmp_path / "run", finetuning_recipe(monotone), InitialRun.of(monotone))
    train(tmp_path / "patches", tmp_path / "anew", finetuning_recipe(monotone))
    before, after, anew = weights(monotone), weights(tmp_path / "run"), weights(tmp_path / "anew")
    for name in ("body.context_mean", "body.context_scale", "body.distance_scale"):
        np.testing.assert_array_equal(after[name], before[name])
    assert (anew["body.distance_scale"] != before["body.distance_scale"]).all()


@pytest.mark.parametrize("only", [None, "head"])
@pytest.mark.parametrize("model", ["tiny", "ordinal"])
def test_an_interrupted_run_ends_with_the_bytes_of_an_unbroken_one(
    patches: Path, tmp_path: Path, only: str | None, model: str
) -> None:
    head = ("model.head=ordinal", "model.cuts=[0.2, 0.4]") if model == "ordinal" else ()
    train(patches, tmp_path / "source", read_recipe("seed", [*QUICK, "train.epochs=1", *head]))
    start = InitialRun.of(tmp_path / "source", only)  # type: ignore[arg-type]
    recipe = finetuning_recipe(tmp_path / "source", None, ["train.epochs=3"])
    train(patches, tmp_path / "whole", recipe, start)
    for number, (epoch, step) in enumerate([(1, 2), (3, 1)]):
        with pytest.raises(KeyboardInterrupt):
            train(patches, tmp_path / "broken", recipe, start, resume=number > 0, on_progress=interrupt_at(epoch, step))
    # A run knows where it started from, and what it needs of that is in its checkpoint.
    (tmp_path / "source").rename(tmp_path / "gone")
    train(patches, tmp_path / "broken", recipe, resume=True)
    for name in SAME_BYTES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name
    assert (weights(tmp_path / "whole", "last.safetensors").keys()) == set(
        weights(tmp_path / "broken", "last.safetensors")
    )


@pytest.mark.parametrize("head", ["regression", "ordinal"])
def test_only_the_head_is_trained(patches: Path, tmp_path: Path, head: str) -> None:
    form = (f"model.head={head}", "model.cuts=[0.2, 0.4]")
    train(patches, tmp_path / "source", read_recipe("seed", [*QUICK, "train.epochs=1", *form]))
    recipe = finetuning_recipe(tmp_path / "source", None, ["train.epochs=2", "optimiser.weight_decay=0.1"])
    info = train(patches, tmp_path / "run", recipe, InitialRun.of(tmp_path / "source", "head"))
    assert info.parameters == {"regression": 9, "ordinal": 10}[head]
    before, after = weights(tmp_path / "source"), weights(tmp_path / "run", "last.safetensors")
    changed = {name for name, values in before.items() if values.tobytes() != after[f"model.{name}"].tobytes()}
    assert (
        changed
        == {
            "regression": {"head.linear.weight", "head.linear.bias"},
            "ordinal": {"head.linear.weight", "head.first", "head.gap"},
        }[head]
    )
    states = {name for name in after if name.startswith("optimiser.") and name.endswith("exp_avg")}
    assert len(states) == {"regression": 2, "ordinal": 3}[head]


def test_what_weighs_patches_is_trained_with_the_head(patches: Path, tmp_path: Path) -> None:
    form = ("train.unit=images", "train.bag=2", "model.pooling=learned", "train.epochs=1", "train.threads=1")
    train(patches, tmp_path / "source", read_recipe("seed", form))
    recipe = finetuning_recipe(tmp_path / "source")
    train(patches, tmp_path / "run", recipe, InitialRun.of(tmp_path / "source", "head"))
    before, after = weights(tmp_path / "source"), weights(tmp_path / "run", "last.safetensors")
    changed = {name for name, values in before.items() if values.tobytes() != after[f"model.{name}"].tobytes()}
    assert changed == {"head.linear.weight", "head.linear.bias", "weigh.weight", "weigh.bias"}


def test_all_is_trained_without_only(patches: Path, source: Path, tmp_path: Path) -> None:
    train(patches, tmp_path / "run", finetuning_recipe(source, None, ["train.epochs=1"]), InitialRun.of(source))
    before, after = weights(source), weights(tmp_path / "run", "last.safetensors")
    same = {name for name, values in before.items() if values.tobytes() == after[f"model.{name}"].tobytes()}
    assert same == {"channels.scale", "channels.shift"}


def test_the_recipe_is_the_sources_or_the_one_named(source: Path, monotone: Path, tmp_path: Path) -> None:
    before = read_recipe("seed", QUICK)
    assert finetuning_recipe(source) == before
    assert finetuning_recipe(source, None, ["optimiser.lr=0.5"]).optimiser.lr == 0.5
    # A recipe that is named gives all but the model, which it need not name.
    toml = tmp_path / "mine.toml"
    toml.write_text("[train]\nunit = 'images'\n[model]\nname = 'monotone'\n")
    named = finetuning_recipe(monotone, str(toml), ["train.epochs=3"])
    assert (named.train.epochs, named.train.batch, named.optimiser.lr) == (3, 16, 0.002)
    assert (named.model.members, named.model.pooling) == (2, "learned")


def test_a_recipe_that_asks_for_another_model_is_one_line(source: Path, monotone: Path, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"model\.norm is 'none', but .* has 'group'; leave it out"):
        finetuning_recipe(source, None, ["model.norm=none"])
    with pytest.raises(PixqError, match=r"recipe strong: model\.name is 'monotone', but .* has 'tiny'"):
        finetuning_recipe(source, "strong")
    toml = tmp_path / "mine.toml"
    toml.write_text("[model]\nhead = 'ordinal'\n")
    with pytest.raises(PixqError, match=r"mine\.toml: model\.head is 'ordinal'"):
        finetuning_recipe(source, str(toml))
    toml.write_text("model = 3\n")
    with pytest.raises(PixqError, match=r"mine\.toml: model: "):
        finetuning_recipe(source, str(toml))
    assert finetuning_recipe(source, None, ["model.norm=group"]).model.norm == "group"


def test_resume_is_of_the_same_start(patches: Path, source: Path, tmp_path: Path) -> None:
    recipe = finetuning_recipe(source)
    with pytest.raises(KeyboardInterrupt):
        train(patches, tmp_path / "run", recipe, InitialRun.of(source), on_progress=interrupt_at(1, 1))
    other = tmp_path / "other"
    train(patches, other, read_recipe("seed", [*QUICK, "train.seed=3"]))
    with pytest.raises(PixqError, match="was begun from another model, that of "):
        train(patches, tmp_path / "run", recipe, InitialRun.of(other), resume=True)
    with pytest.raises(PixqError, match="was begun without --only; continue it like that"):
        train(patches, tmp_path / "run", recipe, InitialRun.of(source, "head"), resume=True)
    plain = RunDirectory(source).recipe_of(RunDirectory(source).read_info())
    with pytest.raises(PixqError, match="was begun from random weights; leave out --from"):
        train(patches, source, plain, InitialRun.of(other), resume=True)
    # Where the source lies does not matter.
    shutil.copytree(source, tmp_path / "copy")
    assert train(patches, tmp_path / "run", recipe, InitialRun.of(tmp_path / "copy"), resume=True).status == "epochs"


def test_a_source_that_changed_before_the_first_checkpoint_is_noticed(
    patches: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(source, tmp_path / "source")
    recipe, start = finetuning_recipe(tmp_path / "source"), InitialRun.of(tmp_path / "source")

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "predict", fail)
        patched.setattr(loop, "kind_of_step", fail)
        with pytest.raises(RuntimeError, match="killed"):
            train(patches, tmp_path / "run", recipe, start)
    shutil.rmtree(tmp_path / "source")
    train(patches, tmp_path / "source", read_recipe("seed", [*QUICK, "train.seed=3"]))
    with pytest.raises(PixqError, match="no longer holds the model that this run was begun from"):
        train(patches, tmp_path / "run", recipe, resume=True)


def test_a_run_json_from_before_there_were_starts_is_read(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text("utf-8"))
    del info["started_from"], info["adapted"]
    path.write_text(json.dumps(info), "utf-8")
    assert RunDirectory(tmp_path / "run").read_info().started_from is None
    pixq.load(tmp_path / "run")


def test_the_command_line(patches: Path, source: Path, monotone: Path, tmp_path: Path) -> None:
    command = ("train", patches, "--device", "cpu")
    done = built.pixq(*command, "--out", tmp_path / "run", "--from", source, "--only", "head")
    assert done.code == 0, done
    assert "tiny, 9 weights" in done.out
    assert RunDirectory(tmp_path / "run").read_info().started_from is not None
    again = built.pixq(*command, "--out", tmp_path / "run", "--resume")
    assert again.out == done.out
    folds = built.pixq(*command, "--out", tmp_path / "a", "--from", source, "--folds")
    assert "--from starts one run; leave out --folds" in built.mistake(folds)
    alone = built.pixq(*command, "--out", tmp_path / "a", "--only", "head")
    assert "--only head needs --from RUN" in built.mistake(alone)
    headless = built.pixq(*command, "--out", tmp_path / "a", "--from", monotone, "--only", "head")
    assert "monotone has no separate head" in built.mistake(headless)
    missing = built.pixq(*command, "--out", tmp_path / "a", "--from", tmp_path / "nothing")
    assert "holds no run.json" in built.mistake(missing)
    assert not (tmp_path / "a").exists()
