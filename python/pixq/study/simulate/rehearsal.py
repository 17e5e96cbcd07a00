"""A rehearsal: people whose answers are known go through the real server, each through whole sessions.

People come in rounds: in each, everybody who may begins a session, one after another, and then the sessions are held,
several at a time. What a session shows depends on the answers there are and on those that begun sessions still hold
(for `hold_minutes`, and a round is begun in seconds); their sum does not change while a round is held. So the same seed
leads to the same answers, however many are at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import Answer, SessionRow, answers_of
from pixq.study.results.load import load_results
from pixq.study.session.platforms import links, person
from pixq.study.session.service import SessionService
from pixq.study.simulate.client import Participant, Unexpected, ordinary
from pixq.study.simulate.observers import Observer, Population, Reaction, Truth, observers, truths
from pixq.study.simulate.server_process import served
from pixq.study.store.keys import KEY_FILE, Key
from pixq.study.store.store import open_store

__all__ = ["Act", "Rehearsed", "Stage", "Visit", "by_lines", "rehearse", "track"]

#: When everybody's clock is set to, at the opening of the page.
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
#: Milliseconds that a step takes which shows no image.
_STEP_MS = 15_000.0


@dataclass
class Visit:
    """A person in a session.

    Parameters
    ----------
    observer
        The person.
    person
        What the study calls the person: a pseudonym.
    client
        At the session.
    address
        Parameters of the address that the person opens.
    known
        Id of an image by its look; see `_looks`.
    truths
        Of each image by id.
    """

    observer: Observer
    person: str
    client: Participant
    address: Mapping[str, str]
    known: Mapping[str, str]
    truths: Mapping[str, Truth]
    seen: dict[str, str] = field(default_factory=dict)

    async def react(self) -> tuple[Truth, Reaction]:
        """What the person does with the image that is asked about, and what is true of it.

        Pages call images by names that say nothing: whoever knows what is to be seen knows the image by its look.
        """
        state = self.client.state
        trial = state["trial"]
        key = trial["key"]
        if key not in self.seen:
            look = _look(*await self.client.look(trial["reference"], trial["levels"][-1]["image"]))
            if look not in self.known:
                raise Unexpected("an image is none of the study's")
            self.seen[key] = self.known[look]
        source = self.seen[key]
        told = state.get("feedback")
        told = told if told and told["key"] == key else None
        truth = self.truths[source]
        return truth, self.observer.react(source, truth, trial["clicks"], tries=state.get("tries", 0), told=told)


#: Takes a person from where the session is to its end.
Act = Callable[[Visit], Awaitable[None]]
#: What such a function needs while all take part, given the server's port.
Stage = Callable[[int], AbstractAsyncContextManager[Act]]


@dataclass(frozen=True)
class Rehearsed:
    """What is stored after a rehearsal.

    Parameters
    ----------
    people
        By pseudonym.
    refused
        Why people could begin no further session, by pseudonym: `screened_out`, `finished` or `full`.
    sessions, answers
        As `pixq.study.results.answers` has them.
    truths
        Of each image by id.
    """

    people: Mapping[str, Observer]
    refused: Mapping[str, str]
    sessions: Sequence[SessionRow]
    answers: Sequence[Answer]
    truths: Mapping[str, Truth]


def _look(*files: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in files)).hexdigest()


def _looks(opened: OpenedStudy) -> dict[str, str]:
    """The id of every image by its reference and its highest level, as files."""
    found: dict[str, str] = {}
    for name, each in opened.sources.items():
        look = _look(each.levels[0].path.read_bytes(), each.levels[max(each.levels)].path.read_bytes())
        if (other := found.setdefault(look, name)) != name:
            raise PixqError(f"{name}: has the reference and the highest level of {other}; nobody can tell them apart")
    return found


def rehearse(
    opened: OpenedStudy,
    population: Population,
    database: str,
    private: Path,
    *,
    threads: int = 8,
    stage: Stage | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> Rehearsed:
    """Let people take part in a study, in a database that has no answers yet, until it needs none of them any more.

    Parameters
    ----------
    opened
        The study. Nothing is written to its folder.
    population
        The people.
    database
        Of the answers; see `pixq.study.store.store.open_store`.
    private
        An empty folder for the server's key and token.
    threads
        People that take part at a time.
    stage
        How they do; over HTTP by default, see `by_lines`.
    watch
        Is told the round, how many of its sessions are held, and of how many.

    Raises
    ------
    PixqError
        If the database has answers or can't be opened, the server does not begin, or it breaks off.
    """
    key = Key(hashlib.sha256(f"pixq rehearsal {population.seed}".encode()).digest())
    with os.fdopen(os.open(private / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.secret.hex())
    looks = _looks(opened)
    store = open_store(database)
    try:
        # A study that has begun, or is to begin, is of another key: answers of nobody never come among its own.
        if store.sessions() or store.setdefault_fact("key", key.fingerprint) != key.fingerprint:
            raise PixqError("--database: a study has it already; give one that is empty")
        rehearsal = _Rehearsal(opened, population, key, looks, watch or (lambda stage, done, of: None))
        with served(opened.study.folder, database, private, page=stage is not None) as port:
            try:
                asyncio.run(rehearsal.run(port, threads, stage or _lines))
            except ExceptionGroup as group:
                raise _first(group) from None
        return _stored(rehearsal, SessionService(opened, store, key))
    finally:
        store.close()


def _stored(rehearsal: _Rehearsal, service: SessionService) -> Rehearsed:
    sessions, events, _ = load_results(service)
    answers = answers_of(service.study, sessions, events)
    return Rehearsed(rehearsal.people, rehearsal.refused, sessions, answers, rehearsal.truths)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The error that ended it, as one of ours where it is about the server."""
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, (Unexpected, OSError, EOFError)):
        return PixqError(f"the rehearsal broke off, as its server did not answer: {first}")
    return first


class _Rehearsal:
    """Who takes part, and what came of it."""

    def __init__(
        self,
        opened: OpenedStudy,
        population: Population,
        key: Key,
        looks: Mapping[str, str],
        watch: Callable[[str, int, int], None],
    ) -> None:
        self._study, self._key, self._looks, self._watch = opened.study, key, looks, watch
        self.truths = truths(opened, population)
        self._observers = observers(population)
        self.people: dict[str, Observer] = {}
        self.refused: dict[str, str] = {}

    async def run(self, port: int, threads: int, stage: Stage) -> None:
        """Rounds, until nobody begins a session."""
        going, number = self._observers, 0
        async with stage(port) as act:
            while going:
                number += 1
                visits = [visit for each in going if (visit := await self._begun(each, number, port)) is not None]
                await self._held(visits, f"round {number}", threads, act)
                # Whoever was not let in, or gave up, does not come again.
                going = [each.observer for each in visits if each.client.step == "completed"]

    async def _begun(self, observer: Observer, number: int, port: int) -> Visit | None:
        address = self._address(observer, number)
        who = person(self._study.platform.kind, self._key, address).id
        client = Participant(port, address, self._study.default_language)
        try:
            await client.start(again=True)
        finally:
            # A round may be larger than the number of connections that a process can have.
            client.close()
        self.people[who] = observer
        if client.ended:
            self.refused[who] = client.state.get("reason", "")
            return None
        return Visit(observer, who, client, address, self._looks, self.truths)

    async def _held(self, visits: Sequence[Visit], name: str, threads: int, act: Act) -> None:
        places, done = asyncio.Semaphore(threads), 0
        self._watch(name, 0, len(visits))

        async def hold(visit: Visit) -> None:
            nonlocal done
            async with places:
                try:
                    await act(visit)
                finally:
                    visit.client.close()
            done += 1
            self._watch(name, done, len(visits))

        async with asyncio.TaskGroup() as group:
            for visit in visits:
                group.create_task(hold(visit))

    def _address(self, observer: Observer, number: int) -> dict[str, str]:
        """Parameters of the address by which the study's platform sends a person to a session."""
        kind = self._study.platform.kind
        if kind == "prolific":
            visit = hashlib.sha256(f"{observer.name} {number}".encode()).hexdigest()[:24]
            return {"PROLIFIC_PID": observer.name, "STUDY_ID": "rehearsal", "SESSION_ID": visit}
        if kind == "link":
            return {"token": links(self._key, 1, lambda _: observer.name)[0]}
        return {"participant": observer.name}


def track(reaction: Reaction, levels: Sequence[int]) -> list[list[float]]:
    """Positions of the slider on the way to an answer: up past it, and back; `[[ms, level], ...]`."""
    at = levels.index(reaction.level)
    past = min(at + max(1, at // 4), len(levels) - 1)
    way = [0, *(levels[past * step // 6] for step in range(1, 7)), reaction.level]
    return [[round(700 * reaction.seconds * place / len(way)), level] for place, level in enumerate(way)]


def _lines(port: int) -> AbstractAsyncContextManager[Act]:
    return nullcontext(by_lines)


async def by_lines(visit: Visit) -> None:
    """A session over HTTP alone: all that a page says is said, and no time passes but by the clock that it tells."""
    client, at = visit.client, 0.0

    async def say(data: Mapping[str, Any], kind: str = "") -> None:
        wall = (_BEGINNING + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
        await client.say(data, at=at, wall=wall, kind=kind)

    await say({"language": client.study["default_language"]}, "opened")
    while not client.ended:
        if "trial" in client.state:
            truth, reaction = await visit.react()
            at += 1000 * reaction.seconds
            await say(_answer(client.study, client.state["trial"]["key"], truth, reaction))
        else:
            at += _STEP_MS
            await say(ordinary(client.study, client.step))
    await say({"step": client.step}, "done")


def _answer(study: Mapping[str, Any], key: str, truth: Truth, reaction: Reaction) -> dict[str, Any]:
    rate, px_per_cm = ordinary(study, "check")["rate"], ordinary(study, "calibration")["px_per_cm"]
    frames = round(rate / study["hertz"])
    physical = study["scaling"] == "physical"
    return {
        "key": key, "pjnd": reaction.level, "track": track(reaction, truth.levels),
        "points": [list(each) for each in reaction.points], "rate": rate, "achieved": rate / frames,
        "frames_per_image": frames, "late": [], "shown_ms": round(1000 * reaction.seconds), "dpr": 1,
        "px_per_cm": px_per_cm,
        "width_css": study["width_cm"] * px_per_cm if physical else truth.width,
        "height_css": study["height_cm"] * px_per_cm if physical else truth.height,
    }  # fmt: skip
