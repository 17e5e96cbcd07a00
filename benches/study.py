"""Load test of `pixq study serve`: how soon answers are confirmed, and whether any are lost.

    python benches/study.py [participants] [seconds between events] [sqlite] [postgresql]

Server and participants run in separate processes. Participants answer whole sessions of twelve images with a hundred
levels each: between two events they wait for the given time on average, and in a trial they load eight images. The time
of an answer runs from sending it until its confirmation is read. PostgreSQL is measured if it is installed.
"""

from __future__ import annotations

import asyncio
import io
import json
import platform
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pytest

from pixq.study.simulate.client import Participant, typical_data
from pixq.study.simulate.server_process import run_server
from support import databases

SOURCES, LEVELS, SEEN = 24, 100, 8
WIDTH, HEIGHT = 640, 480
IN_TIME = 0.1


def make_study(folder: Path) -> None:
    """Write a study of 24 sources, two training and four test images with a hundred levels each, as 640x480 JPEGs."""
    (folder / "images").mkdir(parents=True)
    draws, tables = np.random.default_rng(0), []
    small = Image.fromarray(draws.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8))
    image = small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    first = io.BytesIO()
    image.save(first, "JPEG", quality=60)
    for n in range(SOURCES + 6):
        kind = "source" if n < SOURCES else "training" if n < SOURCES + 2 else "test"
        for level in range(LEVELS + 1):
            (folder / "images" / f"S{n}_{level}.jpg").write_bytes(first.getvalue())
        tables.append(
            f'[[{kind}]]\nid = "S{n}"\ncodec = "JPEG"\nreference = "images/S{n}_0.jpg"\nlevels = "images/S{n}_*.jpg"\n'
        )
        if kind != "source":
            tables.append("pjnd_range = [20, 30]\npoints_yx = [[100, 100], [200, 300], [400, 500]]\n")
    head = 'title = "Load"\ncontact = "nobody"\nconsent.en = "I agree."\n[quota]\nanswers = 10000\n'
    (folder / "study.toml").write_text(head + "".join(tables), "utf-8")


class Person:
    """A participant who answers at random."""

    def __init__(self, port: int, name: str, pause: float, times: list[tuple[str, float]]) -> None:
        self.client = Participant(port, {"participant": name})
        self.name, self.pause, self.times = name, pause, times
        self.draws = random.Random(name)
        self.confirmed: list[str] = []

    def data(self) -> dict[str, Any]:
        """Data of the event that the current step needs."""
        state = self.client.state
        if "trial" in state:
            level = self.draws.randrange(1, LEVELS)
            points = [[self.draws.random() * HEIGHT, self.draws.random() * WIDTH] for _ in range(3)]
            # Half a minute of slider at ten positions a second.
            track = [[n * 100, self.draws.randrange(LEVELS)] for n in range(300)]
            return {"key": state["trial"]["key"], "pjnd": level, "points": points, "track": [*track, [30_000, level]]}
        return typical_data(self.client.study, self.client.step)

    async def look(self) -> None:
        trial = self.client.state["trial"]
        levels = self.draws.sample(trial["levels"], SEEN - 1)
        await self.client.fetch_images(trial["reference"], *(level["image"] for level in levels))

    async def take_part(self) -> None:
        await asyncio.sleep(self.draws.random() * 2 * self.pause)
        await self.client.start()
        while not self.client.ended:
            looking = asyncio.create_task(self.fetch_images()) if "trial" in self.client.state else None
            await asyncio.sleep(self.draws.uniform(0, 2 * self.pause))
            if looking is not None:
                await looking
            step, data = self.client.step, self.data()
            await self.client.send_event(data, at=1.0)
            self.times.append((step, self.client.waited))
            self.confirmed.append(json.dumps(data, sort_keys=True, separators=(",", ":")))
        self.client.close()


async def crowd(port: int, count: int, pause: float) -> tuple[list[Person], list[tuple[str, float]], float]:
    """Let all participants take part at once; return them, the times of their events, and the seconds that it took."""
    times: list[tuple[str, float]] = []
    people = [Person(port, f"person-{n}", pause, times) for n in range(count)]
    began = time.perf_counter()
    await asyncio.gather(*(person.take_part() for person in people))
    return people, times, time.perf_counter() - began


def lost_or_doubled(private: Path, database: str, people: list[Person]) -> tuple[int, int]:
    """Number of events that were confirmed but not stored, and that were stored twice or without a confirmation."""
    from pixq.study.store.keys import KEY_FILE, open_key
    from pixq.study.store.store import open_store

    store, key = open_store(database), open_key(private / KEY_FILE)
    stored: dict[str, list[str]] = {}
    for session in store.sessions():
        stored.setdefault(session.participant, []).extend(event.data for event in store.events(session.id))
    store.close()
    missing = surplus = 0
    for person in people:
        kept = Counter(stored.get(key.pseudonym("local", person.name), []))
        confirmed = Counter(person.confirmed)
        missing += (confirmed - kept).total()
        surplus += (kept - confirmed).total()
    return missing, surplus


def measure(folder: Path, database: str, name: str, count: int, pause: float) -> None:
    with tempfile.TemporaryDirectory() as private:
        with run_server(folder, database, Path(private)) as port:
            people, times, seconds = asyncio.run(crowd(port, count, pause))
        missing, more = lost_or_doubled(Path(private), database, people)
    answers = np.array([taken for step, taken in times if step in ("training", "trial")])
    share = float((answers <= IN_TIME).mean())
    quantiles = ", ".join(f"{q} %: {1000 * np.percentile(answers, q):.1f} ms" for q in (50, 95, 99, 100))
    rate = len(times) / seconds
    print(f"{name}: {len(people)} participants, {len(times)} events in {seconds:.0f} s, {rate:.0f} per second")
    print(f"  {len(answers)} answers, {share:.2%} confirmed within 100 ms ({quantiles})")
    print(f"  lost {missing}, doubled {more}", flush=True)


def main(*arguments: str) -> None:
    numbers = [argument for argument in arguments if re.fullmatch(r"[\d.]+", argument)]
    count = int(numbers[0]) if numbers else 200
    pause = float(numbers[1]) if len(numbers) > 1 else 3.0
    kinds = [kind for kind in arguments if kind in databases.KINDS] or list(databases.KINDS)
    print(f"{platform.processor() or platform.machine()}, {platform.python_version()}; {pause:g} s between events")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "study"
        make_study(folder)
        if "sqlite" in kinds:
            measure(folder, str(Path(made) / "answers.db"), "SQLite", count, pause)
        if "postgresql" in kinds:
            try:
                with databases.postgresql() as url:
                    measure(folder, databases.fresh(url), "PostgreSQL", count, pause)
            except pytest.skip.Exception as error:
                print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
