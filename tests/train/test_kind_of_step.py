"""Which recipes are trained in the core, and which by PyTorch."""

from __future__ import annotations

import pytest
import torch

from pixq.models import build
from pixq.runs.recipe import read_recipe
from pixq.train.step import CoreStep, Step, kind_of_step, make_optimiser

torch.set_num_threads(1)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.unit=images"],
        ["train.unit=images", "loss.correlation=0.5"],
        ["model.link=sigmoid"],
        ["model.head=ordinal"],
        ["train.unit=images", "model.pooling=learned"],
        ["model.name=residual"],
    ],
)
def test_other_losses_and_models_take_pytorchs_step(overrides: list[str]) -> None:
    recipe = read_recipe("seed", overrides)
    model = build(recipe.model)
    assert kind_of_step(model, recipe, CPU, 1) is Step
    with pytest.raises(ValueError, match="needs a Step"):
        CoreStep(model, model, make_optimiser(model, recipe.optimiser, CPU), recipe)


def test_frozen_weights_and_several_processes_take_pytorchs_step() -> None:
    recipe = read_recipe("seed")
    model = build(recipe.model)
    assert kind_of_step(model, recipe, CPU, 1) is CoreStep
    assert kind_of_step(model, recipe, CPU, 2) is Step
    next(model.parameters()).requires_grad_(False)
    assert kind_of_step(model, recipe, CPU, 1) is Step
