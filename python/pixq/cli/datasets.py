"""`pixq datasets`."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

from cyclopts import Parameter

from pixq.datasets import ADAPTERS, Adapter

__all__ = ["datasets"]


def datasets(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """List the datasets that pixq reads: their files, scores, licence and citation.

    Parameters
    ----------
    json
        Print JSON, for programs.
    """
    if json:
        adapters = [{key: value for key, value in vars(one).items() if key != "index"} for one in ADAPTERS.values()]
        print(json_module.dumps([{**one, "contract": one["contract"].to_json()} for one in adapters], indent=2))
    elif sys.stdout.isatty():
        _print_table()
    else:
        print("\n\n".join(f"{one.name}\n{_about(one, indent='  ')}" for one in ADAPTERS.values()))
    return 0


def _about(adapter: Adapter, indent: str = "") -> str:
    contract = adapter.contract
    lines = [
        adapter.title,
        f"on disk: {adapter.needs}",
        f"scores: {contract.name}, {contract.minimum:g} to {contract.maximum:g}, {contract.polarity}; {contract.unit}",
        *(f"note: {note}" for note in (contract.note,) if note),
        f"licence: {adapter.licence}",
        f"cite: {adapter.citation}",
        *(f"--{name.replace('_', '-')}: {what}" for name, what in adapter.options.items()),
    ]
    return "\n".join(indent + line for line in lines)


def _print_table() -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("dataset", "what it needs and means", show_lines=True)
    for adapter in ADAPTERS.values():
        # Text, not markup: a name in square brackets must not become a style.
        table.add_row(Text(adapter.name, style="bold", no_wrap=True), Text(_about(adapter)))
    Console().print(table)
