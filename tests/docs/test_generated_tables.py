"""The tables of the documentation that are made from the code: docs/generated_tables.py."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

from support.documents import ROOT


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("generated_tables")


@pytest.mark.parametrize("name", ["image", "record", "manifest", "prediction"])
def test_fields_of_schemas(tables: ModuleType, name: str) -> None:
    rows = tables.schema_fields(name)
    assert rows[0] == ("field", "type", "meaning")
    assert all(kind for _, kind, _ in rows), [field for field, kind, _ in rows if not kind]


def test_nested_fields_have_paths(tables: ModuleType) -> None:
    fields = {field: (kind, meaning) for field, kind, meaning in tables.schema_fields("prediction")}
    assert {"`grid.stride`", "`image.shares.Green`", "`patches.class`"} <= set(fields)
    assert fields["`calibration`"][0] == "string or null"
    assert "`skipped[].file`" in [field for field, _, _ in tables.schema_fields("manifest")]


def test_columns_datasets_and_checks(tables: ModuleType) -> None:
    assert "`level`" in [row[0] for row in tables.export_columns("answers")]
    assert "`survey_hard`" in [row[0] for row in tables.export_columns("sessions")]
    assert "`tid2013`" in [row[0] for row in tables.datasets("")]
    assert sorted({row[1] for row in tables.study_checks("")[1:]}) == ["problem", "warning"]


def test_cells_keep_their_bars(tables: ModuleType) -> None:
    assert tables.markdown([("a", "b"), (tables._cell("x | y"), "z")]) == "| a | b |\n| --- | --- |\n| x \\| y | z |"
