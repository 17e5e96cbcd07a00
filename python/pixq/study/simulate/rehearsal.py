"""Rehearse a study: simulated people with known answers take whole sessions on the real server.

People come in rounds. In each round everybody who may begins a session, one after another; then the sessions are held,
several at a time. What a session shows depends on the answers given so far and on those that begun sessions reserve
(for `hold_minutes`, while a round begins within seconds), and their sum does not change while a round is held. So the
same seed gives the same answers, however many people take part at a time.
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
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import Answer, SessionRow, answers_of
from pixq.study.results.load import load_results
from pixq.study.session.participants import person, rehearsal_address
from pixq.study.session.service import SessionService
from pixq.study.simulate.client import Participant, UnexpectedResponse, typical_data
from pixq.study.simulate.observers import Observer, Population, Reaction, Truth, observers, truths
from pixq.study.simulate.server_process import run_server
from pixq.study.store.keys import KEY_FILE, Key
from pixq.study.store.store import open_store

__all__ = ["Act", "Rehearsed", "Stage", "Visit", "rehearse", "slider_track", "take_part_over_http"]

#: Everybody's clock shows this time when the page is opened.
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
#: Milliseconds that a step without an image takes.
_STEP_MS = 15_000.0


@dataclass
class Visit:
    """A person in a session.

    Parameters
    ----------
    observer
        The person.
    person
        The person's pseudonym in the study.
    client
        The person's connection to the session.
    address
        Parameters of the address that the person opens.
    images
        Ids of the images by the hash of their files; see `_image_hashes`.
    truths
        What is true of each image, by id.
    seen
        Ids of the images seen so far, by the keys that the page uses.
    """

    observer: Observer
    person: str
    client: Participant
    address: Mapping[str, str]
    images: Mapping[str, str]
    truths: Mapping[str, Truth]
    seen: dict[str, str] = field(default_factory=dict)

    async def react(self) -> tuple[Truth, Reaction]:
        """Give what is true of the current image, and what the person does with it.

        The page's names of images reveal nothing, so the image is recognised by its files.
        """
        state = self.client.state
        trial = state["trial"]
        key = trial["key"]
        if key not in self.seen:
            files = await self.client.fetch_images(trial["reference"], trial["levels"][-1]["image"])
            image = _hash(*files)
            if image not in self.images:
                raise UnexpectedResponse("an image does not belong to the study")
            self.seen[key] = self.images[image]
        source = self.seen[key]
        feedback = state.get("feedback")
        feedback = feedback if feedback and feedback["key"] == key else None
        truth, tries = self.truths[source], state.get("tries", 0)
        return truth, self.observer.react(source, truth, trial["clicks"], tries=tries, feedback=feedback)


#: Takes a person from the session's current step to its end.
Act = Callable[[Visit], Awaitable[None]]
#: Gives such a function for as long as people take part, for the server's port.
Stage = Callable[[int], AbstractAsyncContextManager[Act]]


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal stored.

    Parameters
    ----------
    people
        The people by pseudonym.
    refused
        Why people could not begin another session, by pseudonym: `screened_out`, `finished`, `full` or
        `enough`.
    sessions, answers
        The stored sessions and the answers.
    truths
        What is true of each image, by id.
    """

    people: Mapping[str, Observer]
    refused: Mapping[str, str]
    sessions: Sequence[SessionRow]
    answers: Sequence[Answer]
    truths: Mapping[str, Truth]


def _hash(*files: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(file).digest() for file in files)).hexdigest()


def _image_hashes(opened: OpenedStudy) -> dict[str, str]:
    """Map the hash of each image's reference and highest level to its id."""
    images: dict[str, str] = {}
    for name, source in opened.sources.items():
        files = _hash(source.levels[0].path.read_bytes(), source.levels[max(source.levels)].path.read_bytes())
        if (other := images.setdefault(files, name)) != name:
            raise PixqError(
                f"{name}: has the same reference and highest level as {other}, so nobody can tell them apart; remove "
                "one"
            )
    return images


def rehearse(
    opened: OpenedStudy,
    population: Population,
    database: str,
    private: Path,
    *,
    threads: int = 8,
    stage: Stage | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Rehearsed:
    """Let people take part in a study until it needs no more of them.

    Parameters
    ----------
    opened
        The study. Nothing is written to its folder.
    population
        The people.
    database
        A database without answers; see `pixq.study.store.store.open_store`.
    private
        An empty folder for the server's key and token.
    threads
        How many people take part at a time.
    stage
        How people take part; by default over HTTP, see `take_part_over_http`.
    on_progress
        Called with the round as the stage, and the number of its sessions that are over.

    Raises
    ------
    PixqError
        If the database has answers or can't be opened, or the server does not start or stops early.
    """
    key = Key(hashlib.sha256(f"pixq rehearsal {population.seed}".encode()).digest())
    with os.fdopen(os.open(private / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.secret.hex())
    images = _image_hashes(opened)
    store = open_store(database)
    try:
        # A real study has another key, so simulated answers never get among its own.
        if store.sessions() or store.setdefault_fact("key", key.fingerprint) != key.fingerprint:
            raise PixqError("--database: is in use by a study; give an empty database")
        rehearsal = _Rehearsal(opened, population, key, images, on_progress)
        with run_server(opened.study.folder, database, private, page=stage is not None) as port:
            try:
                asyncio.run(rehearsal.run(port, threads, stage or _http_stage))
            except ExceptionGroup as group:
                raise _first_error(group) from None
        return _stored(rehearsal, SessionService(opened, store, key))
    finally:
        store.close()


def _stored(rehearsal: _Rehearsal, service: SessionService) -> Rehearsed:
    sessions, events, _ = load_results(service)
    answers = answers_of(service.study, sessions, events)
    return Rehearsed(rehearsal.people, rehearsal.refused, sessions, answers, rehearsal.truths)


def _first_error(group: ExceptionGroup[Exception]) -> Exception:
    """Find the error that ended the rehearsal; if it is about the server, it becomes a `PixqError`."""
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, (UnexpectedResponse, OSError, EOFError)):
        return PixqError(f"the rehearsal ended early because its server did not answer: {first}")
    return first


class _Rehearsal:
    """The people of a rehearsal and what became of them."""

    def __init__(
        self,
        opened: OpenedStudy,
        population: Population,
        key: Key,
        images: Mapping[str, str],
        on_progress: ProgressCallback,
    ) -> None:
        self._study, self._key, self._images, self._on_progress = opened.study, key, images, on_progress
        self.truths = truths(opened, population)
        self._observers = observers(population)
        self.people: dict[str, Observer] = {}
        self.refused: dict[str, str] = {}

    async def run(self, port: int, threads: int, stage: Stage) -> None:
        """Hold rounds until nobody begins a session."""
        people, number = self._observers, 0
        async with stage(port) as act:
            while people:
                number += 1
                visits = [visit for one in people if (visit := await self._begin(one, number, port)) is not None]
                await self._hold(visits, f"round {number}", threads, act)
                # People who were refused, or gave up, do not come again.
                people = [visit.observer for visit in visits if visit.client.step == "completed"]

    async def _begin(self, observer: Observer, number: int, port: int) -> Visit | None:
        address = self._address(observer, number)
        pseudonym = person(self._study.platform.kind, self._key, address).id
        client = Participant(port, address, self._study.default_language)
        try:
            await client.start(again=True)
        finally:
            # A round may have more people than a process can have connections.
            client.close()
        self.people[pseudonym] = observer
        if client.ended:
            self.refused[pseudonym] = client.state.get("reason", "")
            return None
        return Visit(observer, pseudonym, client, address, self._images, self.truths)

    async def _hold(self, visits: Sequence[Visit], name: str, threads: int, act: Act) -> None:
        places, done = asyncio.Semaphore(threads), 0
        self._on_progress(name, 0, len(visits))

        async def hold(visit: Visit) -> None:
            nonlocal done
            async with places:
                try:
                    await act(visit)
                finally:
                    visit.client.close()
            done += 1
            self._on_progress(name, done, len(visits))

        async with asyncio.TaskGroup() as group:
            for visit in visits:
                group.create_task(hold(visit))

    def _address(self, observer: Observer, number: int) -> dict[str, str]:
        """Give the parameters of the address with which the study's platform sends a person to a session."""
        visit = hashlib.sha256(f"{observer.name} {number}".encode()).hexdigest()[:24]
        return rehearsal_address(self._study.platform.kind, self._key, observer.name, visit)


def slider_track(reaction: Reaction, levels: Sequence[int]) -> list[list[float]]:
    """Move the slider up past the answer and back; gives `[[ms, level], ...]`."""
    answer = levels.index(reaction.level)
    turn = min(answer + max(1, answer // 4), len(levels) - 1)
    positions = [0, *(levels[turn * step // 6] for step in range(1, 7)), reaction.level]
    return [[round(700 * reaction.seconds * place / len(positions)), level] for place, level in enumerate(positions)]


def _http_stage(port: int) -> AbstractAsyncContextManager[Act]:
    return nullcontext(take_part_over_http)


async def take_part_over_http(visit: Visit) -> None:
    """Take a session over HTTP alone: send what a page would send, with times of a clock that is made up."""
    client, clock_ms = visit.client, 0.0

    async def send(data: Mapping[str, Any], kind: str = "") -> None:
        wall = (_BEGINNING + timedelta(milliseconds=clock_ms)).isoformat(timespec="milliseconds")
        await client.send_event(data, at=clock_ms, wall=wall, kind=kind)

    await send({"language": client.study["default_language"]}, "opened")
    while not client.ended:
        if "trial" in client.state:
            truth, reaction = await visit.react()
            clock_ms += 1000 * reaction.seconds
            await send(_answer(client.study, client.state["trial"]["key"], truth, reaction))
        else:
            clock_ms += _STEP_MS
            await send(typical_data(client.study, client.step))
    await send({"step": client.step}, "done")


def _answer(study: Mapping[str, Any], key: str, truth: Truth, reaction: Reaction) -> dict[str, Any]:
    rate, px_per_cm = typical_data(study, "check")["rate"], typical_data(study, "calibration")["px_per_cm"]
    frames = round(rate / study["hertz"])
    physical = study["scaling"] == "physical"
    return {
        "key": key, "pjnd": reaction.level, "track": slider_track(reaction, truth.levels),
        "points": [list(point) for point in reaction.points], "rate": rate, "achieved": rate / frames,
        "frames_per_image": frames, "late": [], "shown_ms": round(1000 * reaction.seconds), "dpr": 1,
        "px_per_cm": px_per_cm,
        "width_css": study["width_cm"] * px_per_cm if physical else truth.width,
        "height_css": study["height_cm"] * px_per_cm if physical else truth.height,
    }  # fmt: skip
