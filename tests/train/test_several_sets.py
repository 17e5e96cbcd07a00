"""Training on several patch sets: photographs, scales, weights, counts of people, and what a run records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pixq
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.joined import JoinedSets
from pixq.patches.store import PatchSet
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import LossSpec
from pixq.train import folds, loop
from pixq.train.partition import by_fold, by_split
from pixq.train.set_scales import STEEPNESS, SetError, SetScales, check_sets, item_weights, people_weights
from pixq.train.step import Error
from support import built, trees
from support.training import QUICK, interrupt_at, make_set, quick, same_bytes

AFFINE = ("sets.scale=affine",)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scores of six photographs, how many of 10 people saw a change in seven, and two ladders; five are in two sets."""
    root = tmp_path_factory.mktemp("several")
    make_set(root / "rated")
    trees.write_midd_gar(root / "seen" / "tree", references=7)
    built.built("midd-gar", root / "seen" / "tree", root / "seen" / "seen", fusions=(Fusion("none"),))
    trees.write_konjnd(root / "ladders" / "tree")
    built.built("konjnd", root / "ladders" / "tree", root / "ladders" / "ladders", ratio=(1.0, 0.0, 0.0))
    return [root / "rated" / "patches", root / "seen" / "seen", root / "ladders" / "ladders"]


def joined_run(sets: list[Path], out: Path, *overrides: str, **options: Any) -> Any:
    return loop.train(by_split(JoinedSets(sets)), out, quick(*overrides), device="cpu", **options)


def flags(*overrides: str) -> list[str]:
    return [part for override in (*QUICK, *overrides) for part in ("--set", override)]


def test_sets_of_other_scales_need_a_recipe_that_says_how(sets: list[Path], tmp_path: Path) -> None:
    done = built.pixq("train", *sets[:2], "--out", tmp_path / "run", *flags())
    message = built.mistake(done)
    assert "seen: its scores (p_different: share of people who said" in message
    assert "on another scale than those of patches" in message
    assert "--set sets.scale=affine" in message
    assert not (tmp_path / "run").exists()


def test_colours_of_two_sets_are_on_two_scales(tmp_path: Path) -> None:
    for name, drawn in (("a", "witt"), ("b", "leeds"), ("c", "witt")):
        row = "{image},{reference}," + drawn + ",{score}"
        trees.write_label_table(tmp_path / name, "image,reference,set,visual_difference", row, ("0", "0.5", "3.2"))
        built.built("colour-pairs", tmp_path / name, tmp_path / f"{name}-set", fusions=(Fusion("none"),))
    first, other, same = (tmp_path / f"{name}-set" for name in "abc")
    check_sets(JoinedSets([first, same]), quick())
    with pytest.raises(PixqError, match=r"b-set: its scores .* here leeds\) are on another scale .* here witt\)"):
        check_sets(JoinedSets([first, other]), quick())
    check_sets(JoinedSets([first, other]), quick("sets.scale=same"))


@pytest.mark.slow
def test_a_run_on_several_sets_says_what_it_was_trained_on(sets: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = built.pixq("train", *sets[:2], "--out", out, *flags(*AFFINE, "sets.weights=[3, 1]"))
    assert done.code == 0, done.err
    info = json.loads((out / "run.json").read_text())
    described = info["patches"]["sets"]
    assert [(one["name"], one["weight"], one["loss"]) for one in described] == [
        ("patches", 3.0, "error"),
        ("seen", 1.0, "error"),
    ]
    assert described[1]["label_contract"]["kind"] == "rate"
    assert info["best"]["sets"][0] == {"scale": 1.0, "shift": 0.0}
    assert info["recipe"]["sets"] == {"weights": [3.0, 1.0], "scale": "affine", "rates": "error"}
    # No photograph is on both sides, in whichever set.
    photos = info["split"]["photos"]
    assert not set(photos["train"]) & set(photos["validation"])
    lines = built.lines(out / "predictions.jsonl")
    assert {line["set"] for line in lines} == {"patches", "seen"}
    assert all(line["image_id"].startswith(line["set"] + "/") for line in lines)
    assert pixq.load(out).score(trees.photo(1), trees.photo(2)) is not None
    assert built.pixq("report", out).code == 0


def test_joined_splits_keep_each_photograph_on_one_side(sets: list[Path]) -> None:
    partition = by_split(JoinedSets(sets))
    train, validation = partition.train.photos(), partition.validation.photos()
    assert train
    assert validation
    assert not train & validation
    test = {photo for one in map(PatchSet, sets) for photo in one.select(split="test").photos()}
    assert not (train | validation) & test


@pytest.mark.slow
def test_the_same_sets_give_the_same_bytes_and_an_interrupted_run_goes_on(sets: list[Path], tmp_path: Path) -> None:
    overrides = (*AFFINE, "sets.rates=binomial", "sets.weights=[1, 2, 1]")
    joined_run(sets, tmp_path / "whole", *overrides)
    assert RunDirectory(tmp_path / "whole").read_info().best["sets"][1] != {"scale": 1.0, "shift": 0.0}  # type: ignore[index]
    for stop in ((1, 2), (3, 1)):
        with pytest.raises(KeyboardInterrupt):
            joined_run(sets, tmp_path / "broken", *overrides, resume=True, on_progress=interrupt_at(*stop))
    joined_run(sets, tmp_path / "broken", *overrides, resume=True)
    same_bytes(tmp_path / "whole", tmp_path / "broken")
    with pytest.raises(PixqError, match="was begun on another patch set"):
        joined_run(sets[::-1], tmp_path / "broken", *overrides, resume=True)
    first, second = (RunDirectory(tmp_path / name).read_info() for name in ("whole", "broken"))
    assert first.best == second.best


@pytest.mark.parametrize(
    ("overrides", "chosen", "message"),
    [
        (("sets.weights=[1, 1, 1]", *AFFINE), 2, "sets.weights has 3 numbers for 2 sets; give one per set"),
        ((*AFFINE, "model.head=ordinal"), 2, "an ordinal head has no scale per set"),
        (("sets.scale=same",), 1, "is one patch set; sets.scale and sets.weights are for several"),
        (("sets.rates=binomial",), 1, "no set counts people who noticed, so sets.rates has no effect"),
    ],
)
def test_sets_that_do_not_fit_the_recipe_are_refused(
    overrides: tuple[str, ...], chosen: int, message: str, sets: list[Path], tmp_path: Path
) -> None:
    run = built.pixq("train", *sets[:chosen], "--out", tmp_path / "run", *flags(*overrides))
    assert message in built.mistake(run)
    assert not (tmp_path / "run").exists()


def test_options_for_several_sets_are_refused_for_one(sets: list[Path], tmp_path: Path) -> None:
    for options, message in (
        (["--leave-out", "dataset"], "is one patch set; --leave-out dataset needs several"),
        (["--photographs", tmp_path / "x.csv"], "--photographs is for several patch sets"),
    ):
        assert message in built.mistake(built.pixq("train", sets[0], "--out", tmp_path / "run", *options))
    assert "no patch set is named" in built.mistake(built.pixq("train", "--out", tmp_path / "run"))


def test_weights_of_sets_are_shares_of_the_loss(sets: list[Path]) -> None:
    partition = by_split(JoinedSets(sets[:2]))
    joined = partition.patches
    assert isinstance(joined, JoinedSets)
    for overrides in ((), ("train.patches=2",), ("train.unit=images", "model.name=monotone")):
        recipe = quick("sets.weights=[3, 1]", *AFFINE, *overrides)
        weights = item_weights(partition.train, recipe)
        assert weights is not None
        records = np.bincount(partition.train.records.image, minlength=len(joined.images))
        items = {"train.patches=2": np.minimum(records, 2), "train.unit=images": records > 0}.get(
            overrides[0] if overrides else "", records
        )
        total = np.bincount(joined.set_of_image, weights=items * weights)
        assert total[0] == pytest.approx(3 * total[1])
        assert (items * weights).sum() == pytest.approx(items.sum())
    assert item_weights(partition.train, quick(*AFFINE)) is None


def test_people_weigh_and_the_inside_of_a_range_does_not(sets: list[Path]) -> None:
    ladders = PatchSet(sets[2])
    weights = people_weights(ladders, quick("sets.rates=binomial"))
    by_id = {image["image_id"]: weight for image, weight in zip(ladders.images, weights, strict=True)}
    # Levels 100 to 96 of a range of 97 to 99, and four people.
    ratio = [by_id[f"S1_JPEG_{n:03d}"] / by_id["S2_BPG_001"] for n in range(1, 6)]
    assert ratio == pytest.approx([0.25, 0, 0, 0, 0.25])
    assert (people_weights(ladders, quick()) == 1.0).all()


def test_rates_are_learned_by_the_likelihood_of_the_answers() -> None:
    scales = SetScales(2, [False, True], learned=True)
    with torch.no_grad():
        scales.log_scale[1], scales.shift[1] = 0.2, -0.1
    predicted, quality = torch.tensor([0.3, 0.4, 0.9]), torch.tensor([0.5, 0.7, 1.0])
    sets = torch.tensor([0, 1, 1])
    losses = SetError(scales, Error(LossSpec(name="mse")), sets)(predicted, quality).tolist()
    assert losses[0] == pytest.approx((0.3 - 0.5) ** 2, abs=1e-6)
    for loss, p, q in zip(losses[1:], (0.4, 0.9), (0.7, 1.0), strict=True):
        noticed = 1 / (1 + np.exp(STEEPNESS * (np.exp(0.2) * p - 0.1 - 0.5)))
        assert loss == pytest.approx(-(1 - q) * np.log(noticed) - q * np.log(1 - noticed), abs=1e-5)


def test_scale_and_shift_of_a_set_are_found() -> None:
    torch.manual_seed(0)
    scales = SetScales(3, [False, False, False], learned=True, anchor=1)
    quality, sets = torch.rand(600), torch.arange(600) % 3
    truth = torch.tensor([(0.4, 0.3), (1.0, 0.0), (1.5, -0.2)])
    labels = quality * truth[sets, 0] + truth[sets, 1]
    optimiser = torch.optim.Adam(scales.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        SetError(scales, Error(LossSpec(name="mse")), sets)(quality, labels).mean().backward()
        optimiser.step()
    assert np.array(scales.values()) == pytest.approx(truth.numpy(), abs=0.01)
    # Predictions of two members have the scale of their item.
    both = scales.on_scale(torch.stack([quality, quality], dim=1), sets)
    assert torch.equal(both[:, 0], scales.on_scale(quality, sets))


@pytest.mark.slow
def test_a_left_out_set_is_in_no_part_but_the_held_out(sets: list[Path], tmp_path: Path) -> None:
    joined = JoinedSets(sets[:2])
    out = tmp_path / "out"
    done = built.pixq(
        "train", *sets[:2], "--out", out, "--leave-out", "dataset", *flags(*AFFINE, "train.epochs=1"), "--device", "cpu"
    )
    assert done.code == 0, done.err
    assert "over the set left out" in done.out
    summary = json.loads((out / folds.FOLDS).read_text())
    assert (summary["leave_out"], set(summary["by_dataset"])) == ("dataset", {"patches", "seen"})
    assert set(summary["mean"]) == {"all", "left_out"}
    free = {image["image_id"] for image in joined.images if image["split"] != "test"}
    for name in joined.names:
        parts = by_fold(joined, 0, name, "dataset")
        for part in (parts.train, parts.validation):
            assert {joined.set_of(number) for number in part.records.image.tolist()} == set(joined.names) - {name}
        lines = [line for line in built.lines(out / "predictions.jsonl") if line["left_out"] == name]
        # Each image once, by a model that saw neither its photograph nor the set.
        assert sorted(line["image_id"] for line in lines) == sorted(free)
    run = RunDirectory(out / summary["runs"][0]).read_info()
    assert (run.split["left_out"], run.split["leave_out"]) == ("patches", "dataset")
    # The first set that is left decides the scale.
    assert run.best is not None
    assert run.best["sets"][1] == {"scale": 1.0, "shift": 0.0}
    assert built.pixq("report", out).code == 0


@pytest.mark.slow
def test_folds_of_several_sets_give_a_number_per_set(sets: list[Path], tmp_path: Path) -> None:
    done = built.pixq("train", *sets[:2], "--out", tmp_path / "out", "--folds", *flags(*AFFINE, "train.epochs=0"))
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "out" / folds.FOLDS).read_text())
    assert set(summary["by_dataset"]) == {"patches", "seen"}
    known = [value for value in summary["by_dataset"].values() if value is not None]
    assert summary["image"]["srcc"] == pytest.approx(np.mean(known))
    assert "set seen" in done.out


@pytest.mark.slow
def test_two_processes_learn_the_scales_of_one(sets: list[Path], tmp_path: Path) -> None:
    overrides = (*AFFINE, "sets.rates=binomial", "model.name=residual", "train.epochs=1", "train.batch=32")
    joined_run(sets[:2], tmp_path / "one", *overrides)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "pixq", "train", *map(str, sets[:2]), "--device", "cpu", "--out", str(tmp_path / "two")]
    done = subprocess.run([*torchrun, *words, *flags(*overrides)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (RunDirectory(tmp_path / name).read_info().best for name in ("one", "two"))
    assert one is not None
    assert two is not None
    for first, second in zip(one["sets"], two["sets"], strict=True):
        assert second == pytest.approx(first, abs=1e-3)
