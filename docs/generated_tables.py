"""Sphinx directives that print tables from the code, made when the site is built.

`{schema-fields} prediction`: fields of a JSON Schema; `{export-columns} answers`: columns of a study's export;
`{datasets}`: the datasets that pixq reads; `{image-formats}`: the formats of images;
`{distortions}`: the kinds of distortion;
`{study-checks}`: the rules of `pixq study check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Row = Sequence[str]
#: A part of a JSON Schema.
Field = dict[str, Any]


def schema_fields(name: str) -> list[Row]:
    """Field, type and meaning of all fields of a schema, as Markdown cells."""
    from pixq.schemas import schema

    root = schema(name)  # type: ignore[arg-type]
    return [("field", "type", "meaning"), *_fields(root, root.get("$defs", {}))]


def _fields(schema: Field, types: dict[str, Field], prefix: str = "") -> Iterator[Row]:
    for name, field in schema.get("properties", {}).items():
        choices = _choices(field, types)
        description = next((each["description"] for each in (field, *choices) if each.get("description")), "")
        yield f"`{prefix}{name}`", " or ".join(filter(None, map(_type_of, choices))), _cell(description)
        for choice in choices:
            yield from _fields(choice, types, f"{prefix}{name}.")
            for item in _choices(choice.get("items", {}), types):
                yield from _fields(item, types, f"{prefix}{name}[].")


def _choices(field: Field, types: dict[str, Field]) -> list[Field]:
    """A field without references: one schema, or several of which one holds."""
    if "$ref" in field:
        return _choices(types[field["$ref"].rpartition("/")[2]], types)
    if "anyOf" in field or "oneOf" in field:
        return [choice for part in field.get("anyOf", field.get("oneOf")) for choice in _choices(part, types)]
    return [field]


def _type_of(field: Field) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kinds = field.get("type", [])
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def export_columns(name: str) -> list[Row]:
    """Column, type, unit and meaning in `answers` or `sessions`, as the dictionary of a study says."""
    from pixq.study.design.config import Study
    from pixq.study.results.export import dictionary

    source = {"id": "S1", "codec": "JPEG", "reference": "S1.png", "levels": "S1_*.jpg"}
    study = Study.model_validate(
        {"title": "A", "contact": "a", "consent": {"en": "a"}, "quota": {"tests": 0}, "source": [source]}
    )
    described = dictionary(study)
    columns = described["columns"] if name == "answers" else described["sessions"]["columns"]
    rows = [(f"`{column['name']}`", column["type"], column["unit"], _cell(column["what"])) for column in columns]
    return [("column", "type", "unit", "meaning"), *rows]


def image_formats(name: str) -> list[Row]:
    """Title, endings and needs of all image formats that pixq reads."""
    from pixq.io.image_formats import DECODED

    rows = [
        (image_format.title, " ".join(f"`{ending}`" for ending in image_format.endings),
         f"`pip install 'pixq[{image_format.extra}]'`" if image_format.extra else "")
        for image_format in DECODED
    ]  # fmt: skip
    return [("format", "file names", "needs"), *rows]


def datasets(name: str) -> list[Row]:
    """Name, title, needs, licence and source of all datasets."""
    from pixq.datasets import ADAPTERS

    rows = [
        (f"`{adapter.name}`", *map(_cell, (adapter.title, adapter.needs, adapter.licence, adapter.citation)))
        for adapter in ADAPTERS.values()
    ]
    return [("name", "what", "on disk", "licence", "cite"), *rows]


def distortions(name: str) -> list[Row]:
    """Name, parameter, levels and source of all kinds of distortion."""
    from pixq.distort import DISTORTIONS

    rows = [
        (f"`{kind.name}`", _cell(kind.unit), ", ".join(f"{value:g}" for value in kind.values), _cell(kind.source))
        for kind in DISTORTIONS.values()
    ]
    return [("kind", "parameter", "levels 1 to 5", "source"), *rows]


def study_checks(name: str) -> list[Row]:
    """The functions that `pixq study check` runs, and what each finds."""
    from pixq.study.design.checks import SOURCE_PROBLEMS, SOURCE_WARNINGS, STUDY_PROBLEMS, STUDY_WARNINGS

    kinds = {"problem": (*SOURCE_PROBLEMS, *STUDY_PROBLEMS), "warning": (*SOURCE_WARNINGS, *STUDY_WARNINGS)}
    rows = [
        (f"{{func}}`~{check.__module__}.{check.__name__}`", kind, _cell((check.__doc__ or "").partition("\n")[0]))
        for kind, checks in kinds.items()
        for check in checks
    ]
    return [("function", "kind", "what it does"), *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table whose first row is its header."""
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def directive(make: Callable[[str], list[Row]], arguments: int) -> type[SphinxDirective]:
    """A directive that shows the table that `make` gives for its argument."""

    class Table(SphinxDirective):
        required_arguments = arguments

        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes(markdown(make(self.arguments[0] if arguments else "")))

    return Table


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("schema-fields", directive(schema_fields, 1))
    app.add_directive("export-columns", directive(export_columns, 1))
    app.add_directive("datasets", directive(datasets, 0))
    app.add_directive("distortions", directive(distortions, 0))
    app.add_directive("image-formats", directive(image_formats, 0))
    app.add_directive("study-checks", directive(study_checks, 0))
    return {"parallel_read_safe": True}
