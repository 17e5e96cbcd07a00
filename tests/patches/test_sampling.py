"""What an epoch takes, in which order, and what augmentation and balance make of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixq.geometry import Fusion
from pixq.models import build
from pixq.models.base import PatchModel
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet
from pixq.runs.recipe import BalanceSpec, Recipe, read_recipe
from pixq.train.data import Draw, Pool, turns
from pixq.train.sampling import Batch, balance, batches_of, steps_of, validation_rows
from pixq.train.step import CoreStep, Step, make_optimiser
from support.built import make
from support.trees import write_tid

torch.set_num_threads(1)

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    """Two types of distortion, one four times as frequent as the other, and two fusions: 12 records an image.

    One distorted image is its reference, so there is the best quality too.
    """
    root = tmp_path_factory.mktemp("set")
    write_tid(root / "tid", references=8, types=(1, 7), levels=4)
    reference = (root / "tid" / "reference_images" / "I03.BMP").read_bytes()
    (root / "tid" / "distorted_images" / "i03_01_2.bmp").write_bytes(reference)
    text = (root / "tid" / "mos_with_names.txt").read_text()
    kept = [line for line in text.splitlines() if "_07_" not in line or line.endswith("_4.bmp")]
    (root / "tid" / "mos_with_names.txt").write_text("\n".join(kept) + "\n")
    make("tid2013", root / "tid", root / "out", BuildSettings(fusions=(Fusion("none"), Fusion("copy"))))
    return PatchSet(root / "out")


@pytest.fixture(scope="session")
def pool(patches: PatchSet) -> Pool:
    return Pool(patches, CPU, 64)


@pytest.fixture(scope="session")
def uneven(patches: PatchSet) -> Pool:
    """Images with 12, 9, 6, 3, 12, ... records."""
    records = patches.records
    place = np.arange(len(patches)) - np.searchsorted(records.image, records.image)
    return Pool(patches[place < 12 - 3 * (records.image.astype(int) % 4)], CPU, 64)


def epoch(pool: Pool, recipe: Recipe, number: int = 1, weights: NDArray[np.float64] | None = None) -> list[Batch]:
    if weights is None:
        weights = balance(pool, recipe.balance, recipe.train.unit == "images")
    return [
        batch for piece in range(len(pool.pieces)) for batch in batches_of(pool, piece, recipe, weights, epoch=number)
    ]


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return torch.cat([batch.rows for batch in batches]).tolist()


def fields(batch: Batch) -> list[torch.Tensor]:
    draw = batch.draw
    return [each for each in (batch.rows, batch.weight, draw.turn, draw.inside, draw.outside) if each is not None]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        len(fields(a)) == len(fields(b)) and all(torch.equal(x, y) for x, y in zip(fields(a), fields(b), strict=True))
        for a, b in zip(first, second, strict=True)
    )


EVERYTHING = ["augment.flip=true", "augment.turn=true", 'augment.fusions=["copy", "blend"]', "augment.alpha=[0, 1]"]
UNITS: list[list[str]] = [
    [],
    ["train.patches=3"],
    ["train.unit=images", "train.bag=5", "train.visits=2"],
    ["balance.how=sampler"],
    ["balance.how=sampler", "train.unit=images"],
    ["balance.how=weights", "train.patches=2"],
]


# What the draws depend on.


@pytest.mark.parametrize("overrides", UNITS)
def test_draws_depend_on_the_seed_and_the_epoch_alone(overrides: list[str], patches: PatchSet, pool: Pool) -> None:
    recipe = read_recipe("seed", [*overrides, *EVERYTHING])
    first = epoch(pool, recipe, 3)
    np.random.seed(7)  # noqa: NPY002 - that global state is no part of it is the point
    torch.manual_seed(7)
    assert same(first, epoch(pool, recipe, 3))
    # Whatever the memory, while there is one piece.
    assert same(first, epoch(Pool(patches, CPU, 4096), recipe, 3))
    # How the model is made and trained is no part of it either.
    other = read_recipe("seed", [*overrides, *EVERYTHING, "optimiser.lr=1", "model.name=dual", "train.epochs=99"])
    assert same(first, epoch(pool, other, 3))
    assert rows_of(first) != rows_of(epoch(pool, recipe, 4))
    assert rows_of(first) != rows_of(epoch(pool, read_recipe("seed", [*overrides, *EVERYTHING, "train.seed=1"]), 3))


def test_pieces_draw_differently(patches: PatchSet) -> None:
    # Every image eight times: 96 records each, 40 images; three pieces of up to four images in 1 MiB.
    pool = Pool(patches[np.repeat(np.arange(len(patches)), 8)], CPU, 1)
    assert len(pool.pieces) == 10
    recipe = read_recipe("seed")
    weights = balance(pool, recipe.balance, False)
    orders = [rows_of(list(batches_of(pool, piece, recipe, weights, epoch=1))) for piece in range(10)]
    assert all(len(order) == 384 for order in orders)
    assert all(a != b for a, b in pairwise(orders))


# Units.


def test_all_patches_once(pool: Pool) -> None:
    recipe = read_recipe("seed")
    batches = epoch(pool, recipe)
    assert [len(batch.rows) for batch in batches] == [16] * (len(pool) // 16)
    assert steps_of(pool, recipe) == len(batches)
    rows = rows_of(batches)
    assert sorted(rows) == [[row] for row in range(len(pool))]
    assert rows != sorted(rows)
    assert all((batch.weight == 1).all() for batch in batches)
    assert all(batch.draw == Draw(None, None, None) for batch in batches)


@given(st.integers(1, 14), st.integers(1, 100), st.integers(0, 50))
def test_some_patches_of_each_image(uneven: Pool, patches: int, batch: int, number: int) -> None:
    recipe = read_recipe("seed", [f"train.patches={patches}", f"train.batch={batch}"])
    batches = epoch(uneven, recipe, number)
    assert len(batches) == steps_of(uneven, recipe)
    rows = [row for (row,) in rows_of(batches)]
    assert len(set(rows)) == len(rows)
    counts, found = Counter(uneven.image.tolist()), Counter(uneven.image[rows].tolist())
    assert found == {image: min(patches, count) for image, count in counts.items()}
    assert [len(each.rows) for each in batches[:-1]] == [batch] * (len(batches) - 1)


def test_some_patches_are_others_each_epoch(uneven: Pool) -> None:
    recipe = read_recipe("seed", ["train.patches=2"])
    seen = {row for number in range(40) for (row,) in rows_of(epoch(uneven, recipe, number))}
    assert seen == set(range(len(uneven)))


@given(st.integers(1, 20), st.integers(1, 3), st.integers(1, 50))
def test_bags_of_images(uneven: Pool, bag: int, visits: int, batch: int) -> None:
    recipe = read_recipe(
        "seed", ["train.unit=images", f"train.bag={bag}", f"train.visits={visits}", f"train.batch={batch}"]
    )
    batches = epoch(uneven, recipe)
    assert len(batches) == steps_of(uneven, recipe)
    rows = np.array(rows_of(batches))
    counts = Counter(uneven.image.tolist())
    assert rows.shape == (visits * len(counts), bag)
    images = uneven.image[rows]
    # A bag is of one image, and each image has as many bags as visits: all once before any twice.
    assert (images == images[:, :1]).all()
    for visit in range(visits):
        assert sorted(images[visit * len(counts) : (visit + 1) * len(counts), 0]) == sorted(counts)
    for item, image in zip(rows, images[:, 0].tolist(), strict=True):
        # A patch is not drawn twice, unless there are too few.
        assert len(set(item.tolist())) == bag or counts[image] < bag


@given(st.integers(0, 14))
def test_validation_scores_the_same_patches_spread_evenly(uneven: Pool, patches: int) -> None:
    rows = validation_rows(uneven, 0, patches)
    assert np.array_equal(rows, validation_rows(uneven, 0, patches))
    assert (np.diff(rows) > 0).all()
    for image, count in Counter(uneven.image.tolist()).items():
        own = np.flatnonzero(uneven.image == image)
        found = rows[uneven.image[rows] == image]
        assert len(found) == (min(patches, count) if patches else count)
        if patches > 1:
            assert (found[0], found[-1]) == (own[0], own[-1])
            assert np.ptp(np.diff(found)) <= 1


# Augmentation.


def turns_drawn(pool: Pool, *overrides: str) -> Counter[int]:
    batches = epoch(pool, read_recipe("seed", [f"augment.{each}=true" for each in overrides]))
    drawn = torch.cat([batch.draw.turn for batch in batches])  # type: ignore[misc]
    return Counter(drawn.tolist())


def symmetry(change: Callable[[NDArray[Any]], NDArray[Any]]) -> int:
    """The number of a symmetry among `turns`."""
    moved = change(np.arange(25).reshape(5, 5)).reshape(-1).tolist()
    (found,) = [i for i, row in enumerate(turns(5).tolist()) if row == moved]
    return found


def test_flips_and_turns(pool: Pool) -> None:
    mirrored = {
        symmetry(lambda patch: patch),
        symmetry(lambda patch: patch[:, ::-1]),
        symmetry(lambda patch: patch[::-1]),
        symmetry(lambda patch: patch[::-1, ::-1]),
    }
    turned = {symmetry(lambda patch, k=k: np.rot90(patch, k)) for k in range(4)}  # type: ignore[misc]
    assert len(mirrored) == len(turned) == 4
    for overrides, expected in (
        (("flip",), mirrored),
        (("turn",), turned),
        (("flip", "turn"), set(range(8))),
    ):
        found = turns_drawn(pool, *overrides)
        assert set(found) == expected
        # Each as often as the others: 480 draws, and a deviation of at most ten.
        assert all(abs(count - len(pool) / len(expected)) < 6 * 10 for count in found.values())


def test_fusions_drawn_anew(pool: Pool) -> None:
    overrides = ['augment.fusions=["none", "copy", "paste", "blend", "blend:0.9"]', "augment.alpha=[0.2, 0.6]"]
    batches = epoch(pool, read_recipe("seed", overrides))
    inside = torch.cat([batch.draw.inside for batch in batches]).numpy()  # type: ignore[misc]
    outside = torch.cat([batch.draw.outside for batch in batches]).numpy()  # type: ignore[misc]
    assert inside.dtype == outside.dtype == np.float64
    blended = (inside >= 0.2) & (inside <= 0.6)
    # none, copy, paste, a blend of its own alpha, and a blend whose alpha is drawn: a fifth each, 96 of 480.
    assert set(inside[~blended]) == {0.0, 0.9, 1.0}
    assert set(outside) == {0.0, 1.0}
    assert set(inside[outside == 1.0]) == {0.0}
    shares = [(outside == 1.0), (inside == 1.0), (inside == 0.9), blended, (inside == 0.0) & (outside == 0.0)]
    assert sum(int(share.sum()) for share in shares) == len(pool) == 480
    assert all(50 < share.sum() < 150 for share in shares)
    drawn = inside[blended]
    assert len(set(drawn)) == len(drawn)
    assert drawn.min() < 0.25
    assert drawn.max() > 0.55


def test_both_patches_of_every_item_have_a_draw_of_their_own(pool: Pool) -> None:
    recipe = read_recipe("seed", ["train.unit=images", "train.bag=6", "train.batch=7", *EVERYTHING])
    for batch in epoch(pool, recipe):
        n = batch.rows.numel()
        assert [len(each) for each in fields(batch)[2:]] == [n, n, n]
        assert pool.load(0).pairs(batch.rows.reshape(-1), batch.draw).fused.shape == (n, 20, 20, 3)


# Balance.


def cells_of(pool: Pool, spec: BalanceSpec, by_image: bool) -> list[tuple[Any, ...]]:
    """The cell of each record or image, plainly."""
    images = sorted(set(pool.image.tolist()))
    items = images if by_image else range(len(pool))
    cells = []
    for item in items:
        image = item if by_image else pool.image[item]
        quality = pool.quality[pool.image == item].mean() if by_image else pool.quality[item]
        cell: list[Any] = []
        if "quality" in spec.by:
            cell.append(min(int(quality * spec.bins), spec.bins - 1))
        if "distortion" in spec.by:
            cell.append(pool.patches.images[image]["distortion_type"])
        cells.append(tuple(cell))
    return cells


BY = pytest.mark.parametrize("by", ['["quality"]', '["distortion"]', '["quality", "distortion"]'])


@BY
@pytest.mark.parametrize("by_image", [False, True])
def test_weights_make_all_cells_count_the_same(by: str, by_image: bool, uneven: Pool) -> None:
    spec = read_recipe("seed", ["balance.how=weights", f"balance.by={by}", "balance.bins=7"]).balance
    weights = balance(uneven, spec, by_image)
    cells = cells_of(uneven, spec, by_image)
    assert len(weights) == len(cells)
    assert weights.mean() == pytest.approx(1.0)
    totals: dict[tuple[Any, ...], float] = {}
    for cell, weight in zip(cells, weights.tolist(), strict=True):
        totals[cell] = totals.get(cell, 0.0) + weight
    assert len(totals) >= 2
    assert list(totals.values()) == pytest.approx([len(cells) / len(totals)] * len(totals))
    # The same within a cell.
    assert len(set(zip(cells, weights.round(12).tolist(), strict=True))) == len(totals)


@pytest.mark.parametrize("by_image", [False, True])
def test_no_balance_is_one_each(by_image: bool, uneven: Pool) -> None:
    weights = balance(uneven, BalanceSpec(), by_image)
    assert weights.tolist() == [1.0] * (len(set(uneven.image.tolist())) if by_image else len(uneven))


def test_the_best_quality_is_in_the_last_bin(pool: Pool) -> None:
    # One bin more would be a cell of its own.
    assert pool.quality.max() == 1.0
    spec = BalanceSpec(how="weights", bins=1)
    assert balance(pool, spec, False).tolist() == [1.0] * len(pool)


@BY
@pytest.mark.parametrize("unit", ["patches", "images"])
def test_weights_go_with_their_items(by: str, unit: str, uneven: Pool) -> None:
    recipe = read_recipe("seed", ["balance.how=weights", f"balance.by={by}", f"train.unit={unit}", "train.bag=2"])
    weights = balance(uneven, recipe.balance, unit == "images")
    batches = epoch(uneven, recipe)
    rows = np.array(rows_of(batches))[:, 0]
    own = np.searchsorted(sorted(set(uneven.image.tolist())), uneven.image[rows]) if unit == "images" else rows
    found = torch.cat([batch.weight for batch in batches])
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), weights[own].astype(np.float32))


@BY
@pytest.mark.parametrize("unit", ["patches", "images"])
def test_the_sampler_draws_all_cells_equally_often(by: str, unit: str, pool: Pool) -> None:
    overrides = ["balance.how=sampler", f"balance.by={by}", f"train.unit={unit}", "train.bag=1", "train.visits=12"]
    recipe = read_recipe("seed", overrides)
    cells = cells_of(pool, recipe.balance, False)
    drawn: Counter[tuple[Any, ...]] = Counter()
    total = 0
    for number in range(6):
        batches = epoch(pool, recipe, number)
        assert all((batch.weight == 1).all() for batch in batches)
        rows = [row for (row,) in rows_of(batches)]
        assert len(rows) == len(pool)  # 480 records, and 12 visits of 40 images
        drawn.update(cells[row] for row in rows)
        total += len(rows)
    expected = Counter(cells)
    assert set(drawn) == set(expected)
    assert max(expected.values()) > 1.4 * min(expected.values())  # they are not equal by themselves
    share = total / len(expected)
    # Draws are binomial: six deviations of the mean.
    assert all(abs(count - share) < 6 * share**0.5 for count in drawn.values())


# Parts of a batch, one a process.


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 3))
def test_parts_are_the_batch(uneven: Pool, size: int, world: int, bag: int) -> None:
    recipe = read_recipe("seed", ["train.unit=images", f"train.bag={bag}", f"train.batch={size}", *EVERYTHING])
    for batch in epoch(uneven, recipe)[-1:] + epoch(uneven, recipe)[:1]:
        parts = [batch.part(rank, world) for rank in range(world)]
        counted = [part for part in parts if part.weight.any()]
        assert len(counted) == min(world, len(batch.rows))
        # One without items of its own computes something, as all must, and it counts nothing.
        assert all(len(part.rows) == len(part.weight) >= 1 for part in parts)

        def items(one: Batch) -> list[tuple[Any, ...]]:
            shaped = [each.view(len(one.rows), -1).tolist() for each in fields(one)]
            return [tuple(map(tuple, item)) for item in zip(*shaped, strict=True)]

        assert Counter(item for part in counted for item in items(part)) == Counter(items(batch))
        assert max(len(part.rows) for part in counted) - min(len(part.rows) for part in counted) <= 1


@settings(max_examples=10)
@given(st.integers(2, 5), st.sampled_from(["patches", "images"]))
def test_losses_of_parts_add_up_to_the_batchs(pool: Pool, world: int, unit: str) -> None:
    recipe = read_recipe("seed", [f"train.unit={unit}", "train.bag=3", "train.batch=3", "balance.how=weights"])
    torch.manual_seed(0)
    model = build(recipe.model)
    step = Step(model, model, make_optimiser(model, recipe.optimiser, CPU), recipe)
    piece, batch = pool.load(0), epoch(pool, recipe)[0]

    def gradient(each: Batch) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        total = step._loss(piece, each, 3)
        total.backward()  # type: ignore[no-untyped-call]
        return total.item(), torch.cat(
            [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        )

    whole = gradient(batch)
    parts = [gradient(batch.part(rank, world)) for rank in range(world)]
    assert sum(part[0] for part in parts) == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(torch.stack([part[1] for part in parts]).sum(dim=0), whole[1], rtol=1e-4, atol=1e-6)


def test_a_batch_is_cloned_and_overwritten_whole(pool: Pool) -> None:
    first, second = epoch(pool, read_recipe("seed", ["balance.how=weights", *EVERYTHING]))[:2]
    room = first.clone()
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(fields(room), fields(first), strict=True))
    assert same([room], [first])
    addresses = [each.data_ptr() for each in fields(room)]
    room.copy_(second)
    assert same([room], [second])
    assert not same([room], [first])
    assert [each.data_ptr() for each in fields(room)] == addresses
    assert len(fields(second)) == 5


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_a_step_changes_the_weights_by_the_mean_of_the_batch(pool: Pool, clip: float) -> None:
    """One step of plain gradient descent, by hand."""
    recipe = read_recipe("seed", ["loss.name=mse", "train.batch=8", f"optimiser.clip={clip}"])
    torch.manual_seed(0)
    model = build(recipe.model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    piece, batch = pool.load(0), epoch(pool, recipe)[0]
    pairs = piece.pairs(batch.rows.reshape(-1))
    loss = (model(pairs.reference, pairs.fused).raw[:, 0] - pairs.quality).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    norm = float(torch.cat([each.flatten() for each in gradients]).norm())
    assert norm > 0.02
    share = clip / norm if clip else 1.0
    expected = [
        weight.detach() - 0.5 * share * grad for weight, grad in zip(model.parameters(), gradients, strict=True)
    ]
    total = Step(model, model, optimiser, recipe)(piece, batch, 8)
    assert total.item() == pytest.approx(8 * loss.item(), rel=1e-5)
    for weight, by_hand in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), by_hand, rtol=1e-4, atol=1e-6)


STEPS = {
    "smooth_l1": [],
    "mse": ["loss.name=mse", "model.norm=none"],
    "mae": ["loss.name=mae", "balance.how=weights", *EVERYTHING],
    "adamw": ["optimiser.name=adamw", "optimiser.weight_decay=0.1", "optimiser.clip=0.01"],
    "decay": ["optimiser.weight_decay=0.1", "loss.beta=0.5"],
}


def stepping(kind: type[Step], recipe: Recipe, taken: Step | None = None) -> tuple[PatchModel, Step]:
    """A step of its own model, from scratch or from where another is, as a checkpoint has it."""
    torch.manual_seed(0)
    model = build(recipe.model)
    optimiser = make_optimiser(model, recipe.optimiser, CPU)
    if taken is not None:
        model.load_state_dict(taken.model.state_dict())
        state = copy.deepcopy(taken.optimiser.state_dict())
        for weight, moments in zip(model.parameters(), state["state"].values(), strict=True):
            # As a checkpoint gives them: a step of its own, and moments that lie in memory as the weight does.
            moments |= {key: torch.empty_like(weight).copy_(moments[key]) for key in ("exp_avg", "exp_avg_sq")}
            moments["step"] = moments["step"].clone()
        optimiser.load_state_dict(state)
    return model, kind(model, model, optimiser, recipe)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_in_the_core_is_the_step(pool: Pool, name: str) -> None:
    """Losses, weights and moments, also where one goes on with the other's checkpoint."""
    recipe = read_recipe("seed", ["train.batch=5", *STEPS[name]])
    batches, piece = epoch(pool, recipe)[:8], pool.load(0)

    def go(step: Step, some: list[Batch]) -> list[float]:
        losses = []
        for number, batch in enumerate(some):
            step.set_learning_rate(0.002 / (1 + number))
            losses.append(float(step(piece, batch, 5)))
        return losses

    model, plain = stepping(Step, recipe)
    first = go(plain, batches[:4])
    (core_model, core), (_, other) = stepping(CoreStep, recipe), stepping(CoreStep, recipe, plain)
    expected = go(plain, batches[4:])
    assert go(core, batches[:4]) == pytest.approx(first, rel=1e-4)
    back_model, back = stepping(Step, recipe, core)
    for found in (go(core, batches[4:]), go(other, batches[4:]), go(back, batches[4:])):
        assert found == pytest.approx(expected, rel=1e-3)
    for each in (core_model, other.model, back_model):
        for ours, theirs in zip(each.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    for step in (core, other):
        state, ours = plain.optimiser.state_dict()["state"], step.optimiser.state_dict()["state"]
        assert {float(each["step"]) for each in ours.values()} == {8.0}
        for index, each in state.items():
            for key in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(ours[index][key], each[key].contiguous(), rtol=1e-2, atol=1e-6)
