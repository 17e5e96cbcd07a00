"""Sphinx configuration of pixq's documentation: `make docs` builds it into docs/_build."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

from sphinx.application import Sphinx

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
autodoc_default_options = {"members": True, "no-value": True}
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


def keep_first_line(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from reading a property's first line up to a colon as its type."""
    if what == "property":
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Run before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
