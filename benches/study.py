"""So many participants at once against `pixq study serve`: how soon answers are confirmed, and whether any is lost.

    python benches/study.py [participants] [seconds between events] [sqlite] [postgresql]

The server is a process of its own, and so are the participants, who answer whole sessions of twelve images with a
hundred levels each: after every event a person takes the given time on average, and looks at eight images of a trial.
The time of an answer is from its sending until its confirmation is read. A PostgreSQL is started where it is installed.
"""

from __future__ import annotations

import asyncio
import io
import json
import platform
import random
import re
import subprocess
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

import databases
from pixq.study.limits import Rate

SOURCES, LEVELS, SEEN = 24, 100, 8
WIDTH, HEIGHT = 640, 480
IN_TIME = 0.1


def make_study(folder: Path) -> None:
    """24 sources, two training and four test images, of a hundred levels; their files are JPEGs of 640x480."""
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


def serve(folder: str, database: str) -> None:
    """The server, until it is interrupted."""
    from pixq.study import service
    from pixq.study.app import Limits

    wide = Rate(1e6, 1e6)
    page = {"index.html": (b"<!doctype html>", "text/html")}
    limits = Limits(session=wide, address=wide, start=wide)
    service.serve(Path(folder), database=database, port=0, page=page, limits=limits)


class Line:
    """A connection that is kept; as little of HTTP as it takes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, token: str = "", body: bytes = b"") -> tuple[int, bytes]:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)[1])  # type: ignore[index]
        return int(answer[9:12]), await self.reader.readexactly(length)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class Participant:
    """A person who answers at random."""

    def __init__(self, port: int, name: str, pause: float, times: list[tuple[str, float]]) -> None:
        self.line, self.looking = Line(port), Line(port)
        self.name, self.pause, self.times = name, pause, times
        self.draws = random.Random(name)
        self.confirmed: list[str] = []

    def data(self, state: dict[str, Any]) -> dict[str, Any]:
        """What is said at a step."""
        if state["step"] in ("training", "trial"):
            level = self.draws.randrange(1, LEVELS)
            points = [[self.draws.random() * HEIGHT, self.draws.random() * WIDTH] for _ in range(3)]
            # Half a minute of slider at ten positions a second.
            track = [[n * 100, self.draws.randrange(LEVELS)] for n in range(300)]
            return {"key": state["trial"]["key"], "pjnd": level, "points": points, "track": [*track, [30_000, level]]}
        return {
            "consent": {"agreed": True}, "check": {"mobile": False, "width": 1920, "height": 1000, "rate": 60},
            "calibration": {"px_per_cm": 40, "screen_height": 1080},
        }.get(state["step"], {})  # fmt: skip

    async def look(self, state: dict[str, Any]) -> None:
        trial = state["trial"]
        levels = self.draws.sample(trial["levels"], SEEN - 1)
        for key in (trial["reference"], *(each["image"] for each in levels)):
            status, _ = await self.looking.ask("GET", f"/api/image/{key}")
            assert status == 200, status

    async def take_part(self) -> None:
        await asyncio.sleep(self.draws.random() * 2 * self.pause)
        body = json.dumps({"platform": {"participant": self.name}, "language": "en"}).encode()
        status, told = await self.line.ask("POST", "/api/start", body=body)
        assert status == 200, told
        given = json.loads(told)
        token, state = given["token"], given["state"]
        while state["step"] != "completed":
            looking = asyncio.create_task(self.look(state)) if "trial" in state else None
            await asyncio.sleep(self.draws.uniform(0, 2 * self.pause))
            if looking is not None:
                await looking
            event = {"number": state["next"], "kind": state["step"], "at": 1.0, "wall": "", "data": self.data(state)}
            began = time.perf_counter()
            status, told = await self.line.ask("POST", "/api/events", token, json.dumps({"events": [event]}).encode())
            self.times.append((state["step"], time.perf_counter() - began))
            assert status == 200, told
            self.confirmed.append(json.dumps(event["data"], sort_keys=True, separators=(",", ":")))
            state = json.loads(told)["state"]
        self.line.close()
        self.looking.close()


async def crowd(port: int, count: int, pause: float) -> tuple[list[Participant], list[tuple[str, float]], float]:
    """All participants at once; the times of their events, and seconds until the last has ended."""
    times: list[tuple[str, float]] = []
    people = [Participant(port, f"person-{n}", pause, times) for n in range(count)]
    began = time.perf_counter()
    await asyncio.gather(*(each.take_part() for each in people))
    return people, times, time.perf_counter() - began


def lost_or_doubled(folder: Path, database: str, people: list[Participant]) -> tuple[int, int]:
    """Events confirmed and not stored; events stored and not confirmed, or stored twice."""
    from pixq.study.privacy import KEY_FILE, open_key
    from pixq.study.store import open_store

    store, key = open_store(database), open_key(folder / KEY_FILE)
    stored: dict[str, list[str]] = {}
    for session in store.sessions():
        stored.setdefault(session.participant, []).extend(each.data for each in store.events(session.id))
    store.close()
    missing = more = 0
    for each in people:
        found = Counter(stored.get(key.pseudonym("local", each.name), []))
        said = Counter(each.confirmed)
        missing += (said - found).total()
        more += (found - said).total()
    return missing, more


def measure(folder: Path, database: str, name: str, count: int, pause: float) -> None:
    command = [sys.executable, __file__, "serve", str(folder), database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
            people, times, seconds = asyncio.run(crowd(port, count, pause))
        finally:
            server.terminate()
            server.wait(30)
    missing, more = lost_or_doubled(folder, database, people)
    answers = np.array([taken for step, taken in times if step in ("training", "trial")])
    share = float((answers <= IN_TIME).mean())
    quantiles = ", ".join(f"{q} %: {1000 * np.percentile(answers, q):.1f} ms" for q in (50, 95, 99, 100))
    rate = len(times) / seconds
    print(f"{name}: {len(people)} participants, {len(times)} events in {seconds:.0f} s, {rate:.0f} a second")
    print(f"  {len(answers)} answers, {share:.2%} confirmed within 100 ms ({quantiles})")
    print(f"  lost {missing}, doubled {more}", flush=True)


def main(*given: str) -> None:
    if given[:1] == ("serve",):
        serve(*given[1:])
        return
    numbers = [each for each in given if re.fullmatch(r"[\d.]+", each)]
    count = int(numbers[0]) if numbers else 200
    pause = float(numbers[1]) if len(numbers) > 1 else 3.0
    kinds = [each for each in given if each in databases.KINDS] or list(databases.KINDS)
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
