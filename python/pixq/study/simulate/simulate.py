"""`pixq study simulate`: rehearse a study with simulated people, and judge whether the planned answers are enough."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from pixq import ranges
from pixq.errors import PixqError
from pixq.io.atomic import atomic_directory, save_json
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy, open_study
from pixq.study.results.estimate import CONFIDENCE, FEWEST, SourceEstimate, estimates_of
from pixq.study.results.export import write_answers
from pixq.study.server.open_study import ANSWERS_FILE
from pixq.study.simulate.observers import Population
from pixq.study.simulate.rehearsal import Rehearsed, Stage, rehearse

__all__ = ["REPORT_FILE", "Crowd", "Simulation", "Verdict", "judge_plan", "simulate"]

#: The name of the report in the folder of the results.
REPORT_FILE = "simulation.json"


@dataclass(frozen=True)
class Verdict:
    """Whether the planned number of answers is enough.

    Parameters
    ----------
    answers
        Planned answers per source.
    wanted
        The largest acceptable width of a PJND's interval, in levels.
    width
        The width that the planned answers give, as the median over sources; `None` if too few answers were given to
        tell, or too few are planned for an interval.
    needed
        Answers per source that would give the wanted width, without those that estimates leave out; `None` if that is
        unknown, or if the levels of most sources are farther apart than that.
    """

    answers: int
    wanted: float
    width: float | None
    needed: int | None

    @property
    def enough(self) -> bool | None:
        """Whether the planned number is enough; `None` if that is unknown."""
        if self.answers < FEWEST:
            return False
        return None if self.width is None else self.width <= self.wanted

    def __str__(self) -> str:
        """Write the verdict as a sentence."""
        if self.answers < FEWEST:
            return f"{self.answers} answers per source are not enough: an interval needs at least {FEWEST}"
        if self.width is None:
            return f"unknown whether the planned answers are enough: no source has {FEWEST} answers that count"
        result = f"{self.answers} answers per source give an interval of {self.width:.1f} levels (median over sources)"
        if self.enough:
            return f"{result}; enough for {self.wanted:g}"
        if self.needed is None:
            return f"{result}; not enough for {self.wanted:g}, and more would not help: the levels are too far apart"
        return f"{result}; not enough for {self.wanted:g}: it takes about {self.needed}"


def judge_plan(study: Study, estimates: list[SourceEstimate], wanted: float) -> Verdict:
    """Judge whether a study's planned number of answers is enough, from the spread of the answers given.

    Parameters
    ----------
    study
        The study, for its quota.
    estimates
        The estimates of its sources.
    wanted
        The largest acceptable width of an interval, in levels, above 0.

    Examples
    --------
    >>> from pixq.study.design.config import Source
    >>> source = Source(id="S", codec="JPEG", reference="S.png", levels="S_*.png")
    >>> study = Study(title="t", contact="c", consent={"en": "?"}, source=[source], quota={"answers": 40, "tests": 0})
    >>> found = SourceEstimate("S", 8, {"failed_tests": 2}, 24.0, 24.0, 18.0, 30.0)
    >>> print(judge_plan(study, [found], 5.0))
    40 answers per source give an interval of 5.4 levels (median over sources); not enough for 5: it takes about 47
    """
    planned = study.quota.answers
    # People are asked until there are as many answers that count as planned.
    with_interval = [estimate for estimate in estimates if estimate.width is not None]
    if not with_interval or planned < FEWEST:
        return Verdict(planned, wanted, None, None)
    spread = median((estimate.width or 0.0) * math.sqrt(estimate.answers / planned) for estimate in with_interval)
    step = median(estimate.step for estimate in with_interval)
    needed = None if step > wanted else max(FEWEST, math.ceil(planned * (spread / wanted) ** 2))
    return Verdict(planned, wanted, max(spread, step), needed)


@dataclass(frozen=True)
class Crowd:
    """What the careful people did, or the careless.

    Parameters
    ----------
    people
        People who began a session.
    answers
        Their answers to sources.
    failed_tests
        People who passed too few of the test images, so that estimates leave their answers out.
    screened_out
        People who could not begin another session for that reason.
    """

    people: int
    answers: int
    failed_tests: int
    screened_out: int


@dataclass(frozen=True)
class Simulation:
    """The result of a rehearsal.

    Parameters
    ----------
    study
        The study.
    population
        The simulated people.
    browser
        Whether they used the real page in a browser.
    careful, careless
        What these two kinds of people did.
    sessions
        Number of sessions by how they ended.
    turned_away
        People who never had a session because no source needed another answer.
    most_sessions
        The most sessions that one person completed.
    estimates
        The estimates of the sources, in the study's order.
    truths
        The true PJND of each source: the median answer of people who look.
    verdict
        Whether the planned number of answers is enough.
    """

    study: Study
    population: Population
    browser: bool
    careful: Crowd
    careless: Crowd
    sessions: Mapping[str, int]
    turned_away: int
    most_sessions: int
    estimates: tuple[SourceEstimate, ...]
    truths: Mapping[str, float]
    verdict: Verdict

    @property
    def quotas_met(self) -> int:
        """Sources that have as many answers as planned."""
        return sum(estimate.answers >= self.study.quota.answers for estimate in self.estimates)

    @property
    def holding(self) -> tuple[int, int]:
        """How many intervals contain the truth, and how many intervals there are."""
        held = [held for estimate in self.estimates if (held := self._holds(estimate)) is not None]
        return sum(held), len(held)

    def _holds(self, estimate: SourceEstimate) -> bool | None:
        if estimate.low is None or estimate.high is None:
            return None
        return estimate.low <= self.truths[estimate.source] <= estimate.high

    def record(self) -> dict[str, Any]:
        """Give everything as JSON; the same study and population give the same JSON on any machine."""
        held, intervals = self.holding
        quota = self.study.quota.answers
        return {
            "format": "pixq study simulation",
            "study": self.study.title,
            "version": self.study.version,
            "platform": self.study.platform.kind,
            "browser": self.browser,
            "population": asdict(self.population),
            "careful": asdict(self.careful),
            "careless": asdict(self.careless),
            "turned_away": self.turned_away,
            "sessions": dict(self.sessions),
            "quota": {"answers": quota, "met": self.quotas_met, "sources": len(self.estimates)},
            "sources": [
                {
                    **asdict(estimate),
                    "collected": estimate.collected,
                    "quota_met": estimate.answers >= quota,
                    "truth": self.truths[estimate.source],
                    "width": estimate.width,
                    "holds_truth": self._holds(estimate),
                    "answers_needed": estimate.answers_needed(self.verdict.wanted),
                }
                for estimate in self.estimates
            ],
            "intervals": {"confidence": CONFIDENCE, "count": intervals, "hold_truth": held},
            "verdict": {**asdict(self.verdict), "enough": self.verdict.enough, "text": str(self.verdict)},
        }

    def lines(self) -> list[str]:
        """Write the report for people; the last line is the verdict."""
        held, intervals = self.holding
        quota = self.study.quota
        ends = ", ".join(f"{count} {name}" for name, count in self.sessions.items()) or "none"
        lines = [
            f"{self.study.title}, version {self.study.version}: {self.population.participants} simulated people, "
            f"{self.turned_away} of them turned away because nothing was left to answer",
            f"sessions: {ends}",
            _crowd("careful people", self.careful),
            _crowd("careless people", self.careless),
        ]
        if self.most_sessions < quota.screen_after:
            lines.append(
                f"nobody is screened out before {quota.screen_after} sessions, and nobody had more than "
                f"{self.most_sessions}"
            )
        lines += [f"quota: {self.quotas_met} of {len(self.estimates)} sources have {quota.answers} answers", ""]
        head = ("source", "truth", "median", "mean", f"{CONFIDENCE:.0%} interval", "width", "answers", "left out")
        rows = [head, *map(self._row, self.estimates)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, *cells in rows:
            right = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join([name.ljust(widths[0]), *right]))
        if few := len(self.estimates) - intervals:
            lines += [
                "",
                f"{few} of {len(self.estimates)} sources have fewer than {FEWEST} answers that count: no interval",
            ]
        share = f" ({held / intervals:.0%})" if intervals else ""
        return [*lines, "", f"intervals that hold the truth: {held} of {intervals}{share}", str(self.verdict)]

    def _row(self, estimate: SourceEstimate) -> tuple[str, ...]:
        ends = "-" if estimate.low is None else f"{estimate.low:g} to {estimate.high:g}"
        if self._holds(estimate) is False:
            ends = f"(misses) {ends}"
        numbers = ("-" if value is None else f"{value:.1f}" for value in (estimate.median, estimate.mean))
        width = "-" if estimate.width is None else f"{estimate.width:.1f}"
        counts = str(estimate.answers), str(estimate.collected - estimate.answers)
        return (estimate.source, f"{self.truths[estimate.source]:g}", *numbers, ends, width, *counts)


def _crowd(name: str, crowd: Crowd) -> str:
    return (
        f"{name}: {crowd.people} took part and gave {crowd.answers} answers; {crowd.failed_tests} failed the test "
        f"images, so their answers are left out, and {crowd.screened_out} were screened out"
    )


def simulate(
    folder: str | os.PathLike[str],
    population: Population | None = None,
    *,
    width: float = 10.0,
    out: Path | None = None,
    database: str | None = None,
    keep: bool = False,
    threads: int = 8,
    stage: Stage | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Simulation:
    """Rehearse a study with simulated people, through its real server.

    Parameters
    ----------
    folder
        Folder of the study, or its `study.toml`. Nothing is written there.
    population
        The people; 200 ordinary ones by default.
    width
        The largest acceptable width of the interval of a source's PJND, in levels, above 0.
    out
        A new folder for `simulation.json`, `answers.csv`, `dictionary.json`, and `answers.parquet` if pyarrow is
        installed. It appears whole or not at all. By default nothing is written.
    database
        An empty database, where the answers stay; see `pixq.study.store.store.open_store`. By default a file that is
        deleted.
    keep
        Whether to keep that file, as `answers.db` in `out`.
    threads
        How many people take part at a time. Their answers do not depend on it.
    stage
        How people take part; see `pixq.study.simulate.browser`. By default over HTTP.
    on_progress
        Called with the round as the stage, and the number of its sessions that are over.

    Raises
    ------
    PixqError
        If the study or an option is wrong, `out` or the database's file exists, or the server stopped.

    Examples
    --------
    >>> print(simulate("my-study").verdict)  # doctest: +SKIP
    30 answers per source give an interval of 8.1 levels (median over sources); enough for 10
    """
    population = population or Population()
    ranges.INTERVAL_WIDTH.check(width, "--width")
    ranges.THREADS.check(threads, "--threads")
    if keep and (out is None or database is not None):
        raise PixqError("--keep: needs --out, and has no effect with --database, which stays anyway")
    if database is not None and "://" not in database and Path(database).exists():
        raise PixqError(f"{database}: exists already; give a new --database")
    opened = open_study(folder)
    with _new_folder(out) as scratch, tempfile.TemporaryDirectory(prefix="pixq-rehearsal-") as private:
        file = Path(private) / ANSWERS_FILE
        with _deleted_on_error(database):
            rehearsed = rehearse(
                opened, population, database or str(file), Path(private), threads=threads, stage=stage,
                on_progress=on_progress,
            )  # fmt: skip
        simulation = _summarise(opened, population, rehearsed, width, stage is not None)
        if scratch is not None:
            write_answers(opened.study, rehearsed.answers, scratch, parquet=find_spec("pyarrow") is not None)
            save_json(scratch / REPORT_FILE, simulation.record())
            if keep:
                shutil.copyfile(file, scratch / ANSWERS_FILE)
    return simulation


@contextmanager
def _deleted_on_error(database: str | None) -> Iterator[None]:
    """Delete the new file of a database if the block raises."""
    try:
        yield
    except BaseException:
        if database is not None and "://" not in database:
            for suffix in ("", "-wal", "-shm"):
                Path(database + suffix).unlink(missing_ok=True)
        raise


def _new_folder(out: Path | None) -> AbstractContextManager[Path | None]:
    """Give a folder that becomes `out` when the block ends well."""
    if out is None:
        return nullcontext()
    if out.exists() or out.is_symlink():
        raise PixqError(f"{out}: exists already; choose another --out or delete it")
    return atomic_directory(out)


def _summarise(
    opened: OpenedStudy, population: Population, rehearsed: Rehearsed, width: float, browser: bool
) -> Simulation:
    failed = {answer.participant for answer in rehearsed.answers if "failed_tests" in answer.flags}
    participants = {session.participant for session in rehearsed.sessions}
    ends = Counter(session.step for session in rehearsed.sessions)
    study = opened.study
    estimates = estimates_of(opened, rehearsed.answers)

    def crowd(careless: bool) -> Crowd:
        members = {
            person for person, observer in rehearsed.people.items()
            if observer.careless is careless and person in participants
        }  # fmt: skip
        answers = sum(answer.participant in members for answer in rehearsed.answers if answer.kind == "source")
        screened = sum(rehearsed.refused.get(person) == "screened_out" for person in members)
        return Crowd(len(members), answers, len(members & failed), screened)

    return Simulation(
        study=study,
        population=population,
        browser=browser,
        careful=crowd(False),
        careless=crowd(True),
        sessions=dict(sorted(ends.items())),
        turned_away=len(rehearsed.people) - len(participants),
        most_sessions=max((each.number for each in rehearsed.sessions if each.step == "completed"), default=0),
        estimates=tuple(estimates),
        truths={source.id: rehearsed.truths[source.id].pjnd for source in study.source},
        verdict=judge_plan(study, estimates, width),
    )
