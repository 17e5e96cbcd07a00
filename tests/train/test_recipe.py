"""Recipes: what a file and `--set` may say, what is refused and how, and what the words of a recipe do."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.errors import PixqError
from pixq.models.spec import ModelSpec
from pixq.runs.recipe import RECIPES, OptimiserSpec, Recipe, check_used, parse_recipe, read_recipe
from pixq.train.step import learning_rate
from support import built

CHANGED: dict[str, dict[str, tuple[str, Any]]] = {
    "model": {
        "name": ("dual", "dual"),
        "norm": ("none", "none"),
        "head": ("ordinal", "ordinal"),
        "link": ('"sigmoid"', "sigmoid"),
        "cuts": ("[0.2, 0.8]", (0.2, 0.8)),
        "pooling": ("percentile", "percentile"),
        "percentile": ("5", 5.0),
        "members": ("2", 2),
        "dropout": ("0.25", 0.25),
        "backbone": ("resnet18", "resnet18"),
        "weights": ("weights of mine/a=b.safetensors", "weights of mine/a=b.safetensors"),
    },
    "train": {
        "epochs": ("3", 3),
        "unit": ("images", "images"),
        "batch": (" 1_024 ", 1024),
        "bag": ("7", 7),
        "patches": ("9", 9),
        "visits": ("4", 4),
        "validation_patches": ("11", 11),
        "precision": ("bf16", "bf16"),
        "threads": ("1", 1),
        "memory": ("1", 1),
        "seed": ("4294967295", 2**32 - 1),
    },
    "loss": {"name": ("mae", "mae"), "beta": ("1e-3", 0.001), "correlation": ("0.5", 0.5)},
    "optimiser": {
        "name": ("adamw", "adamw"),
        "lr": ("1", 1.0),
        "weight_decay": ("5e-2", 0.05),
        "schedule": ("cosine", "cosine"),
        "warmup": ("1.5", 1.5),
        "clip": ("3", 3.0),
    },
    "stopping": {"patience": ("0", 0), "min_delta": ("0", 0.0)},
    "augment": {
        "flip": ("true", True),
        "turn": ("true", True),
        "fusions": ('["copy", "blend", "blend:0.25"]', ("copy", "blend", "blend:0.25")),
        "alpha": ("[0, 1]", (0.0, 1.0)),
    },
    "balance": {
        "how": ("sampler", "sampler"),
        "by": ('["distortion", "quality"]', ("distortion", "quality")),
        "bins": ("2", 2),
    },
    "sets": {
        "weights": ("[1, 0.5]", (1.0, 0.5)),
        "scale": ("affine", "affine"),
        "rates": ("binomial", "binomial"),
    },
}
"""Each key of a recipe, text for `--set` that differs from the report's recipe, and what it means."""


def mistake(text: str | Path, *overrides: str) -> str:
    """The one line that a recipe is refused with."""
    with pytest.raises(PixqError) as caught:
        read_recipe(str(text), overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400, message
    return message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


# The recipe of the report.


def test_seed_is_the_recipe_of_the_report() -> None:
    recipe = read_recipe("seed")
    model, train, loss, optimiser = recipe.model, recipe.train, recipe.loss, recipe.optimiser
    # TinyPatchRegressor, GroupNorm, one regression score; images are the mean of their patches.
    assert (model.name, model.norm, model.head, model.link, model.pooling) == (
        "tiny", "group", "regression", "identity", "mean",
    )  # fmt: skip
    # Batch 16, 20 epochs, each over all patches.
    assert (train.batch, train.epochs, train.unit, train.patches, train.precision) == (16, 20, "patches", 0, "fp32")
    assert (train.validation_patches, train.seed) == (0, 0)
    # SmoothL1, beta 0.05, nothing else.
    assert (loss.name, loss.beta, loss.correlation) == ("smooth_l1", 0.05, 0.0)
    # Adam, lr 0.002, nothing else.
    assert (optimiser.name, optimiser.lr) == ("adam", 0.002)
    assert (optimiser.weight_decay, optimiser.schedule, optimiser.warmup) == (0.0, "constant", 0.0)
    assert optimiser.clip == 0.0
    # Early stopping, patience 10, min_delta 1e-5.
    assert (recipe.stopping.patience, recipe.stopping.min_delta) == (10, 1e-5)
    # No augmentation, no balance.
    assert (recipe.augment.flip, recipe.augment.turn, recipe.augment.fusions) == (False, False, ())
    assert recipe.balance.how == "none"


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_the_package(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    copy = tmp_path / "copy.toml"
    copy.write_text(recipe.text(), encoding="utf-8")
    assert read_recipe(str(copy)) == recipe


# Every key.


def test_every_key_is_tested_here() -> None:
    assert {table: set(keys) for table, keys in CHANGED.items()} == {
        table: set(field.annotation.model_fields)  # type: ignore[union-attr]
        for table, field in Recipe.model_fields.items()
    }


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, keys in CHANGED.items() for key in keys])
def test_any_key_can_be_overridden(table: str, key: str, file: Path) -> None:
    text, value = CHANGED[table][key]
    needed = ["train.unit=images"] if key == "correlation" else []
    before = read_recipe("seed", needed).model_dump()
    recipe = read_recipe("seed", [*needed, f"{table}.{key}={text}"])
    after = recipe.model_dump()
    assert before[table][key] != value
    assert after[table][key] == value
    assert type(after[table][key]) is type(before[table][key])
    after[table][key] = before[table][key]
    assert after == before
    # The same in a file, and over a file that says otherwise.
    file.write_text(recipe.text(), encoding="utf-8")
    assert read_recipe(str(file)) == recipe
    assert read_recipe(str(file), [f"{table}.{key}={text}"]) == recipe


def test_the_last_override_counts() -> None:
    assert read_recipe("seed", ["train.epochs=3", "train.epochs=4"]).train.epochs == 4


def test_whole_numbers_for_floats(file: Path) -> None:
    file.write_text("[optimiser]\nlr = 1\n[model]\ncuts = [0.5, 1]\n", encoding="utf-8")
    recipe = read_recipe(str(file))
    assert (recipe.optimiser.lr, recipe.model.cuts) == (1.0, (0.5, 1.0))
    assert isinstance(recipe.optimiser.lr, float)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))
RECIPE = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {
                "backbone": TEXT,
                "weights": TEXT.filter(lambda text: text != "saved"),
                "percentile": st.floats(0, 100),
                "cuts": st.tuples(st.floats(1e-300, 0.4), st.floats(0.5, 1)).map(list),
            }
        ),
        "train": st.fixed_dictionaries({"epochs": st.integers(0, 10**6), "seed": st.integers(0, 2**32 - 1)}),
        "optimiser": st.fixed_dictionaries({"lr": st.floats(5e-324, 1.7e308), "warmup": st.floats(0, 1e20)}),
        "augment": st.fixed_dictionaries(
            {
                "flip": st.booleans(),
                "fusions": st.lists(
                    st.sampled_from(["none", "copy", "blend", "paste"])
                    | st.floats(0, 1).map(lambda alpha: f"blend:{alpha}")
                ),
            }
        ),
    }
)


@settings(max_examples=80)
@given(RECIPE)
def test_a_recipe_is_written_so_that_it_reads_the_same(tables: dict[str, Any]) -> None:
    recipe = parse_recipe(tables, "drawn")
    written = recipe.text()
    assert parse_recipe(tomllib.loads(written), "written") == recipe
    assert {table: set(keys) for table, keys in tomllib.loads(written).items()} == {
        table: set(keys) for table, keys in CHANGED.items()
    }
    # As `run.json` has it.
    assert parse_recipe(recipe.model_dump(mode="json"), "run.json") == recipe


# Mistakes.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[train]\nepoch = 3\n", "train.epoch: there is no such key; choose epochs, unit"),
        ("[training]\nepochs = 3\n", "training: there is no such key; choose model, train, loss"),
        ("epochs = 3\n", "epochs: there is no such key; choose model, train"),
        ("train = 3\n", "train: input should be a valid dictionary"),
        ("[[train]]\nepochs = 3\n", "train: input should be a valid dictionary"),
        ("[train.epochs]\nmany = 3\n", "train.epochs: input should be a valid integer, not {'many': 3}"),
        ("[optimiser.lr]\nhigh = 3\n", "optimiser.lr: input should be a valid number, not {'high': 3}"),
        ("[train]\nepochs = true\n", "train.epochs: input should be a valid integer, not True"),
        ("[train]\nepochs = 3.0\n", "train.epochs: input should be a valid integer, not 3.0"),
        ('[train]\nepochs = "3"\n', "train.epochs: input should be a valid integer, not '3'"),
        ("[train]\nepochs = -1\n", "train.epochs: input should be greater than or equal to 0, not -1"),
        ("[train]\nepochs = 1000001\n", "train.epochs: input should be less than or equal to 1000000, not 1000001"),
        ("[train]\nseed = 4294967296\n", "train.seed: input should be less than 4294967296"),
        ("[optimiser]\nlr = true\n", "optimiser.lr: input should be a valid number, not True"),
        ("[optimiser]\nlr = nan\n", "optimiser.lr: input should be a finite number, not nan"),
        ("[optimiser]\nlr = inf\n", "optimiser.lr: input should be a finite number, not inf"),
        ("[optimiser]\nlr = 0\n", "optimiser.lr: input should be greater than 0, not 0"),
        (f"[optimiser]\nlr = {'9' * 400}\n", "optimiser.lr: input should be a valid number, not 999"),
        ("[optimiser]\nlr = 2020-01-01\n", "optimiser.lr: input should be a valid number"),
        ("[loss]\nname = 'huber'\n", "loss.name: input should be 'smooth_l1', 'mse' or 'mae', not 'huber'"),
        ("[model]\ncuts = [0.2, 0.5, 0.7]\n", "model.cuts: list should have at most 2 items after validation, not 3"),
        ("[model]\ncuts = [0.2]\n", "model.cuts.1: field required"),
        ("[model]\ncuts = [0.6, 0.3]\n", "model.cuts is [0.6, 0.3]; give two rising qualities"),
        ("[model]\ncuts = [0, 0.5]\n", "model.cuts is [0.0, 0.5]; give two rising qualities"),
        ("[model]\ncuts = ['0.2', 0.5]\n", "model.cuts.0: input should be a valid number, not '0.2'"),
        ("[model]\ncuts = [false, true]\n", "model.cuts.0: input should be a valid number, not False"),
        ("[model]\nweights = 'saved'\n", "model.weights is 'saved', which pixq reserves"),
        ('[model]\nweights = "a\\u007fb"\n', "model.weights is 'a\\x7fb', which has characters that can't be written"),
        ("[model]\npooling = 'learned'\n", 'model.pooling = "learned" is trained on images; set train.unit = "images"'),
        ("[loss]\ncorrelation = 0.1\n", 'loss.correlation needs image scores; set train.unit = "images"'),
        ("[model]\nhead = 'ordinal'\n[train]\nunit = 'images'\n", 'set train.unit = "patches"'),
        (
            "[augment]\nfusions = 'blend'\n",
            "augment.fusions: input should be a valid list like [\"blend\"], not 'blend'",
        ),
        ("[augment]\nfusions = ['swap']\n", "augment.fusions: unknown fusion 'swap'; choose none, copy, blend"),
        ("[augment]\nfusions = ['blend:much']\n", "augment.fusions: fusion 'blend:much': 'much' is not a number"),
        ("[augment]\nfusions = ['blend:nan']\n", "augment.fusions: "),
        ("[augment]\nfusions = [1]\n", "augment.fusions.0: input should be a valid string, not 1"),
        ("[augment]\nalpha = [0.5, 0.2]\n", "augment.alpha is [0.5, 0.2]; give a range within 0 to 1"),
        ("[augment]\nalpha = [0, 1.5]\n", "augment.alpha is [0.0, 1.5]; give a range within 0 to 1"),
        ("[augment]\nalpha = [nan, 1]\n", "augment.alpha.0: input should be a finite number"),
        ("[balance]\nhow = 'sampler'\nby = []\n", "balance.by is empty; choose quality or distortion"),
        ("[balance]\nby = ['level']\n", "balance.by.0: input should be 'quality' or 'distortion', not 'level'"),
        ("[sets]\nweights = [0, 0]\n", "sets.weights are all 0; give at least one set a weight above 0"),
        ("[sets]\nweights = [-1]\n", "sets.weights.0: input should be greater than or equal to 0, not -1"),
        ("[sets]\nscale = 'log'\n", "sets.scale: input should be 'strict', 'same' or 'affine', not 'log'"),
        ("[train]\nseed = 1\nseed = 2\n", "Cannot overwrite a value"),
        ("[train]\n[train]\n", "Cannot declare ('train',) twice"),
        ("[train\n", "Expected ']'"),
        (f"[train]\nseed = {'9' * 5000}\n", "Exceeds the limit"),
        (f"[train]\nseed = {'[' * 5000}\n", "recursion"),
        (f"[model]\nname = {list(range(3000))}\n", "model.name: input should be a valid string, not [0, 1, 2"),
    ],
)
def test_a_wrong_recipe_is_one_line(text: str, expected: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    message = mistake(file)
    assert message.startswith(f"{file}: ")
    assert expected in message


def test_files_that_are_no_recipe(file: Path, tmp_path: Path) -> None:
    assert mistake(file) == f"{file}: No such file or directory; choose seed, strong or a TOML file"
    file.write_bytes(bytes(range(256)))
    assert mistake(file) == f"{file}, line 2: byte 0x80 is not UTF-8; save the file as UTF-8"
    file.write_bytes(b"\0" * 64)
    assert mistake(file).startswith(f"{file}: ")
    file.unlink()
    file.mkdir()
    assert mistake(file) == f"{file}: Is a directory; choose seed, strong or a TOML file"
    for name in ("weak", "", "seed.json", str(tmp_path)):
        assert mistake(name) == f"no recipe is called {name!r}; choose seed, strong or a file that ends in .toml"


def test_an_empty_file_is_the_defaults(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    assert read_recipe(str(file)) == Recipe()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "--set 'train.epochs' is not TABLE.KEY=VALUE; write it like optimiser.lr=0.001"),
        ("epochs=3", "--set 'epochs=3' is not TABLE.KEY=VALUE"),
        ("=3", "--set '=3' is not TABLE.KEY=VALUE"),
        (".=3", "is not TABLE.KEY=VALUE"),
        ("train.=3", "is not TABLE.KEY=VALUE"),
        (".epochs=3", "is not TABLE.KEY=VALUE"),
        ("train.epochs.more=3", "is not TABLE.KEY=VALUE"),
        ("training.epochs=3", "--set 'training.epochs=3': there is no table 'training'; choose model, train"),
        ("train.epoch=3", "recipe seed: train.epoch: there is no such key; choose epochs"),
        ("train.epochs=", "recipe seed: train.epochs: input should be a valid integer, not ''"),
        ("train.epochs=many", "recipe seed: train.epochs: input should be a valid integer, not 'many'"),
        ("train.epochs=true", "recipe seed: train.epochs: input should be a valid integer, not True"),
        ("optimiser.lr=nan", "recipe seed: optimiser.lr: input should be a finite number, not nan"),
        ("optimiser.lr=-inf", "recipe seed: optimiser.lr: input should be a finite number, not -inf"),
        # What follows in a line of its own is no part of a value, and is not dropped.
        (
            "train.epochs=3\nother = 1",
            r"recipe seed: train.epochs: input should be a valid integer, not '3\nother = 1'",
        ),
        (f"train.epochs={'9' * 5000}", "recipe seed: train.epochs: input should be a valid integer, not '999"),
        (f"train.epochs={'[' * 5000}", "recipe seed: train.epochs: input should be a valid integer, not '[[["),
        (
            "model.weights=caf\udce9",
            r"recipe seed: model.weights is 'caf\udce9', which has characters that can't be written",
        ),
    ],
)
def test_a_wrong_override_is_one_line(override: str, expected: str) -> None:
    assert expected in mistake("seed", override)


def test_an_override_does_not_hide_a_wrong_table(file: Path) -> None:
    file.write_text("train = 5\n", encoding="utf-8")
    assert "train: input should be a valid dictionary" in mistake(file, "train.epochs=3")


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_recipe("seed").train.epochs = 3  # type: ignore[misc]
    assert ModelSpec(cuts=(0.1, 0.2)) == ModelSpec(cuts=(0.1, 0.2))


# The learning rate.


def test_a_constant_learning_rate() -> None:
    spec = OptimiserSpec(lr=0.3)
    assert {learning_rate(spec, step, 7, 5) for step in range(35)} == {0.3}


def test_warmup_rises_in_equal_steps() -> None:
    spec = OptimiserSpec(lr=0.5, warmup=2.0)
    found = [learning_rate(spec, step, 5, 10) for step in range(50)]
    assert found[:10] == pytest.approx([0.5 * n / 10 for n in range(1, 11)])
    assert set(found[10:]) == {0.5}


@given(st.integers(1, 40), st.integers(1, 12), st.floats(0, 3))
def test_cosine_falls_to_nothing_over_all_epochs(steps: int, epochs: int, warmup: float) -> None:
    spec = OptimiserSpec(lr=2.0, schedule="cosine", warmup=warmup)
    rises = warmup * steps
    found = [learning_rate(spec, step, steps, epochs) for step in range(steps * epochs)]
    for step, lr in enumerate(found):
        if step < rises:
            assert lr == pytest.approx(min(2.0 * (step + 1) / rises, 2.0))
        elif steps * epochs - rises >= 1:
            done = (step - rises) / (steps * epochs - rises)
            assert lr == pytest.approx(1.0 + math.cos(math.pi * done), abs=1e-12)
    assert all(0.0 < lr <= 2.0 for lr in found)
    after = [lr for step, lr in enumerate(found) if step >= rises]
    assert after == sorted(after, reverse=True)


# Keys that only some recipes use.

UNUSED = {
    "model.norm=none": "model.name=residual",
    "model.cuts=[0.2, 0.4]": "model.head=ordinal",
    "model.percentile=10": "model.pooling=percentile",
    "model.members=2": "model.name=monotone",
    "model.dropout=0.1": "model.name=monotone",
    "model.backbone=x": "model.name=pretrained",
    "model.weights=x": "model.name=pretrained",
    "train.bag=3": "train.unit=images",
    "train.visits=3": "train.unit=images",
    "train.patches=3": "train.unit=patches",
    "loss.name=mse": "model.head=regression",
    "loss.beta=0.1": "loss.name=smooth_l1",
    "stopping.min_delta=0.1": "stopping.patience=3",
    "augment.alpha=[0.1, 0.2]": 'augment.fusions=["blend"]',
    'balance.by=["distortion"]': "balance.how=weights",
    "balance.bins=3": "balance.how=sampler",
}
ELSEWHERE = {
    "model.norm=none": "model.name=monotone",
    "train.patches=3": "train.unit=images",
    "loss.name=mse": "model.head=ordinal",
    "loss.beta=0.1": "loss.name=mae",
    "stopping.min_delta=0.1": "stopping.patience=0",
}


@pytest.mark.parametrize("override", UNUSED)
def test_an_override_that_would_do_nothing_is_refused(override: str) -> None:
    used = read_recipe("seed", [UNUSED[override], override])
    check_used(used, [override])
    elsewhere = [ELSEWHERE[override]] if override in ELSEWHERE else []
    unused = read_recipe("seed", [*elsewhere, override])
    with pytest.raises(PixqError, match="has no effect with this recipe") as caught:
        check_used(unused, [override])
    assert str(caught.value).startswith(f"--set {override} ")


def test_the_command_refuses_an_override_that_would_do_nothing(tmp_path: Path) -> None:
    built.make_small(tmp_path)
    done = built.pixq("train", tmp_path / "out", "--out", tmp_path / "run", "--set", "train.bag=3")
    assert "--set train.bag=3 has no effect" in built.mistake(done)
    assert not (tmp_path / "run").exists()
