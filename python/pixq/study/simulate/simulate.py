"""`pixq study simulate`: a rehearsal of a study, and whether the planned number of answers is enough."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from pixq.errors import PixqError
from pixq.io.atomic import write_json
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy, open_study
from pixq.study.results.estimate import CONFIDENCE, FEWEST, SourceEstimate, estimates_of
from pixq.study.results.export import write_answers
from pixq.study.server.open_study import ANSWERS_FILE
from pixq.study.simulate.observers import Population
from pixq.study.simulate.rehearsal import Rehearsed, Stage, rehearse

__all__ = ["REPORT_FILE", "Crowd", "Simulation", "Verdict", "judge_plan", "simulate"]

#: In the folder of the results.
REPORT_FILE = "simulation.json"


@dataclass(frozen=True)
class Verdict:
    """Whether the planned number of answers is enough.

    Parameters
    ----------
    answers
        Planned for each source.
    wanted
        The width that the interval of a PJND may have, in levels.
    width
        That the planned answers give: the median over sources; `None` where too few answers were given to tell, or
        are planned for any interval.
    needed
        Answers to each source that would give the wanted width, without those that are left out of estimates;
        `None` where that can't be told, and where the levels of most sources are farther apart than that.
    """

    answers: int
    wanted: float
    width: float | None
    needed: int | None

    @property
    def enough(self) -> bool | None:
        """Whether it is; `None` where that can't be told."""
        if self.answers < FEWEST:
            return False
        return None if self.width is None else self.width <= self.wanted

    def __str__(self) -> str:
        """The verdict as a sentence."""
        if self.answers < FEWEST:
            return f"{self.answers} answers a source are not enough: there is no interval of fewer than {FEWEST}"
        if self.width is None:
            return f"whether the planned answers are enough can't be told: no source has {FEWEST} answers that count"
        given = f"{self.answers} answers a source give an interval of {self.width:.1f} levels (median over sources)"
        if self.enough:
            return f"{given}; enough for {self.wanted:g}"
        if self.needed is None:
            return f"{given}; not enough for {self.wanted:g}, and more would not do: the levels are too far apart"
        return f"{given}; not enough for {self.wanted:g}: about {self.needed} would be"


def judge_plan(study: Study, estimates: list[SourceEstimate], wanted: float) -> Verdict:
    """Whether a study's planned number of answers is enough, by the spread of the answers that were given.

    Parameters
    ----------
    study
        Its quota.
    estimates
        Of its sources.
    wanted
        The width that an interval may have, in levels, above 0.

    Examples
    --------
    >>> from pixq.study.design.config import Source
    >>> source = Source(id="S", codec="JPEG", reference="S.png", levels="S_*.png")
    >>> study = Study(title="t", contact="c", consent={"en": "?"}, source=[source], quota={"answers": 40, "tests": 0})
    >>> found = SourceEstimate("S", 8, {"failed_tests": 2}, 24.0, 24.0, 18.0, 30.0)
    >>> print(judge_plan(study, [found], 5.0))
    40 answers a source give an interval of 5.4 levels (median over sources); not enough for 5: about 47 would be
    """
    planned = study.quota.answers
    # People go on to be asked until there are as many answers that count as planned.
    told = [each for each in estimates if each.width is not None]
    if not told or planned < FEWEST:
        return Verdict(planned, wanted, None, None)
    spread = median((each.width or 0.0) * math.sqrt(each.answers / planned) for each in told)
    step = median(each.step for each in told)
    needed = None if step > wanted else max(FEWEST, math.ceil(planned * (spread / wanted) ** 2))
    return Verdict(planned, wanted, max(spread, step), needed)


@dataclass(frozen=True)
class Crowd:
    """The careful people, or the careless.

    Parameters
    ----------
    people
        That began a session.
    answers
        Of theirs to sources.
    failed_tests
        People who passed too few of the test images, so that their answers are left out of estimates.
    screened_out
        People who could begin no further session for that reason.
    """

    people: int
    answers: int
    failed_tests: int
    screened_out: int


@dataclass(frozen=True)
class Simulation:
    """What a rehearsal came to.

    Parameters
    ----------
    study
        The study.
    population
        Its people.
    browser
        Whether they sat before the real page.
    careful, careless
        Those two kinds of people.
    sessions
        By how they ended.
    turned_away
        People who came when no source needed an answer of theirs, and never had a session.
    most_sessions
        That one person completed.
    estimates
        Of the sources, in the study's order.
    truths
        The true PJND of each source: the median of what people would answer who look.
    verdict
        On the planned number of answers.
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
        return sum(each.answers >= self.study.quota.answers for each in self.estimates)

    @property
    def holding(self) -> tuple[int, int]:
        """Intervals that hold the truth, and intervals."""
        held = [held for each in self.estimates if (held := self._holds(each)) is not None]
        return sum(held), len(held)

    def _holds(self, of: SourceEstimate) -> bool | None:
        return None if of.low is None or of.high is None else of.low <= self.truths[of.source] <= of.high

    def record(self) -> dict[str, Any]:
        """All of it as JSON. The same study and population give the same, whatever the machine and its load."""
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
                    **asdict(each),
                    "collected": each.collected,
                    "quota_met": each.answers >= quota,
                    "truth": self.truths[each.source],
                    "width": each.width,
                    "holds_truth": self._holds(each),
                    "answers_needed": each.answers_needed(self.verdict.wanted),
                }
                for each in self.estimates
            ],
            "intervals": {"confidence": CONFIDENCE, "count": intervals, "hold_truth": held},
            "verdict": {**asdict(self.verdict), "enough": self.verdict.enough, "text": str(self.verdict)},
        }

    def lines(self) -> list[str]:
        """The report for people; the last line is the verdict."""
        held, intervals = self.holding
        quota = self.study.quota
        ends = ", ".join(f"{count} {name}" for name, count in self.sessions.items()) or "none"
        told = [
            f"{self.study.title}, version {self.study.version}: {self.population.participants} simulated people, "
            f"{self.turned_away} of them turned away as nothing was left to answer",
            f"sessions: {ends}",
            _crowd("careful people", self.careful),
            _crowd("careless people", self.careless),
        ]
        if self.most_sessions < quota.screen_after:
            told.append(
                f"nobody is screened out before {quota.screen_after} sessions, and nobody had more than "
                f"{self.most_sessions}"
            )
        told += [f"quota: {self.quotas_met} of {len(self.estimates)} sources have {quota.answers} answers", ""]
        head = ("source", "truth", "median", "mean", f"{CONFIDENCE:.0%} interval", "width", "answers", "left out")
        rows = [head, *(self._row(each) for each in self.estimates)]
        wide = [max(len(row[place]) for row in rows) for place in range(len(head))]
        told += [
            "  ".join(
                cell.ljust(size) if place == 0 else cell.rjust(size)
                for place, (cell, size) in enumerate(zip(row, wide, strict=True))
            )
            for row in rows
        ]
        if few := len(self.estimates) - intervals:
            told += [
                "",
                f"{few} of {len(self.estimates)} sources have fewer than {FEWEST} answers that count: no interval",
            ]
        share = f" ({held / intervals:.0%})" if intervals else ""
        return [*told, "", f"intervals that hold the truth: {held} of {intervals}{share}", str(self.verdict)]

    def _row(self, of: SourceEstimate) -> tuple[str, ...]:
        ends = "-" if of.low is None else f"{of.low:g} to {of.high:g}"
        if self._holds(of) is False:
            ends = f"(misses) {ends}"
        numbers = ("-" if value is None else f"{value:.1f}" for value in (of.median, of.mean))
        width = "-" if of.width is None else f"{of.width:.1f}"
        left = str(of.collected - of.answers)
        return (of.source, f"{self.truths[of.source]:g}", *numbers, ends, width, str(of.answers), left)


def _crowd(name: str, of: Crowd) -> str:
    return (
        f"{name}: {of.people} took part and gave {of.answers} answers; {of.failed_tests} failed the test images, so "
        f"that their answers are left out, and {of.screened_out} were screened out"
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
    watch: Callable[[str, int, int], None] | None = None,
) -> Simulation:
    """Rehearse a study with simulated people, through its real server.

    Parameters
    ----------
    folder
        Of the study, or its `study.toml`. Nothing is written there.
    population
        The people; 200 ordinary ones by default.
    width
        That the interval of a source's PJND may have, in levels, above 0.
    out
        A new folder for `simulation.json`, `answers.csv`, `dictionary.json`, and `answers.parquet` where pyarrow is
        installed. It appears whole or not at all. Default: nothing is written.
    database
        An empty one, where the answers stay; see `pixq.study.store.store.open_store`. Default: a file that is deleted.
    keep
        Whether that file is kept, as `answers.db` in `out`.
    threads
        People that take part at a time. What they answer does not depend on it.
    stage
        How they take part; see `pixq.study.simulate.browser`. Default: over HTTP.
    watch
        Is told the round, how many of its sessions are held, and of how many.

    Raises
    ------
    PixqError
        If the study or an option is wrong, `out` or the database's file exists, or the server broke off.

    Examples
    --------
    >>> print(simulate("my-study").verdict)  # doctest: +SKIP
    30 answers a source give an interval of 8.1 levels (median over sources); enough for 10
    """
    population = population or Population()
    if not 0 < width < math.inf:
        raise PixqError(f"--width {width:g}: must be above 0; give the levels that an interval may have")
    if threads < 1:
        raise PixqError(f"--threads {threads}: is not 1 or more")
    if keep and (out is None or database is not None):
        raise PixqError("--keep: keeps the answers' file in --out; a --database stays anyway")
    if database is not None and "://" not in database and Path(database).exists():
        raise PixqError(f"{database}: exists already; give a --database that is new")
    opened = open_study(folder)
    with _new_folder(out) as made, tempfile.TemporaryDirectory(prefix="pixq-rehearsal-") as private:
        file = Path(private) / ANSWERS_FILE
        with _whole(database):
            rehearsed = rehearse(
                opened, population, database or str(file), Path(private), threads=threads, stage=stage, watch=watch
            )
        found = _summed(opened, population, rehearsed, width, stage is not None)
        if made is not None:
            write_answers(opened.study, rehearsed.answers, made, parquet=find_spec("pyarrow") is not None)
            write_json(made / f".{REPORT_FILE}", made / REPORT_FILE, found.record())
            if keep:
                shutil.copyfile(file, made / ANSWERS_FILE)
    return found


@contextmanager
def _whole(database: str | None) -> Iterator[None]:
    """A database's new file goes when the block does not end well."""
    try:
        yield
    except BaseException:
        if database is not None and "://" not in database:
            for suffix in ("", "-wal", "-shm"):
                Path(database + suffix).unlink(missing_ok=True)
        raise


@contextmanager
def _new_folder(out: Path | None) -> Iterator[Path | None]:
    """A folder that becomes `out` when the block ends well."""
    if out is None:
        yield None
        return
    if out.exists() or out.is_symlink():
        raise PixqError(f"{out}: exists already; choose another --out or delete it")
    scratch = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _summed(opened: OpenedStudy, population: Population, of: Rehearsed, width: float, browser: bool) -> Simulation:
    failed = {each.participant for each in of.answers if "failed_tests" in each.flags}
    taking = {each.participant for each in of.sessions}
    ends: dict[str, int] = {}
    for session in of.sessions:
        ends[session.step] = ends.get(session.step, 0) + 1
    study = opened.study
    estimates = estimates_of(opened, of.answers)

    def crowd(careless: bool) -> Crowd:
        own = {who for who, each in of.people.items() if each.careless is careless and who in taking}
        answers = sum(each.participant in own for each in of.answers if each.kind == "source")
        screened = sum(of.refused.get(who) == "screened_out" for who in own)
        return Crowd(len(own), answers, len(own & failed), screened)

    return Simulation(
        study,
        population,
        browser,
        crowd(False),
        crowd(True),
        dict(sorted(ends.items())),
        len(of.people) - len(taking),
        max((each.number for each in of.sessions if each.step == "completed"), default=0),
        tuple(estimates),
        {each.id: of.truths[each.id].pjnd for each in study.source},
        judge_plan(study, estimates, width),
    )
