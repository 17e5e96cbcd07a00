"""A small study on a free port, and pages that take part in it, for the tests of `pixq study serve`."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image

from pixq.http.connections import ConnectionLimits
from pixq.http.server import open_socket, server_config
from pixq.study.design.study_files import open_study
from pixq.study.results.statistics import study_statistics
from pixq.study.server.app import create_app
from pixq.study.server.failures import FailureLog
from pixq.study.server.limits import Limits, RateLimit
from pixq.study.server.threads import Threads
from pixq.study.session.service import SessionService
from pixq.study.session.viewing import UNKNOWN, Viewing, ViewingRecord
from pixq.study.store.keys import Key, hash_token
from pixq.study.store.records import Session
from pixq.study.store.store import open_store

Headers = Mapping[str, str]
_COUNT = itertools.count()
KEY = Key(bytes(range(32)))
ADMIN = "a-token-of-the-experimenter-that-is-long-enough"
WIDTH, HEIGHT = 64, 48
LEVELS = (10, 20, 30, 40)
SOURCES = ("SRC_A", "SRC_B", "SRC_C", "SRC_D")
#: Training and test images: id, range and points that nobody would send by chance.
TRUTH = {
    "TRAIN_1": ((20, 21), [(11.125, 13.375), (31.625, 41.875)]),
    "TEST_1": ((30, 33), [(7.0625, 9.1875), (37.3125, 50.4375)]),
    "TEST_2": ((10, 13), [(5.5625, 51.6875), (40.8125, 8.9375)]),
    "TEST_3": ((40, 43), [(9.03125, 30.15625), (41.28125, 31.40625)]),
}
PAGE = {
    "index.html": (b"<!doctype html><title>page</title>", "text/html; charset=utf-8"),
    "page.js": (b"'use strict';", "text/javascript; charset=utf-8"),
}
#: Limits that other tests don't reach.
PATIENT = Limits(
    session=RateLimit(1e4, 1e5), address=RateLimit(1e5, 1e6), start=RateLimit(1e4, 1e5), statistics_seconds=0.0
)


def make_study(folder: Path, *, platform: str = "", more: str = "") -> Path:
    """Write a study: four sources, a training image, three test images, of 64x48 pixels with four levels."""
    images = folder / "images"
    images.mkdir(parents=True)
    tables = []
    for name in (*SOURCES, *TRUTH):
        # The shade depends on the name only through a hash.
        for level in (0, *LEVELS):
            shade = (hash_of(name) % 200, level, 90)
            Image.new("RGB", (WIDTH, HEIGHT), shade).save(images / f"{name}_{level}.png")
        kind = "source" if name in SOURCES else "training" if name.startswith("TRAIN") else "test"
        tables.append(f'[[{kind}]]\nid = "{name}"\ncodec = "JPEG"\nreference = "images/{name}_0.png"')
        tables.append(f'levels = "images/{name}_[1-9]*.png"')
        if name in TRUTH:
            (low, high), points = TRUTH[name]
            tables.append(f"pjnd_range = [{low}, {high}]\npoints_yx = {[list(point) for point in points]}")
    head = (
        'title = "Where is it?"\ncontact = "us@example.org"\nlanguages = ["en", "de"]\nmin_window = [1000, 700]\n'
        f'{more}\n[consent]\nen = "I agree."\nde = "Ja."\n[quota]\nanswers = 50\nimages = 2\ntests = 1\n{platform}\n'
    )
    (folder / "study.toml").write_text(head + "\n".join(tables), "utf-8")
    return folder


def hash_of(name: str) -> int:
    return sum(ord(letter) * (place + 3) for place, letter in enumerate(name))


PROLIFIC = '[platform]\nkind = "prolific"\ndone = "DONE1"\nscreened_out = "OUT2"\nfailed = "FAIL3"\n'


#: Limits of connections that other tests don't reach.
MANY = ConnectionLimits(total=1000, per_address=500)


class Unwatched(ViewingRecord):
    """A record that knows nothing, for pages that answer at once."""

    def view(self, session: str, answers: Sequence[tuple[int, int]], now: float) -> list[Viewing]:
        return [UNKNOWN] * len(answers)


@dataclass
class Server:
    """A running study."""

    port: int
    service: SessionService
    log: list[tuple[str, str, bytes, bytes]] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    threads: Threads | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on its own connection."""
        page = Page(self)
        try:
            return page.ask(method, path, body, token, headers)
        finally:
            page.close()


class Page:
    """A participant's page: keeps its state, events and connection. By default a new person opens it."""

    def __init__(self, server: Server, platform: Mapping[str, str] | None = None, seed: int = 0) -> None:
        self.server = server
        self.platform = dict(platform or {"participant": f"person-{next(_COUNT)}"})
        self.draws = random.Random(seed)
        self.token = ""
        self.state: dict[str, Any] = {}
        self.sent: list[dict[str, Any]] = []
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        server.pages.append(self)

    def close(self) -> None:
        self.connection.close()

    @property
    def session(self) -> Session:
        """The session, as it is stored."""
        return self.server.service.store.session_by_token(hash_token(self.token))

    @property
    def stored(self) -> list[tuple[int, str, Any]]:
        """All events of the session that are stored: number, kind and data."""
        events = self.server.service.store.events(self.session.id)
        return [(event.number, event.kind, json.loads(event.data)) for event in events]

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        given = {"content-type": "application/json", **(headers or {})}
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, given)
        answer = self.connection.getresponse()
        found = answer.read()
        heads = {name.lower(): value for name, value in answer.getheaders()}
        self.server.log.append((method, path, json.dumps(heads).encode(), found))
        return answer.status, heads, found

    def start(self, language: str = "en", *, again: bool = True) -> dict[str, Any]:
        asked = {"platform": self.platform, "language": language, "again": again}
        status, _, body = self.ask("POST", "/api/start", asked)
        assert status == 200, body
        told: dict[str, Any] = json.loads(body)
        self.token, self.state = told["token"], told["state"]
        return told

    def send(self, *events: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, _, body = self.ask("POST", "/api/events", {"events": list(events)}, self.token)
        told = json.loads(body)
        if status == 200:
            self.state = told["state"]
        return status, told

    def event(self, kind: str, data: Mapping[str, Any] | None = None, number: int | None = None) -> dict[str, Any]:
        next = self.state["next"] if number is None else number
        wall = f"2026-01-01T00:00:{next % 60:02d}Z"
        return {"number": next, "kind": kind, "at": 10.5 * next, "wall": wall, "data": dict(data or {})}

    def say(self, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        event = self.event(kind, data)
        status, told = self.send(event)
        assert status == 200, told
        self.sent.append(event)
        return told

    def answer(self, pjnd: int | None = None, points: list[tuple[float, float]] | None = None) -> dict[str, Any]:
        """Data of an answer to the current image."""
        trial = self.state["trial"]
        level = pjnd if pjnd is not None else self.draws.choice(trial["levels"])["level"]
        drawn = [(self.draws.randrange(HEIGHT), self.draws.randrange(WIDTH)) for _ in range(trial["clicks"])]
        return {
            "key": trial["key"], "pjnd": level, "track": [[0, 0], [12.5, level]],
            "points": [list(each) for each in points or drawn],
            "rate": 60.0, "achieved": 7.5, "frames_per_image": 8, "late": 1, "shown_ms": 9000.0, "dpr": 1,
            "px_per_cm": 40, "width_css": 552, "height_css": 414,
        }  # fmt: skip

    def fetch(self, *levels: int) -> None:
        """Load the files of the current image: the reference and some levels, by default all."""
        trial = self.state["trial"]
        keys = [level["image"] for level in trial["levels"] if not levels or level["level"] in levels]
        for key in (trial["reference"], *keys):
            assert self.ask("GET", f"/api/image/{key}")[0] == 200

    def go(self, step: str) -> None:
        """Answer honestly, and trials at random, until a step."""
        while self.state["step"] not in (step, "completed", "failed", "screened_out"):
            self.one()

    def one(self) -> None:
        step = self.state["step"]
        if step == "training":
            low, points = TRUTH["TRAIN_1"][0][0], TRUTH["TRAIN_1"][1]
            self.say(step, self.answer(low, [*points, (0.5, 0.5)]))
        elif step == "trial":
            self.say(step, self.answer())
        else:
            self.say(step, SAID[step])


#: Data that pass each step.
SAID: dict[str, dict[str, Any]] = {
    "consent": {"agreed": True},
    "check": {"mobile": False, "width": 1400, "height": 800, "rate": 59.94},
    "calibration": {"px_per_cm": 40.0, "screen_height": 1080},
    "instructions": {},
    "survey": {"glasses": "none", "remarks": "all well"},
}


@contextmanager
def running(
    folder: Path,
    database: str,
    *,
    limits: Limits | None = None,
    page: Mapping[str, tuple[bytes, str]] = PAGE,
    port: int = 0,
    proxy: bool = False,
    connections: ConnectionLimits = MANY,
    failures: FailureLog | None = None,
    seconds: float = 30.0,
    clock: Callable[[], float] = time.time,
    viewings: ViewingRecord | None = None,
) -> Iterator[Server]:
    """A study's server in a thread, on any free port by default. By default it does not watch how pages answer."""
    store = open_store(database, wait=seconds, brief=True)
    store.watch_identity()
    service = SessionService(open_study(folder), store, KEY, clock, viewings=viewings or Unwatched())
    with open_socket("127.0.0.1", port) as socket, closing(Threads(seconds)) as threads:
        app = create_app(
            service, threads, page, admin=(hash_token(ADMIN), lambda: study_statistics(service)), proxy=proxy,
            limits=limits or PATIENT, failures=failures or FailureLog(write=lambda line: None),
        )  # fmt: skip
        config = server_config(app, connections, grace=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            found = Server(socket.getsockname()[1], service, threads=threads)
            yield found
            for each in found.pages:
                each.close()
        finally:
            server.should_exit = True
            thread.join(30)
            store.close()
            assert not thread.is_alive()
