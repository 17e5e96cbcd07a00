"""The server is killed again and again while people take part: nothing is lost, and everybody reaches the end."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.study.design.study_files import open_study
from pixq.study.session.service import SessionService
from pixq.study.store.store import Store, open_store
from support import databases, studying
from support.studying import KEY, Page, Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed as POSIX does it"),
]
#: Seconds in which a server restarts, and in which a person finishes.
PATIENCE = 120


class Stubborn(Page):
    """A page that keeps unconfirmed events and sends them again, even after it was reloaded."""

    def __init__(self, server: Server, name: str, given_up: threading.Event) -> None:
        super().__init__(server, {"participant": name}, seed=len(name))
        self.name = name
        self.draws = random.Random(name)
        self.waiting: list[dict[str, Any]] = []
        self.resent = 0
        self.given_up = given_up

    def again(self, method: str, path: str, body: Any, token: str | None = None) -> tuple[int, dict[str, Any]]:
        """Send a request until the response is not 503."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                status, _, told = self.ask(method, path, body, token)
                if status != 503:
                    return status, json.loads(told)
            except (OSError, http.client.HTTPException):
                self.connection.close()
            if time.monotonic() > until or self.given_up.is_set():
                raise TimeoutError(f"{self.name}: no answer to {path}")
            self.resent += 1
            time.sleep(self.draws.uniform(0.005, 0.05))

    def take_part(self) -> None:
        self.open()
        while self.state["step"] != "completed":
            if self.draws.random() < 0.2:
                # A reload; earlier events are still unsent.
                self.open()
            step = self.state["step"]
            data = self.answer() if step in ("training", "trial") else studying.SAID[step]
            self.waiting = [self.event("frames", {"n": self.draws.randrange(9)}), self.event(step, data)]
            self.waiting[1]["number"] += 1
            self.deliver()

    def open(self) -> None:
        platform = {"platform": self.platform, "language": "en"}
        status, told = self.again("POST", "/api/start", platform)
        assert status == 200, told
        assert self.token in ("", told["token"]), "another session"
        self.token, self.state = told["token"], told["state"]

    def deliver(self) -> None:
        status, told = self.again("POST", "/api/events", {"events": self.waiting}, self.token)
        assert status == 200, told
        assert told["stored"] == self.waiting[-1]["number"]
        self.sent += self.waiting
        self.state = told["state"]


def killed(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
        return True
    return False


def number_of(process: subprocess.Popen[str]) -> int:
    """Process number of the next server; skips the address of a server that was killed meanwhile."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().isdigit():
            return int(line)
    raise AssertionError("it ended by itself")


def wait_until(there: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < until, "nobody gets any further"
        time.sleep(0.002)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def make(tmp_path: Path) -> Path:
    folder = studying.make_study(tmp_path / "study")
    toml = folder / "study.toml"
    toml.write_text(toml.read_text().replace("answers = 50", "answers = 5000"))
    (folder / "study.key").write_text(KEY.secret.hex())
    (folder / "study.key").chmod(0o600)
    return folder


def attack(folder: Path, database: str, kills: int, also: Any = lambda n: None) -> tuple[list[Stubborn], Store]:
    """Kill the server `kills` times while people take part; return all people and the store when they are done."""
    port, draws, names = free_port(), random.Random(11), itertools.count()
    server = Server(port, None)  # type: ignore[arg-type]
    people: list[Stubborn] = []
    failed: list[BaseException] = []
    enough, given_up = threading.Event(), threading.Event()

    def line() -> None:
        while not enough.is_set() and not failed:
            page = Stubborn(server, f"person-{next(names)}", given_up)
            people.append(page)
            try:
                page.take_part()
            except BaseException as error:
                failed.append(error)
            finally:
                page.close()

    command = [sys.executable, "-m", "support.killed_server", str(folder), database, str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    plans: dict[str, str] = {}
    threads = [threading.Thread(target=line) for _ in range(6)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        child = 0
        try:
            child = number_of(process)
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            for each in threads:
                each.start()
            store = open_store(database)
            for n in range(kills):
                if n % 2 == 0:
                    # This server listens: kill it once some more answers are confirmed, on a slow machine too.
                    confirmed = sum(len(page.sent) for page in people) + draws.randrange(4, 24)
                    wait_until(lambda wanted=confirmed: failed or sum(len(page.sent) for page in people) >= wanted)
                time.sleep(draws.uniform(0.0, 0.1))
                also(n)
                assert killed(child)
                for session in store.sessions():
                    assert plans.setdefault(session.public, session.plan) == session.plan
                child = number_of(process)
                # Every other server is killed while it starts.
                if n % 2:
                    assert process.stdout.readline().startswith("http://127.0.0.1:")
            enough.set()
            for each in threads:
                each.join(PATIENCE)
        finally:
            enough.set()
            given_up.set()
            if child:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGINT)
            for each in threads:
                if each.ident is not None:
                    each.join(PATIENCE)
            process.communicate(timeout=60)
    assert not failed, failed[0]
    assert process.returncode == 0
    assert {each.public: each.plan for each in store.sessions()}.items() >= plans.items()
    return people, store


def judge(folder: Path, people: list[Stubborn], store: Store) -> None:
    """Check that all confirmed events are stored once, and nothing else, and that the quotas count the answers."""
    sessions = {each.participant: each for each in store.sessions()}
    assert len(sessions) == len(store.sessions()) == len(people)
    service = SessionService(open_study(folder), store, KEY)
    counted: Counter[str] = Counter()
    for page in people:
        session = sessions[KEY.pseudonym("local", page.name)]
        assert session.step == "completed"
        stored = [(each.number, each.kind, json.loads(each.data)) for each in store.events(session.id)]
        assert stored == [(each["number"], each["kind"], each["data"]) for each in page.sent]
        plan = service.plan(session)
        asked = [each["data"]["key"] for each in page.sent if each["kind"] == "trial"]
        assert asked == [each.key for each in plan.trials]
        counted.update(each.source for each in plan.trials)
    shown = store.assignments()
    assert all(image.answered is not None for image in shown)
    assert Counter(image.source for image in shown) == counted
    answers = [counted[name] for name in studying.SOURCES]
    assert max(answers) - min(answers) <= 12, "balanced, but for who was in the middle of it"


def test_fifty_kills_of_the_server_lose_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path)
    people, store = attack(folder, str(tmp_path / "answers.db"), kills=50)
    judge(folder, people, store)
    assert len(people) > 10
    assert sum(each.resent for each in people) > 50, "nobody noticed"
    store.close()


def test_kills_of_the_server_and_of_postgresql_lose_nothing(tmp_path: Path, postgresql: str) -> None:
    import psycopg

    folder, url = make(tmp_path), databases.fresh(postgresql)
    gone = []

    def also(n: int) -> None:
        if n % 4 == 2:
            # PostgreSQL ends all connections when one of its processes is killed, and recovers from its log.
            with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
                query = (
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                for (number,) in connection.execute(query).fetchall()[:1]:
                    gone.append(killed(number))
                    # Until it has noticed, it accepts connections that it is about to close.
                    until = time.monotonic() + PATIENCE
                    while time.monotonic() < until:
                        connection.execute("SELECT 1")
            wait_for(url)

    people, store = attack(folder, url, kills=12, also=also)
    judge(folder, people, store)
    assert sum(gone) == 3
    store.close()


def wait_for(url: str) -> None:
    import psycopg

    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.05)
    raise TimeoutError("PostgreSQL did not come again")
