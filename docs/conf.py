"""Sphinx configuration of pixq's documentation: `make docs` builds it into docs/_build."""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from pkgutil import walk_packages

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import NumpyDocstring

import pixq
from pixq import __version__

# The tables that are made from the code.
sys.path.insert(0, str(Path(__file__).parent))

# Before autodoc looks at a class: what it does to the annotations of pydantic's base class breaks later subclasses.
for module in walk_packages(pixq.__path__, "pixq."):
    if not module.name.endswith("__main__"):
        import_module(module.name)

project = "pixq"
author = "the pixq authors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.ext.sphinx",
    "generated_tables",
]
exclude_patterns = ["_build"]
# Docstrings write code in single backticks.
default_role = "code"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False

nitpicky = True
# Functions and modules of pixq are checked. Classes also stand in annotations, where not all of them are documented;
# tests/docs/test_names.py checks those that pages name.
nitpick_ignore_regex = [(r"py:.*", r"(?!pixq\.).*"), (r"py:class", r".*")]
# A type in an annotation, such as Estimate, that several modules have.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"pixq {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_favicon = "../python/pixq/http/assets/icon.svg"


def read_property(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Read a property's docstring as a function's: napoleon takes what stands before a colon for its type."""
    if what == "property":
        lines[:] = NumpyDocstring(getdoc(obj) or "", app.config).lines()


def shorten_values(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Leave out the values of constants that are long, or depend on the machine."""
    if content.parent is not None and kind in ("data", "attribute"):
        for annotation in list(content.parent.findall(addnodes.desc_annotation)):
            text = annotation.astext()
            if text.startswith(" =") and (len(text) > 60 or "Path(" in text):
                annotation.parent.remove(annotation)


def setup(app: Sphinx) -> None:
    """Register what reads and shortens docstrings; napoleon, whose priority is 500, comes first."""
    app.connect("autodoc-process-docstring", read_property, priority=600)
    app.connect("object-description-transform", shorten_values)
