"""Losses, the optimiser, and a training step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixq.models import build
from pixq.models import tiny as tiny_model
from pixq.models.heads import PatchScores
from pixq.models.spec import ModelSpec
from pixq.runs.recipe import LossSpec, OptimiserSpec, read_recipe
from pixq.train.metrics import plcc
from pixq.train.step import Error, Step, decorrelation, error_of, image_scores, make_optimiser
from support.models import make, scores_and_weights

torch.set_num_threads(1)  # Two threads are slower on patches as small as these, and much slower on a busy machine.


# Losses.


@pytest.mark.parametrize(
    ("spec", "module"),
    [
        (LossSpec(), nn.SmoothL1Loss(beta=0.05, reduction="none")),
        (LossSpec(beta=0.4), nn.SmoothL1Loss(beta=0.4, reduction="none")),
        (LossSpec(name="mse"), nn.MSELoss(reduction="none")),
        (LossSpec(name="mae"), nn.L1Loss(reduction="none")),
    ],
)
def test_errors_are_torchs(spec: LossSpec, module: nn.Module) -> None:
    predicted, quality = scores_and_weights(3, 200)
    assert torch.equal(Error(spec)(predicted, quality), module(predicted, quality))


def test_smooth_l1_by_hand() -> None:
    found = Error(LossSpec(beta=0.05))(torch.tensor([0.5, 0.52, 0.55, 0.8]), torch.full((4,), 0.5))
    # Below beta 0.5 e^2 / beta, above it e - beta / 2.
    np.testing.assert_allclose(found.numpy(), [0.0, 0.5 * 0.02**2 / 0.05, 0.025, 0.3 - 0.025], atol=1e-6)


def test_the_loss_of_an_item() -> None:
    raw = torch.tensor([[0.2], [1.4], [0.6], [0.0]])
    quality = torch.tensor([0.1, 1.0, 0.5, 0.1])
    scores = PatchScores(raw, torch.tensor([[1.0], [3.0], [1.0], [1.0]]))
    patches = read_recipe("seed", ["loss.name=mae"])
    images = read_recipe("seed", ["loss.name=mae", "train.unit=images"])
    learned = read_recipe("seed", ["loss.name=mae", "train.unit=images", "model.pooling=learned"])
    for recipe, bag, expected in (
        (patches, 1, [0.1, 0.4, 0.1, 0.1]),
        # Pooled before the clamp: the mean of 0.2 and 1.4 is 0.8, that of the labels 0.55.
        (images, 2, [0.25, 0.0]),
        (learned, 2, [(0.2 + 3 * 1.4) / 4 - 0.55, 0.0]),
    ):
        model = build(recipe.model)
        found = error_of(model, recipe, scores, quality, bag)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_images_are_scored_by_each_member() -> None:
    model = make(name="monotone", members=2, pooling="learned")
    raw, weight = scores_and_weights(5, 6, 2)
    found = image_scores(model, PatchScores(raw, weight), 3)
    by_patch = (raw * weight).view(2, 3, 2).sum(dim=1) / weight.view(2, 3, 2).sum(dim=1)
    torch.testing.assert_close(found, by_patch)


@given(st.integers(3, 30), st.integers(1, 4), st.integers(0, 2**32))
def test_decorrelation_is_one_less_plcc(images: int, members: int, seed: int) -> None:
    predicted, _ = scores_and_weights(seed, images, members)
    quality, weight = scores_and_weights(seed + 1, images)
    expected = np.mean([1 - plcc(predicted[:, i], quality) for i in range(members)])
    assert decorrelation(predicted, quality, weight, 1).item() == pytest.approx(expected, abs=1e-4)
    # One that counts nothing, as of a process without images of its own, is left out.
    more = [torch.cat([each, torch.full_like(each[:1], 9.0)]) for each in (predicted, quality, weight)]
    more[2][-1] = 0.0
    assert decorrelation(more[0], more[1], more[2], 1).item() == pytest.approx(expected, abs=1e-4)
    # All images of one quality have no correlation, and no NaN.
    assert decorrelation(predicted, torch.full((images,), 0.5), weight, 1).isfinite()


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser(name: str, kind: type) -> None:
    model = make()
    optimiser = make_optimiser(model, OptimiserSpec(name=name, lr=0.25, weight_decay=0.125), torch.device("cpu"))
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.25, 0.125, (0.9, 0.999))
    assert sum(weight.numel() for weight in group["params"]) == 4417
    Step(model, model, optimiser, read_recipe("seed")).set_learning_rate(0.5)
    assert group["lr"] == 0.5


@pytest.mark.parametrize("norm", ["group", "none"])
@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_the_core_computes_what_the_layers_of_tiny_do(norm: str, link: str) -> None:
    torch.manual_seed(3)
    on_core = build(ModelSpec(norm=norm, link=link))  # type: ignore[arg-type]
    on_layers = copy.deepcopy(on_core)
    assert on_core.kernel is not None
    on_layers.kernel = None
    random = np.random.default_rng(0)
    reference, distorted = torch.from_numpy(random.integers(0, 256, (2, 33, 20, 20, 3), dtype=np.uint8))
    outputs = []
    for model in (on_core, on_layers):
        scores = model(reference, distorted)
        # Two forward passes wait for their backward passes: one must not overwrite the other.
        other = model(distorted, reference)
        (scores.raw.square().sum() + 3 * other.raw.sum()).backward()
        outputs.append((scores, [weight.grad for weight in model.parameters()]))
    (core, core_gradients), (layers, layer_gradients) = outputs
    torch.testing.assert_close(core.raw, layers.raw, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(core.weight, layers.weight)
    for a, b in zip(core_gradients, layer_gradients, strict=True):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_a_copy_of_tiny_is_computed_with_its_own_weights() -> None:
    model = build(ModelSpec())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    patches = torch.full((2, 1, 20, 20, 3), 7, dtype=torch.uint8)
    assert twin(patches[0], patches[1]).raw.item() == 0.0
    assert model(patches[0], patches[1]).raw.item() != 0.0


def test_a_second_backward_pass_of_tiny_is_an_error() -> None:
    model = build(ModelSpec())
    patches = torch.full((2, 1, 20, 20, 3), 7, dtype=torch.uint8)
    raw = model(patches[0], patches[1]).raw.sum()
    raw.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="the backward pass of tiny has already been taken"):
        raw.backward()


def test_bf16_leaves_the_statistics_of_monotone_as_they_are() -> None:
    model = make(name="monotone")
    noise = torch.randint(-3, 4, (2, 16, 20, 20, 3))
    channels = model.channels(*(128 + noise).to(torch.uint8))
    plain = model.body._measure(channels)  # type: ignore[operator]
    with torch.autocast("cpu", torch.bfloat16):
        lower = model.body._measure(channels)  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(plain, lower, strict=True))


def test_scoring_without_gradients_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    patches = torch.randint(0, 256, (3, 20, 20, 3), dtype=torch.uint8)
    expected = model(patches, patches).raw.detach()

    def no_tape(**_: object) -> None:
        raise AssertionError("a tape was made")

    monkeypatch.setattr(tiny_model, "TinyTape", no_tape)
    for guard in (torch.no_grad, torch.inference_mode):
        model = make()
        with guard():
            assert model(patches, patches).raw.shape == expected.shape
