"""Rendering of templates into single HTML files that open anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pixq._version import __version__
from pixq.classes import CLASSES, NAMES
from pixq.drawing.svg import shown
from pixq.errors import PixqError, unknown
from pixq.io.atomic import save_bytes
from pixq.io.optional import require
from pixq.report import sentences
from pixq.report.colors import mix, text_on
from pixq.statistics.metrics import METRICS

__all__ = ["Palette", "render", "write_page"]

#: `standard` has the usual colours of `pixq.classes`, `safe` those for colour-blind readers. Both also use marks.
Palette = Literal["standard", "safe"]


@dataclass(frozen=True)
class Fill:
    """The colour of a class in a page, and the colour of text on it."""

    color: str
    ink: str


def _fills(palette: str) -> list[Fill]:
    if palette not in get_args(Palette):
        raise unknown("palette", palette, get_args(Palette))
    colors = [entry.safe_color if palette == "safe" else entry.color for entry in CLASSES]
    return [Fill(color, text_on(color)) for color in colors]


def render(template: str, values: Mapping[str, Any], palette: Palette = "standard") -> str:
    """Render a template as an HTML page.

    Every value is escaped, whatever it contains; only the drawings of `pixq.report.charts` are inserted as markup.

    Parameters
    ----------
    template
        Name of a file in `pixq/report/templates`.
    values
        The variables of the template.
    palette
        The colours of the classes.

    Raises
    ------
    PixqError
        If Jinja2 is not installed, or the palette is unknown.
    """
    jinja2 = require("jinja2")
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
        titles={name: metric.title for name, metric in METRICS.items()},
        interval=sentences.interval,
        contract=sentences.contract,
        mix=mix,
        text_on=text_on,
        pixq=__version__,
    )
    page: str = environment.get_template(template).render(values)
    return page


def write_page(page: str, out: Path) -> Path:
    """Write a page, whole or not at all, and return its path.

    Raises
    ------
    PixqError
        If the name does not end in .html, or the file can't be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise PixqError(f"{out}: pages are written as HTML; choose a name that ends in .html")
    # File names in the page may contain bytes that are not text, which are shown escaped.
    save_bytes(out, page.encode("utf-8", errors="backslashreplace"), "choose a path that can be written")
    return out
