"""Where a run starts from when not from random weights: the best model of another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from pixq.errors import PixqError
from pixq.io.paths import text_of
from pixq.models.base import PatchModel
from pixq.models.heads import Members
from pixq.runs.directory import RUN, RunDirectory, StartedFrom
from pixq.runs.load import load_model
from pixq.runs.recipe import Recipe, parse_recipe, read_tables

__all__ = ["Start", "finetuning_recipe"]

Only = Literal["head"]


@dataclass(frozen=True)
class Start:
    """The best model of a finished run, that another one starts from.

    Parameters
    ----------
    directory
        The run's directory.
    blake3
        Checksum of its `model.safetensors`.
    only
        `head`: the body is frozen, and only what makes a score of its features is trained. `None`: all is trained.
    photos
        What tells the photos that the model has seen from others, by the part they were seen in; see
        `PatchSet.photos`.

    Examples
    --------
    >>> Start(Path("runs/one"), "0f", "head").describe().model_dump()
    {'directory': 'runs/one', 'model_blake3': '0f', 'only': 'head', 'photos': {}}
    """

    directory: Path
    blake3: str
    only: Only | None = None
    photos: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path, only: Only | None = None) -> Start:
        """The start from the finished run in `run`.

        Raises
        ------
        PixqError
            If the run is not there, not finished or damaged, or `only` is of no use to its model.
        """
        model, _, info = load_model(run)
        start = cls(run, info.model_blake3, only, info.seen())
        start.freeze(model)
        return start

    @classmethod
    def described(cls, described: StartedFrom) -> Start:
        """What `describe` gave, as `run.json` keeps it; the run itself is not looked for yet."""
        return cls(Path(described.directory), described.model_blake3, described.only, described.photos)

    def describe(self) -> StartedFrom:
        """For `run.json`."""
        photos = {part: list(each) for part, each in self.photos.items()}
        return StartedFrom(directory=text_of(self.directory), model_blake3=self.blake3, only=self.only, photos=photos)

    def check_same(self, described: StartedFrom | None, run: Path) -> None:
        """An error, unless the run in `run` was begun from here; the source may have moved since."""
        if described is None:
            raise PixqError(f"{run}: was begun from random weights; leave out --from, or choose another --out")
        if described.model_blake3 != self.blake3:
            raise PixqError(
                f"{run}: was begun from another model, that of {described.directory}; leave out --from, or choose "
                "another --out"
            )
        if described.only != self.only:
            before = "without --only" if described.only is None else f"with --only {described.only}"
            raise PixqError(f"{run}: was begun {before}; go on with that, or choose another --out")

    def weights(self) -> dict[str, Tensor]:
        """Every weight and buffer of the model that is started from.

        Raises
        ------
        PixqError
            If the run is not there any more, or holds another model by now.
        """
        model, _, info = load_model(self.directory)
        if info.model_blake3 != self.blake3:
            raise PixqError(f"{self.directory}: holds another model than this run was begun from; train anew")
        return dict(model.state_dict())

    def freeze(self, model: PatchModel) -> None:
        """Leave only what `only` names to training.

        The head is the layer that makes a score of the body's features; the one that weighs patches, where the
        pooling is learned, goes with it.

        Raises
        ------
        PixqError
            If the model has no such part.
        """
        if self.only is None:
            return
        if isinstance(model.head, Members):
            raise PixqError(f"--only {self.only}: {model.spec.name} has no head apart from its body; leave out --only")
        model.requires_grad_(False)
        for part in (model.head, model.weigh):
            if part is not None:
                part.requires_grad_(True)


def finetuning_recipe(run: Path, name: str | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run that starts from the run in `run`: that run's own, unless another is named.

    A lower learning rate, as is usual, was no better. From TID2013 to interpolated pixels, `tiny` got a balanced
    accuracy of 0.844, 0.850, 0.864, 0.862 and 0.860 with a tenth, 0.3 times, once, 3 times and 10 times the rate;
    its head alone 0.712, 0.728, 0.744, 0.758 and 0.751.

    Parameters
    ----------
    run
        The run that is started from: its model is kept as it is.
    name
        One of `RECIPES`, or the path of a TOML file, for all but the model. Default: that of `run`.
    overrides
        As in `read_recipe`.

    Raises
    ------
    PixqError
        If a recipe can't be read, or asks for another model.
    """
    files = RunDirectory(run)
    source = files.recipe_of(files.read_info())
    if name is None:
        where, tables = read_tables(str(files.path / RUN), overrides, source.model_dump(mode="json"))
    else:
        where, tables = read_tables(name, overrides)
    known = source.model.model_dump(mode="json")
    asked = tables.get("model", {})
    if isinstance(asked, dict):
        tables["model"] = {**known, **asked}
    recipe = parse_recipe(tables, where)
    for key, value in recipe.model.model_dump(mode="json").items():
        if value != known[key]:
            raise PixqError(
                f"{where}: model.{key} is {value!r}, that of {run} is {known[key]!r}; leave it out: a model that is "
                "started from stays as it is"
            )
    return recipe
