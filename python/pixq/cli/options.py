"""Options that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixq.errors import PixqError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["adapter_options", "numbers", "save_picture"]


def numbers(text: str, option: str, count: int) -> tuple[float, ...]:
    """`count` numbers between commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise PixqError(f"{option} is {text!r}; give {count} numbers with commas between them")
    return values


def adapter_options(*, polarity: str | None, csv: str | None, score_range: str | None) -> dict[str, Any]:
    """The options that were given, as an adapter takes them."""
    given = {"polarity": polarity, "csv": csv}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if score_range is not None:
        options["score_range"] = numbers(score_range, "--score-range", 2)
    return options


def save_picture(picture: Image, out: Path) -> None:
    """Write a Pillow picture as PNG, whole or not at all."""
    if out.suffix.lower() != ".png":
        raise PixqError(f"{out}: pictures are written as PNG; give a name that ends in .png")
    scratch = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        picture.save(scratch, format="PNG")
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)
