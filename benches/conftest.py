"""The last lines of `pytest benches`: what the boundary costs."""

from __future__ import annotations

from typing import Any

import pytest

TARGET = 5.0  # microseconds


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Microseconds of each call on one patch, less what the core takes for one in the same run."""
    session = getattr(config, "_benchmarksession", None)
    fastest: dict[str, dict[int, float]] = {}
    for bench in session.benchmarks if session else ():
        if bench.stats.data and "patches" in bench.extra_info:
            fastest.setdefault(bench.extra_info["name"], {})[bench.extra_info["patches"]] = bench.stats.min * 1e6
    if not fastest:
        return
    terminalreporter.section("microseconds of a call on one 20x20 patch, the fastest of each")
    for name, times in fastest.items():
        call = times.pop(1, None)
        if call is None:
            continue
        core = max([0.0, *((many - call) / (patches - 1) for patches, many in times.items())])
        added = call - core
        told = "met" if added <= TARGET else "NOT MET"
        line = f"{name:15} call {call:6.2f}  bare core {core:6.3f}  added {added:6.2f}"
        terminalreporter.write_line(f"{line}  (wanted {TARGET:g}: {told})")
