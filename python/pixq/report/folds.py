"""The report of a cross-validation by `pixq train --folds`: pooled metrics, and one row per run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pixq.errors import PixqError
from pixq.io.enclosed import PlainPath
from pixq.io.json_file import FileModel, read_model
from pixq.report import sentences
from pixq.report.commands import train_command
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import parse_recipe

__all__ = ["FOLDS", "FoldsFile", "is_folds", "view"]

FOLDS = "folds.json"


#: One SRCC per type or set, or, if it was left out in turn, two.
Rows = dict[str, float | dict[str, float | None] | None]


class FoldsFile(FileModel):
    """The content of `folds.json`: it has `mean` if types or sets were left out in turn, else `image`."""

    format: Literal["pixq folds"] = "pixq folds"
    schema_version: Literal[1] = 1
    patches: str
    recipe: dict[str, Any]
    leave_out: Literal["distortion", "dataset"] | None
    runs: list[PlainPath]
    patch: dict[str, float | None]
    image: dict[str, float | None] | None = None
    by_distortion: Rows = Field(default_factory=dict)
    by_dataset: Rows = Field(default_factory=dict)
    mean: dict[str, float | None] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, rows in (("distortion", self.by_distortion), ("dataset", self.by_dataset)):
            if any(isinstance(value, dict) != (self.leave_out == name) for value in rows.values()):
                raise ValueError(f"by_{name} must give two numbers for each {name} that was left out, else one")
        return self


def is_folds(path: Path) -> bool:
    """Whether `path` is the directory of a cross-validation rather than of a run."""
    return (path / FOLDS).exists() and not RunDirectory(path).exists()


def view(path: Path) -> dict[str, Any]:
    """Collect the variables of the template.

    Raises
    ------
    PixqError
        If `folds.json`, or a run that it names, is missing or damaged.
    """
    pooled = read_model(FoldsFile, path / FOLDS, "pixq train --folds", path)
    recipe = parse_recipe(pooled.recipe, str(path / FOLDS))
    if not pooled.runs:
        raise PixqError(f"{path / FOLDS}: names no run; delete it, and run `pixq train --folds` again")
    runs = [(name, RunDirectory(path / name).read_info()) for name in pooled.runs]
    first = runs[0][1]
    options = ["--folds"] if pooled.leave_out is None else ["--leave-out", pooled.leave_out]
    command = train_command(first, str(path / pooled.runs[0]), f"{path}-again", *options)
    seconds = [info.timings.get("seconds", 0.0) for _, info in runs]
    return {
        "title": f"{recipe.model.name} on {first.patches['dataset'].get('name', 'a patch set')}, {len(runs)} folds",
        "run": str(path),
        "pooled": [("patches", pooled.patch), *([("images", pooled.image)] if pooled.image is not None else [])],
        "tables": [
            (word, rows, pooled.leave_out == name)
            for word, name, rows in (
                ("distortion", "distortion", pooled.by_distortion),
                ("set", "dataset", pooled.by_dataset),
            )
            if rows
        ],
        "mean": pooled.mean,
        "synthetic": bool(first.patches["label_contract"].get("synthetic")),
        "facts_rows": [
            ("model", f"{recipe.model.name}, head {recipe.model.head}, {first.parameters:,} weights"),
            ("dataset", first.patches["dataset"].get("title", "")),
            ("licence", first.patches["dataset"].get("licence", "not stated")),
            ("labels", sentences.contract(first.patches["label_contract"])),
            ("patch set", f"{first.patches['directory']}, fingerprint {pooled.patches}"),
            ("time", sentences.seconds(sum(seconds))),
        ],
        "runs": [
            (
                name,
                sentences.status(info),
                (info.best or {}).get("epoch"),
                (info.best or {}).get("loss"),
                sentences.seconds(spent),
            )
            for (name, info), spent in zip(runs, seconds, strict=True)
        ],
        "recipe": recipe.text(),
        "command": command,
    }
