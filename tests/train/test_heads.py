"""Heads, the monotone body, and pooling: how features become the score of a patch and of an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from pixq.classes import NAMES
from pixq.models.base import NineChannels
from pixq.models.heads import Members, Ordinal, PatchScores, Regression
from pixq.models.monotone import Monotone, Statistics
from pixq.models.pooling import pool, pool_by
from pixq.models.spec import ModelSpec
from pixq.runs.recipe import read_recipe
from pixq.train.step import error_of
from support.models import make, pairs, scores_and_weights

torch.set_num_threads(1)  # Two threads are slower on patches as small as these, and much slower on a busy machine.


# Heads.


def test_the_order_of_classes() -> None:
    assert NAMES == ("Red", "Orange", "Green")


@settings(max_examples=40)
@given(st.floats(-20, 20), st.floats(-10, 10), st.integers(0, 2**32))
def test_ordinal_probabilities(first: float, gap: float, seed: int) -> None:
    head = Ordinal(4, (0.33, 0.66))
    head.first.data.fill_(first)
    head.gap.data.fill_(gap)
    features = 10 * torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        raw = head(features)
        found = head.probabilities(raw)
        quality = head.quality(raw)
        better = head.quality(raw + 0.5)
    assert found.shape == (9, 3)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(9))
    # At least Orange is likelier than Green.
    assert (raw[:, 0] >= raw[:, 1]).all()
    torch.testing.assert_close(quality, found @ torch.tensor([0.0, 0.5, 1.0]), rtol=1e-5, atol=1e-6)
    assert ((quality >= 0) & (quality <= 1)).all()
    assert (better >= quality).all()


def test_ordinal_probabilities_by_hand() -> None:
    head = Ordinal(1, (0.33, 0.66))
    head.linear.weight.data.fill_(1.0)
    with torch.inference_mode():
        found = head.probabilities(head(torch.tensor([[0.0], [-1.0], [1.0]])))
    # The cut points start at -1 and +1, as softplus(1.8546) is 2.
    below = [1 / (1 + math.exp(-x)) for x in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    expected = [
        [below[1], below[3] - below[1], 1 - below[3]],
        [below[2], below[4] - below[2], 1 - below[4]],
        [below[0], below[2] - below[0], 1 - below[2]],
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_the_ordinal_loss_by_hand() -> None:
    head = Ordinal(1, (0.33, 0.66))
    raw = torch.full((6, 2), math.log(3.0)) * torch.tensor([1.0, -1.0])  # P(at least Orange) 3/4, P(Green) 1/4
    quality = torch.tensor([0.0, 0.3299, 0.33, 0.5, 0.66, 1.0])  # Red, Red, Orange, Orange, Green, Green
    sure, unsure = -math.log(3 / 4), -math.log(1 / 4)
    expected = [unsure + sure] * 2 + [sure + sure] * 2 + [sure + unsure] * 2
    np.testing.assert_allclose(head.loss(raw, quality, nn.Identity()).numpy(), expected, rtol=1e-6)


def test_an_ordinal_head_learns_the_order_of_classes() -> None:
    torch.manual_seed(0)
    head = Ordinal(1, (0.33, 0.66))
    quality = torch.linspace(0, 1, 101)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.2)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(head(quality[:, None]), quality, nn.Identity()).mean().backward()
        optimiser.step()
    with torch.inference_mode():
        raw = head(quality[:, None])
        found = [NAMES[i] for i in head.probabilities(raw).argmax(dim=1).tolist()]
    expected = ["Red" if q < 0.33 else "Orange" if q < 0.66 else "Green" for q in quality.tolist()]
    # One may be off at each cut.
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 4
    assert (found[0], found[50], found[-1]) == ("Red", "Orange", "Green")
    assert (head.quality(raw).diff() > 0).all()


def test_regression_is_clamped_where_it_is_read_alone() -> None:
    head = Regression(1)
    raw = torch.tensor([[-0.5], [0.25], [1.5]], requires_grad=True)
    assert head.quality(raw).tolist() == [0.0, 0.25, 1.0]
    head.loss(raw, torch.tensor([0.0, 0.25, 1.0]), nn.L1Loss(reduction="none")).sum().backward()
    assert raw.grad is not None
    assert raw.grad.flatten().tolist() == [-1.0, 0.0, 1.0]


def test_links() -> None:
    features = torch.tensor([[-30.0], [0.0], [30.0]])
    for link, expected in (("identity", [-30.0, 0.0, 30.0]), ("sigmoid", [0.0, 0.5, 1.0])):
        head = Regression(1, link)
        head.linear.weight.data.fill_(1.0)
        head.linear.bias.data.fill_(0.0)
        with torch.inference_mode():
            raw = head(features)
            assert head.quality(raw).tolist() == pytest.approx([min(max(x, 0.0), 1.0) for x in expected])
        assert raw[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("head", ["regression", "ordinal"])
@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_quality_lies_in_its_range_whatever_the_weights(head: str, link: str) -> None:
    model = make(head=head, link=link).eval()
    for scale in (-1000.0, 1000.0):
        model.head.linear.weight.data.normal_().mul_(scale)
        with torch.inference_mode():
            quality = model.quality(model(*pairs(50)))
        assert quality.shape == (50,)
        assert ((quality >= 0) & (quality <= 1)).all()


def test_members_are_trained_alone_and_read_together() -> None:
    head = Members(2)
    raw = torch.tensor([[0.2, 0.6], [0.9, 1.5]], requires_grad=True)
    assert head.quality(raw).tolist() == pytest.approx([0.4, 1.0])
    each = head.loss(raw, torch.tensor([0.5, 0.5]), nn.L1Loss(reduction="none"))
    assert each.tolist() == pytest.approx([(0.3 + 0.1) / 2, (0.4 + 1.0) / 2])


# Monotone.


def test_identical_patches_have_no_distance() -> None:
    images = NineChannels()(*pairs(40, 12))[:, 0:3] * 255
    flat = torch.arange(0, 256, 15.0)[:, None, None, None].expand(-1, 3, 12, 12)
    for image in (images, flat):
        _, distance = Statistics()(image, image)
        assert distance.shape == (len(image), Statistics.distances)
        assert distance.abs().max() < 0.01
    _, distance = Statistics()(images, images.flip(0))
    assert (distance.amax(dim=0) > 0.05).all()
    assert (distance >= 0).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, Statistics.distances - 1), st.floats(0.01, 5))
def test_a_score_can_only_fall_as_a_distance_grows(seed: int, which: int, more: float) -> None:
    torch.manual_seed(seed)
    model = Monotone(ModelSpec(name="monotone", members=3)).eval()
    for name, weight in model.named_parameters():
        weight.data += 0.5 * torch.randn_like(weight) * (name != "bend_out")
    context, distance = torch.randn(5, Statistics.contexts), torch.rand(5, Statistics.distances)
    longer = distance.clone()
    longer[:, which] += more

    def scores(values: Tensor) -> PatchScores:
        model._measure = lambda _: (context, values)  # type: ignore[method-assign]
        with torch.inference_mode():
            return model(context)  # type: ignore[no-any-return]

    before, after = scores(distance), scores(longer)
    assert (after.raw <= before.raw + 1e-6).all()
    # What a patch counts is by its reference alone.
    assert torch.equal(after.weight, before.weight)
    assert (before.weight > 0).all()
    # The part that may rise is held to its share.
    model.bend_out.data.normal_().mul_(100.0)
    bent = scores(longer)
    assert not torch.allclose(bent.raw, after.raw)
    assert ((bent.raw - after.raw).abs() <= Monotone.BEND + 1e-6).all()


def test_patches_of_an_image_lose_the_same_distances() -> None:
    torch.manual_seed(0)
    model = Monotone(ModelSpec(name="monotone", members=2, dropout=0.5))
    channels = NineChannels()(*pairs(1)).expand(12, -1, -1, -1)
    shown = torch.ones(3, Monotone.hidden)
    shown[1, ::2] = 0.0
    shown[2, :3] = 0.0
    with torch.no_grad():
        raw = model(channels, shown).raw.view(3, 4, 2)
        # Four of an image agree, and images don't, though all are one patch.
        assert torch.equal(raw, raw[:, :1].expand_as(raw))
        assert len(raw[:, 0, 0].unique()) == 3
        # Nothing is hidden from who only reads.
        torch.testing.assert_close(raw[0], model(channels).raw[:4])


def test_scales_are_those_of_the_training_patches() -> None:
    model = make(name="monotone")
    batches = [pairs(9, seed=1), pairs(4, seed=2)]
    model.calibrate(batches)
    found = [Statistics()(*(each.permute(0, 3, 1, 2).float() for each in batch)) for batch in batches]
    context, distance = (np.concatenate([part[i].numpy() for part in found]) for i in (0, 1))
    body = model.body
    assert isinstance(body, Monotone)
    np.testing.assert_allclose(body.context_mean.numpy(), context.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(body.context_scale.numpy(), context.std(axis=0) + 1e-3, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(body.distance_scale.numpy(), distance.mean(axis=0) + 0.01, rtol=1e-4, atol=1e-5)
    assert {"body.context_mean", "body.context_scale", "body.distance_scale"} <= set(model.state_dict())
    # Others have no scales to set.
    before = make().state_dict()
    tiny = make()
    tiny.calibrate(batches)
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


# From patches to an image.


def by_hand(spec: ModelSpec, quality: NDArray[Any], weight: NDArray[Any]) -> float:
    if spec.pooling == "percentile":
        return float(np.percentile(quality, spec.percentile))
    if spec.pooling == "learned":
        return float(sum(quality * weight) / sum(weight))
    return float(sum(quality) / len(quality))


POOLINGS = st.one_of(
    st.just(ModelSpec()),
    st.just(ModelSpec(pooling="learned")),
    st.floats(0, 100).map(lambda p: ModelSpec(pooling="percentile", percentile=p)),
)


@given(POOLINGS, st.integers(1, 30), st.integers(0, 2**32))
def test_pooling_by_hand(spec: ModelSpec, patches: int, seed: int) -> None:
    quality, weight = scores_and_weights(seed, 3, patches)
    expected = [by_hand(spec, quality[i].double().numpy(), weight[i].double().numpy()) for i in range(3)]
    np.testing.assert_allclose(pool(spec, quality, weight).numpy(), expected, rtol=1e-5, atol=1e-6)


@given(POOLINGS, st.lists(st.sampled_from([3, 7, 8, 40]), min_size=1, max_size=25), st.integers(0, 2**32))
def test_images_with_different_counts_in_any_order(spec: ModelSpec, image: list[int], seed: int) -> None:
    quality, weight = scores_and_weights(seed, len(image))
    images, found = pool_by(spec, torch.tensor(image), quality, weight)
    assert images.tolist() == sorted(set(image))
    for number, score in zip(images.tolist(), found.tolist(), strict=True):
        own = np.array(image) == number
        expected = by_hand(spec, quality.double().numpy()[own], weight.double().numpy()[own])
        assert score == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_weights_of_patches_are_above_zero_and_learned() -> None:
    plain, learned = make(), make(pooling="learned")
    with torch.inference_mode():
        assert plain(*pairs()).weight.tolist() == [[1.0]] * 6
    assert learned.weigh is not None
    learned.weigh.bias.data.fill_(-1000.0)
    with torch.inference_mode():
        assert learned(*pairs()).weight[:, 0].tolist() == pytest.approx([1e-3] * 6)
    learned = make(pooling="learned")
    recipe = read_recipe("seed", ["model.pooling=learned", "train.unit=images"])
    error_of(learned, recipe, learned(*pairs()), torch.rand(6), 3).sum().backward()
    assert learned.weigh is not None
    assert learned.weigh.weight.grad is not None
    assert learned.weigh.weight.grad.abs().sum() > 0
