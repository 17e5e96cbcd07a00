"""`pixq study simulate`: rehearse a study with simulated people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note, print_lines
from pixq.cli.number_options import number_in
from pixq.cli.progress import progress_bar
from pixq.io.optional import require
from pixq.study.simulate.observers import Population

__all__ = ["simulate"]

#: How many people take part by default: over HTTP, and in browsers; and how many at a time over HTTP.
_PEOPLE, _BROWSER_PEOPLE = 200, 4
_AT_A_TIME = 8


def simulate(
    study: Path = Path(),
    /,
    *,
    participants: Annotated[int | None, number_in(ranges.COUNT)] = None,
    seed: Annotated[int, number_in(ranges.SEED)] = 1,
    width: Annotated[float, number_in(ranges.INTERVAL_WIDTH)] = 10.0,
    bias: Annotated[float, number_in(ranges.SPREAD)] = 6.0,
    spread: Annotated[float, number_in(ranges.SPREAD)] = 6.0,
    lapse: Annotated[float, number_in(ranges.PROBABILITY)] = 0.02,
    careless: Annotated[float, number_in(ranges.PROBABILITY)] = 0.05,
    out: Path | None = None,
    database: str | None = None,
    keep: Annotated[bool, Parameter(negative="")] = False,
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    browser: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Rehearse a study with simulated people whose PJNDs are known, and judge whether the planned answers are enough.

    They go through the real server, session after session, until the quotas are full. Nothing is written to the study's
    folder. The exit code is 0 whether the answers are enough or not.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: this folder.
    participants
        How many people come. Default: 200; 4 with --browser.
    seed
        Seed of the people and of the truth about the sources. The same seed gives the same answers.
    width
        The largest acceptable width of the 95 % interval of a source's PJND, in levels.
    bias
        How much people differ in what they notice: standard deviation, in levels.
    spread
        How much one person's answers to one image differ: standard deviation, in levels.
    lapse
        Share of random answers among those of careful people, 0 to 1.
    careless
        Share of people who answer everything at random, 0 to 1.
    out
        A new folder for simulation.json and the answers.
    database
        An empty database, where the answers stay: a new file, or postgresql://user@host/name with its password in
        PGPASSWORD or in the file that PGPASSFILE names. Default: a file that is deleted.
    keep
        Keep that file, as answers.db in --out.
    threads
        How many people take part at a time. Default: 8; 1 with --browser.
    browser
        Let people use the real page in Chromium, where images really flicker; takes a minute or more per person.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.simulate.browser import browser_stage
    from pixq.study.simulate.simulate import simulate as simulate_study

    people = participants if participants is not None else _BROWSER_PEOPLE if browser else _PEOPLE
    at_a_time = threads if threads is not None else 1 if browser else _AT_A_TIME
    population = Population(people, bias, spread, lapse, careless, seed)
    began = time.monotonic()
    with progress_bar() as on_progress:
        simulation = simulate_study(
            study, population, width=width, out=out, database=database, keep=keep, threads=at_a_time,
            stage=browser_stage() if browser else None, on_progress=on_progress,
        )  # fmt: skip
    print_lines(*simulation.lines())
    note(f"{time.monotonic() - began:.0f} s{f'; {out}' if out else ''}")
    return 0
