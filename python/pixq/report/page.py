"""From a template to one file that opens anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from pixq._version import __version__
from pixq.classes import CLASSES, NAMES
from pixq.drawing.svg import shown
from pixq.errors import PixqError, unknown
from pixq.evaluation.files import METRICS
from pixq.io.atomic import save_bytes
from pixq.report import sentences

__all__ = ["Palette", "render", "write_page"]

#: `standard` are the colours of `pixq.classes`, `safe` those for colour-blind readers. Marks tell classes in both.
Palette = Literal["standard", "safe"]


@dataclass(frozen=True)
class Fill:
    """A class's colour in a page, and the colour of text on it."""

    color: str
    ink: str


def _fills(palette: str) -> list[Fill]:
    if palette not in get_args(Palette):
        raise unknown("palette", palette, get_args(Palette))
    colors = [each.safe_color if palette == "safe" else each.color for each in CLASSES]
    return [Fill(color, sentences.text_on(color)) for color in colors]


def _jinja2() -> Any:
    try:
        return import_module("jinja2")
    except ModuleNotFoundError:
        raise PixqError("jinja2 is not installed; install it with: pip install 'pixq[report]'") from None


def render(template: str, values: Mapping[str, Any], palette: Palette = "standard") -> str:
    """A page of HTML. Every value is text, whatever it holds; only the pictures of `charts` are markup.

    Parameters
    ----------
    template
        A file of `pixq/report/templates`.
    values
        What the template names.
    palette
        The classes' colours.

    Raises
    ------
    PixqError
        If Jinja2 is not installed, or there is no such palette.
    """
    jinja2 = _jinja2()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pixq.report", "templates"),
        autoescape=lambda name: name != "style.css",
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = sentences.plain
    environment.globals.update(
        classes=CLASSES,
        names=NAMES,
        palette=_fills(palette),
        titles={name: title for name, (title, _) in METRICS.items()},
        interval=sentences.interval,
        contract=sentences.contract,
        mix=sentences.mix,
        text_on=sentences.text_on,
        pixq=__version__,
    )
    page: str = environment.get_template(template).render(values)
    return page


def write_page(page: str, out: Path) -> Path:
    """Write a page, whole or not at all; gives its path.

    Raises
    ------
    PixqError
        If the name does not end in .html, or can't be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise PixqError(f"{out}: pages are written as HTML; give a name that ends in .html")
    # A file name need not be text: what is none is shown as its escape.
    save_bytes(out, page.encode("utf-8", errors="backslashreplace"), "give a name that can be written")
    return out
