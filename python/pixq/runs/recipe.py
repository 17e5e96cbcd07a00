"""Recipes: everything that determines a training run, as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError

from pixq.errors import PixqError
from pixq.geometry import FUSIONS, Fusion
from pixq.io.text import read_text
from pixq.models import MODELS
from pixq.models.spec import Cell, ModelSpec, RecipeTable, Unit

__all__ = ["RECIPES", "Recipe", "check_used", "read_recipe"]

#: Recipes that come with pixq.
RECIPES = ("seed", "strong")


#: The largest number of items that a key can ask for.
_MOST = 2**31 - 1


class TrainSpec(RecipeTable):
    """`[train]`: how long to train, what a batch is, and the seed of everything random.

    Parameters
    ----------
    unit
        One item of a batch: `patches`, a patch with the quality of its record; or `images`, an image of which `bag`
        patches are drawn and pooled into one score.
    batch
        Items per batch, over all processes.
    bag
        For `images`: patches drawn per image.
    patches
        For `patches`: patches per image that an epoch draws; 0 for all.
    visits
        For `images`: how often an epoch draws each image.
    validation_patches
        Patches per image that validation scores, the same ones each time; 0 for all.
    precision
        `fp32`; `tf32` and `bf16` for CUDA.
    threads
        Threads of PyTorch on a CPU, part of the recipe because sums depend on it. What the core computes itself (`tiny`
        on a CPU) uses all cores instead, and does not depend on their number.
    memory
        MiB of patches on the device at a time, of training and of validation each. A larger set streams, piece by
        piece, and is shuffled and balanced within a piece.
    """

    epochs: int = Field(default=20, ge=0, le=1_000_000)
    unit: Unit = "patches"
    batch: int = Field(default=16, ge=1, le=_MOST)
    bag: int = Field(default=32, ge=1, le=_MOST)
    patches: int = Field(default=0, ge=0, le=_MOST)
    visits: int = Field(default=1, ge=1, le=_MOST)
    validation_patches: int = Field(default=0, ge=0, le=_MOST)
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    threads: int = Field(default=2, ge=1, le=1024)
    memory: int = Field(default=4096, ge=1, le=2**24)
    seed: int = Field(default=0, ge=0, lt=2**32)


class LossSpec(RecipeTable):
    """`[loss]`: the loss of a regression; an ordinal head has its own.

    Parameters
    ----------
    name
        `smooth_l1`, `mse` or `mae`.
    beta
        For `smooth_l1`: the error from which it is linear.
    correlation
        For `train.unit = "images"`: the weight of a term 1 - PLCC over a batch's image scores. Validation leaves
        it out.
    """

    name: Literal["smooth_l1", "mse", "mae"] = "smooth_l1"
    beta: float = Field(default=0.05, gt=0.0)
    correlation: float = Field(default=0.0, ge=0.0)


class OptimiserSpec(RecipeTable):
    """`[optimiser]`: how the weights are changed.

    Parameters
    ----------
    schedule
        `constant`, or `cosine` down to 0 over all epochs; both rise from 0 over the first `warmup` epochs.
    clip
        The largest norm of the gradient; 0 for no limit.
    """

    name: Literal["adam", "adamw"] = "adam"
    lr: float = Field(default=0.002, gt=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = Field(default=0.0, ge=0.0)
    clip: float = Field(default=0.0, ge=0.0)


class StoppingSpec(RecipeTable):
    """`[stopping]`: stop after `patience` epochs in which the validation loss fell by no more than `min_delta`.

    A patience of 0 never stops early.
    """

    patience: int = Field(default=10, ge=0, le=1_000_000)
    min_delta: float = Field(default=1e-5, ge=0.0)


class AugmentSpec(RecipeTable):
    """`[augment]`: random changes, drawn again for each item, and the same for both patches of a pair.

    Parameters
    ----------
    flip, turn
        Mirror images, and quarter turns.
    fusions
        Fusions to draw from instead of the record's own; empty keeps the record's.
    alpha
        The range to draw the alpha of a `blend` from; a fusion with an alpha, like `blend:0.25`, keeps it.
    """

    flip: bool = False
    turn: bool = False
    fusions: tuple[str, ...] = Field(default=(), strict=False)
    alpha: tuple[float, float] = Field(default=(0.5, 0.5), strict=False)

    @staticmethod
    def draws_alpha(fusion: str) -> bool:
        """Whether the alpha of a fusion is drawn: it takes one, and the text names none."""
        return fusion in FUSIONS and FUSIONS[fusion].takes_alpha


class BalanceSpec(RecipeTable):
    """`[balance]`: compensates for qualities or distortion types that are rare.

    Parameters
    ----------
    how
        `none`; `weights`: rare ones count more in the loss; `sampler`: rare ones are drawn more often.
    by
        What is counted: `quality`, in `bins` bins of equal width, `distortion`, or both.
    """

    how: Literal["none", "weights", "sampler"] = "none"
    by: tuple[Cell, ...] = Field(default=("quality",), strict=False)
    bins: int = Field(default=5, ge=1, le=1000)


class SetsSpec(RecipeTable):
    """`[sets]`: how several patch sets are trained on together.

    Parameters
    ----------
    weights
        One number per set, in their order: how much all of its items together count in the loss. Empty: each item
        counts the same, so large sets count more.
    scale
        `strict`: all scores must be on one scale; `same`: equal qualities mean the same in all sets; `affine`: the
        label of each set is a scale times the quality plus a shift, both learned. The first set decides the scale of
        the model.
    rates
        How sets that count people who noticed are learned: by the `error` of `[loss]` in quality, or `binomial`, by the
        cross-entropy of noticing with probability 1 / (1 + exp(8 (quality - 0.5))), weighted by the number of people.
        A PJND range then says nothing about the levels inside it.
    """

    weights: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(default=(), strict=False)
    scale: Literal["strict", "same", "affine"] = "strict"
    rates: Literal["error", "binomial"] = "error"


class Recipe(RecipeTable):
    """A recipe: the complete configuration of `pixq train`.

    Examples
    --------
    >>> recipe = read_recipe("seed", ["optimiser.lr=0.001", "model.norm=none"])
    >>> recipe.optimiser.lr, recipe.model.norm
    (0.001, 'none')
    """

    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    loss: LossSpec = LossSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    stopping: StoppingSpec = StoppingSpec()
    augment: AugmentSpec = AugmentSpec()
    balance: BalanceSpec = BalanceSpec()
    sets: SetsSpec = SetsSpec()

    def text(self) -> str:
        """The recipe as TOML, with every key; reading it gives the same recipe."""
        tables = []
        for table, values in self.model_dump(mode="json").items():
            # Numbers, strings, true, false and lists are written in JSON as in TOML.
            lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
            tables.append("\n".join([f"[{table}]", *lines]))
        return "\n\n".join(tables) + "\n"


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with some keys overridden.

    Parameters
    ----------
    name
        One of `RECIPES`, or the path of a TOML file.
    overrides
        `table.key=value`, the value as in TOML; text needs no quotes.

    Raises
    ------
    PixqError
        If the recipe is unknown or can't be read, or a key or a value is wrong.
    """
    where, tables = read_tables(name, overrides)
    return parse_recipe(tables, where)


def read_tables(
    name: str, overrides: Sequence[str] = (), base: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """The name of a recipe in messages, and its tables with `overrides`, not checked yet; see `read_recipe`.

    With `base`, these are the tables, and `name` is only used in messages.
    """
    where, tables = (name, base) if base is not None else _read(name)
    for override in overrides:
        _override(tables, override)
    return where, tables


def _read(name: str) -> tuple[str, dict[str, Any]]:
    if name in RECIPES:
        where, text = f"recipe {name}", (resources.files(__package__) / "recipes" / f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml"):
        where = name
        try:
            text = read_text(Path(name))
        except OSError as error:
            raise PixqError(f"{name}: {error.strerror or error}; choose {', '.join(RECIPES)} or a TOML file") from None
    else:
        raise PixqError(f"no recipe is called {name!r}; choose {', '.join(RECIPES)} or a file that ends in .toml")
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError is a ValueError, and so is the error of a number of thousands of digits.
        raise PixqError(f"{where}: {error}") from None
    return where, tables


def check_used(recipe: Recipe, overrides: Sequence[str]) -> None:
    """Check that each of `overrides`, as `read_recipe` takes them, has an effect on `recipe`.

    Raises
    ------
    PixqError
        If a key is not used by this recipe.

    Examples
    --------
    >>> check_used(read_recipe("seed", ["model.norm=none"]), ["model.norm=none"])
    """
    for override in overrides:
        table, _, key = override.partition("=")[0].strip().partition(".")
        used, where = _use_of(table, key.strip())
        if not used(recipe):
            raise PixqError(f"--set {override} has no effect with this recipe; it needs {where}")


def _use_of(table: str, key: str) -> tuple[Callable[[Recipe], bool], str]:
    """Whether a recipe uses a key, as a function and in words."""
    models = [name for name, entry in MODELS.items() if key in entry.options]
    if table == "model" and models:
        return lambda recipe: recipe.model.name in models, f"model.name={' or '.join(models)}"
    return _USED.get(f"{table}.{key}", (lambda _: True, ""))


def parse_recipe(tables: dict[str, Any], where: str) -> Recipe:
    """The recipe of parsed TOML or JSON; `where` names its source in messages.

    Raises
    ------
    PixqError
        If a key or a value is wrong.
    """
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PixqError(f"{where}: {key}: {_message(first, key)}") from None
    return _checked(recipe, where)


def _message(error: Any, key: str) -> str:
    if error["type"] != "extra_forbidden":
        # TOML has lists, and no tuples.
        wrong = repr(error["input"])
        message = f"{error['msg'][:1].lower()}{error['msg'][1:]}".replace("tuple", "list")
        if error["type"] == "tuple_type":
            example = [error["input"]] if isinstance(error["input"], str) else [0.3, 0.6]
            message += f" like {json.dumps(example)}"
        return f"{message}, not {wrong if len(wrong) <= 80 else wrong[:77] + '...'}"
    table, _, _ = key.partition(".")
    field = Recipe.model_fields.get(table)
    known = Recipe.model_fields if field is None or field.annotation is None else field.annotation.model_fields
    return f"there is no such key; choose {', '.join(known)}"


def _checked(recipe: Recipe, where: str) -> Recipe:
    """The recipe, if its keys fit together."""
    model, augment = recipe.model, recipe.augment
    if not 0.0 < model.cuts[0] < model.cuts[1] <= 1.0:
        raise PixqError(f"{where}: model.cuts is {list(model.cuts)}; give two rising qualities above 0 and up to 1")
    if model.pooling == "learned" and recipe.train.unit != "images":
        raise PixqError(f'{where}: model.pooling = "learned" is trained on images; set train.unit = "images"')
    if model.head == "ordinal" and recipe.train.unit == "images":
        raise PixqError(f'{where}: an ordinal head is trained on patches; set train.unit = "patches"')
    if recipe.loss.correlation > 0.0 and recipe.train.unit != "images":
        raise PixqError(f'{where}: loss.correlation needs image scores; set train.unit = "images"')
    if not 0.0 <= augment.alpha[0] <= augment.alpha[1] <= 1.0:
        raise PixqError(f"{where}: augment.alpha is {list(augment.alpha)}; give a range within 0 to 1, lower end first")
    for fusion in augment.fusions:
        try:
            Fusion.parse(fusion)
        except PixqError as error:
            raise PixqError(f"{where}: augment.fusions: {error}") from None
    for key, text in (("name", model.name), ("backbone", model.backbone), ("weights", model.weights)):
        # JSON writes these differently from TOML, or not at all, so the recipe's text could not be read again.
        if "\x7f" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise PixqError(
                f"{where}: model.{key} is {text!r}, which has characters that can't be written to TOML; rename it"
            )
    if model.weights == "saved":
        raise PixqError(f"{where}: model.weights is 'saved', which pixq reserves; name the file ./saved")
    if recipe.sets.weights and sum(recipe.sets.weights) <= 0.0:
        raise PixqError(f"{where}: sets.weights are all 0; give at least one set a weight above 0")
    if recipe.balance.how != "none" and not recipe.balance.by:
        raise PixqError(
            f"{where}: balance.by is empty; choose {' or '.join(get_args(Cell))}, or set balance.how = none"
        )
    return recipe


#: Keys that not every recipe uses: when they are used, as a function and in words.
_USED: dict[str, tuple[Callable[[Recipe], bool], str]] = {
    "model.cuts": (lambda r: r.model.head == "ordinal", "model.head=ordinal"),
    "model.percentile": (lambda r: r.model.pooling == "percentile", "model.pooling=percentile"),
    "train.bag": (lambda r: r.train.unit == "images", "train.unit=images"),
    "train.visits": (lambda r: r.train.unit == "images", "train.unit=images"),
    "train.patches": (lambda r: r.train.unit == "patches", "train.unit=patches"),
    "loss.name": (lambda r: r.model.head == "regression", "model.head=regression"),
    "loss.beta": (lambda r: (r.model.head, r.loss.name) == ("regression", "smooth_l1"), "loss.name=smooth_l1"),
    "stopping.min_delta": (lambda r: r.stopping.patience > 0, "stopping.patience above 0"),
    "augment.alpha": (lambda r: any(map(r.augment.draws_alpha, r.augment.fusions)), 'augment.fusions=["blend"]'),
    "balance.by": (lambda r: r.balance.how != "none", "balance.how=weights or sampler"),
    "balance.bins": (lambda r: r.balance.how != "none" and "quality" in r.balance.by, "balance by quality"),
}


def _override(tables: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    table, dot, key = path.strip().partition(".")
    if not (equals and dot and table and key) or "." in key:
        raise PixqError(f"--set {override!r} is not TABLE.KEY=VALUE; write it like optimiser.lr=0.001")
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        read = {}
    # More than one key means that `text` has several lines, so it is not a TOML value.
    value = read["value"] if len(read) == 1 else text.strip()
    known = Recipe.model_fields
    if table not in known:
        raise PixqError(f"--set {override!r}: there is no table {table!r}; choose {', '.join(known)}")
    held = tables.setdefault(table, {})
    if isinstance(held, dict):
        held[key] = value
