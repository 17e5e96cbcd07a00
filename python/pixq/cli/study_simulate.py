"""`pixq study simulate`: a rehearsal with simulated people."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.cli.progress import staged
from pixq.io.optional import require

__all__ = ["simulate"]

#: People, and people at a time: over HTTP, and in browsers.
_PEOPLE, _SEATED = 200, 4
_AT_A_TIME = 8


def simulate(
    study: Path = Path(),
    /,
    *,
    participants: int | None = None,
    seed: int = 1,
    width: float = 10.0,
    bias: float = 6.0,
    spread: float = 6.0,
    lapse: float = 0.02,
    careless: float = 0.05,
    out: Path | None = None,
    database: str | None = None,
    keep: Annotated[bool, Parameter(negative="")] = False,
    threads: int | None = None,
    browser: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Rehearse a study with simulated people whose PJNDs are known; say whether the planned answers are enough.

    They go through the real server, session after session, until the quotas are full. Nothing is written to the study's
    folder. Ends with code 0, enough or not.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    participants
        How many people come. Default: 200; 4 with --browser.
    seed
        Of the people and of what is true of the sources. The same seed gives the same answers.
    width
        How wide the 95 % interval of a source's PJND may be, in levels.
    bias
        How much people differ in what they notice: standard deviation, in levels.
    spread
        How much one person's answers to one image differ: standard deviation, in levels.
    lapse
        Share of a careful person's answers that are given at random, 0 to 1.
    careless
        Share of people who answer everything at random, 0 to 1.
    out
        A new folder for simulation.json and the answers.
    database
        An empty one for the answers, which stay there: a new file, or postgresql://user:password@host/name. Default: a
        file that is deleted.
    keep
        Keep that file, as answers.db in --out.
    threads
        People that take part at a time. Default: 8; 1 with --browser.
    browser
        Put them before the real page in Chromium, where images really flicker: a minute or more a person.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.simulate.browser import pages
    from pixq.study.simulate.observers import Population
    from pixq.study.simulate.simulate import simulate as simulate_study

    people = participants if participants is not None else _SEATED if browser else _PEOPLE
    at_a_time = threads if threads is not None else 1 if browser else _AT_A_TIME
    population = Population(people, bias, spread, lapse, careless, seed)
    began = time.monotonic()
    with staged() as watch:
        found = simulate_study(
            study, population, width=width, out=out, database=database, keep=keep, threads=at_a_time,
            stage=pages() if browser else None, watch=watch,
        )  # fmt: skip
    print(*found.lines(), sep="\n")
    print(f"pixq: {time.monotonic() - began:.0f} s{f'; {out}' if out else ''}", file=sys.stderr)
    return 0
