"""Sessions in a real browser survive a reloaded or closed page, a broken connection, and a killed server."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from pixq.study.design.study_files import open_study
from pixq.study.session.service import SessionService
from pixq.study.store.keys import KEY_FILE, open_key
from pixq.study.store.store import open_store
from support import taking_part
from support.cut_line import Line, laid
from support.taking_part import EXPECTED, HEIGHT, HIDDEN, SOURCES, TRAINING, TRUTH, WIDTH, Server, until

pytestmark = pytest.mark.slow

#: A fast participant: does what the page asks for at once, and records the pictures and answers; the state is kept in
#: localStorage, so it is the same person after a reload.
ROBOT = """seed => {
  const find = selector => document.querySelector(selector);
  const press = selector => { const found = find(selector); if (found) found.click(); return Boolean(found); };
  const random = () => {
    const drawn = (Number(localStorage.drawn ?? seed) * 48271) % 2147483647;
    localStorage.drawn = drawn;
    return drawn / 2147483647;
  };
  const RIGHT = [[0.2, 0.25], [0.8, 0.75], [0.35, 0.5]];
  let doing = { points: [] };
  window.seen = [];
  const act = () => {
    if (find(".cover:not([hidden])") || find(".saving")) return;
    // A server that takes long to restart: the page has stopped trying to load a picture by itself.
    if (find(".fj-broken")) return press(".fj-message button");
    const slider = find(".fj-phase:not([hidden]) .fj-slider");
    const text = find("#progress")?.innerText ?? "";
    const picture = text.startsWith("Picture");
    if (slider) {
      if (window.seen.at(-1) !== text) window.seen.push(text);
      if (picture && window.waits) return;
      slider.value = picture ? String(1 + Math.floor(random() * slider.max)) : "6";
      slider.dispatchEvent(new Event("input"));
      doing = { text, level: Number(slider.value), points: [] };
      press(".fj-phase:not([hidden]) .fj-main:enabled");
    } else if (find(".fj-aim")) {
      const box = find(".fj-aim").getBoundingClientRect();
      const [across, down] = picture ? [random(), random()] : RIGHT[doing.points.length];
      const place = { clientX: box.left + across * box.width, clientY: box.top + down * box.height, bubbles: true };
      doing.points.push([down, across]);
      find(".fj-aim").dispatchEvent(new MouseEvent("click", place));
      // Whatever becomes of the page with the click that follows.
      if (!picture || find(".fj-aim")) return;
      localStorage.said = JSON.stringify([...JSON.parse(localStorage.said ?? "[]"), doing]);
    } else if (find("#agree")) {
      if (!find("#agree").checked) press("#agree");
      press(".main:enabled");
    } else if (find("#example-slider")) {
      find("#example-slider").value = "50";
      find("#example-slider").dispatchEvent(new Event("input"));
      press(".main:enabled");
    } else if (!document.body.innerText.includes("can't continue")) {
      // A page that says so is left as it is, for the test to fail by.
      press(".fj-phase:not([hidden]) .fj-main:enabled") || press(".main:enabled");
    }
  };
  setInterval(() => { if (document.readyState === "complete") act(); }, 15);
}"""
#: Console message of Chromium if a page without real user input asks before it is left.
UNASKED = "Blocked attempt to show a 'beforeunload'"
IMAGES = 3
#: Places of a session in order, one per image.
PLACES = ("consent", "check", "calibration", "instructions", "training", *["trial"] * IMAGES, "survey", "completed")
#: Kinds of events that pages send after the end of a session, which are confirmed but not stored.
AFTER_THE_END = {"opened", "done"}
#: Number of disturbances per test: one at each place of some sessions.
SESSIONS = 5
TIMES = 50
assert len(PLACES) * SESSIONS == TIMES


def entry(name: str, **more: Any) -> dict[str, Any]:
    """The table of a source with nine levels."""
    return {
        "id": name, "codec": "JPEG", "reference": f"images/{name}_0.png", "levels": f"images/{name}_[1-9].png", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose sessions have two sources and a hidden test image."""
    folder = tmp_path_factory.mktemp("lasts")
    return taking_part.make_study(
        folder / "study", folder / "images",
        # On Prolific a completed visit shows its session again, and does not start another.
        platform={"kind": "prolific", "done": "DONE1", "screened_out": "OUT2", "failed": "FAIL3"},
        quota={"answers": 1000, "images": IMAGES - 1, "tests": 1},
        source=[entry(name) for name in SOURCES],
        training=[entry(TRAINING, **TRUTH[TRAINING])],
        test=[entry(HIDDEN, **TRUTH[HIDDEN])],
    )  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


class Sitting:
    """A session that a robot takes part in, and what the server confirmed of it."""

    def __init__(self, chromium: Any, port: int | None, *, before: str = "", seed: int = 1) -> None:
        size = {"width": 1440, "height": 860}
        self.context = chromium.new_context(viewport=size, screen=size, locale="en-GB")
        self.context.set_default_timeout(30_000)
        self.context.add_init_script(f"{before}\n({ROBOT})({seed})")
        # The navigation has no effect: the page stays, and the test can inspect it.
        self.context.route("https://app.prolific.com/**", lambda route: route.fulfill(status=204))
        self.address = f"http://127.0.0.1:{port}/?PROLIFIC_PID=person{seed:04}&SESSION_ID=visit{seed:04}"
        #: Events confirmed with status 200, and the statuses of all requests.
        self.confirmed: dict[int, tuple[str, Any]] = {}
        self.statuses: Counter[int] = Counter()
        #: Uncaught errors and console messages.
        self.noise: list[str] = []
        #: The person's answers to pictures, including those that never reached the server.
        self.said: list[dict[str, Any]] = []
        self.open()

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.noise.append(error.stack))
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.goto(self.address)

    def _note(self, response: Any) -> None:
        if not response.url.endswith("/api/events"):
            return
        self.statuses[response.status] += 1
        if response.status == 200:
            for event in json.loads(response.request.post_data)["events"]:
                self.confirmed[event["number"]] = (event["kind"], event["data"])

    def picture(self) -> int:
        """Number of the visible picture, or 0."""
        code = (
            "() => document.querySelector('.fj') && document.querySelector('#progress:not([hidden])')?.innerText || ''"
        )
        words = self.page.evaluate(code).split()
        return int(words[1]) if words[:1] == ["Picture"] else 0

    @property
    def over(self) -> bool:
        return bool(self.page.locator("text=All your answers are stored").count())

    def finish(self) -> None:
        self.page.wait_for_selector("text=All your answers are stored")
        self.said = json.loads(self.page.evaluate("localStorage.said"))

    def close(self) -> None:
        self.context.close()


def lasted(service: SessionService, sitting: Sitting, *, refused: bool = False) -> None:
    """Check that the last session is complete.

    What was confirmed is there once, but for what pages say after the end, each picture was answered once, in its turn,
    by what the person did, and nothing was complained of.
    """
    server = Server("", service)
    session = server.sessions[-1]
    events = server.events(session.id)
    assert session.step == "completed"
    assert [event["number"] for event in events] == list(range(len(events)))
    assert events[-1]["kind"] == PLACES[-2]
    for number, said in sitting.confirmed.items():
        if number < len(events):
            assert (events[number]["kind"], events[number]["data"]) == said
        else:
            # A page that did not know of the end may have answered what was answered already.
            assert said[0] in AFTER_THE_END or (refused and said[0] in ("frames", "trial", "survey")), said
    answers = [event["data"] for event in events if event["kind"] == "trial"]
    assert [answer["key"] for answer in answers] == [item.key for item in service.plan(session).trials]
    for number, answer in enumerate(answers, 1):
        given = [each for each in sitting.said if each["text"].startswith(f"Picture {number} ")]
        assert any(
            each["level"] == answer["pjnd"]
            and np.allclose(np.multiply(each["points"], (HEIGHT, WIDTH)), answer["points"], atol=1)
            for each in given
        ), f"nobody gave answer {number}"
    assert [text for text in sitting.noise if not text.startswith((EXPECTED, UNASKED))] == []
    if not refused:
        assert set(sitting.statuses) <= {200, 503}, "nothing was refused"
        assert [event for event in events if event["kind"] == "error"] == []


def place_of(server: Server, begun: int) -> int:
    """The place of session number `begun` as an index of `PLACES`; -1 before it has started."""
    if len(server.sessions) < begun:
        return -1
    session = server.sessions[-1]
    answered = sum(event["kind"] == "trial" for event in server.events(session.id))
    return PLACES.index(session.step) + (answered if session.step == "trial" else 0)


def arrive(sitting: Sitting, server: Server, begun: int, place: int) -> None:
    there = until(sitting.page, lambda: place_of(server, begun) >= place)
    assert there, f"it does not come to {PLACES[place]}"


def hits(sitting: Sitting, line: Line, seconds: float) -> bool:
    """Wait until the connection was disturbed as set; return whether it was."""
    before = line.hit
    return until(sitting.page, lambda: line.hit > before, seconds)


def gone(sitting: Sitting, how: str) -> None:
    if how == "reloaded":
        sitting.page.reload()
    else:
        sitting.page.close()
        sitting.open()


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "nothing kept"])
def test_a_page_that_is_reloaded_or_closed_goes_on(study: Path, chromium: Any, tmp_path: Path, keeps: bool) -> None:
    """At each place of a session and at any moment, also while an event is being sent or was just stored."""
    draws = random.Random(f"page {keeps}")
    done: Counter[str] = Counter()
    sessions = SESSIONS if keeps else 1
    private = "" if keeps else "Object.defineProperty(window, 'indexedDB', {get() { throw new Error('private'); }});"
    with taking_part.running(study, tmp_path / "answers.db") as server, laid(urlsplit(server.url).port or 0) as line:
        for begun in range(1, sessions + 1):
            sitting = Sitting(chromium, line.port, before=private, seed=begun)
            for place in range(len(PLACES)):
                arrive(sitting, server, begun, place)
                if draws.random() < 0.4:
                    # The server has stored the event, but the page never gets the confirmation.
                    line.be("reply held")
                    done["stored, and not told"] += hits(sitting, line, 1.5)
                else:
                    sitting.page.wait_for_timeout(draws.uniform(0, 400))
                how = draws.choice(["reloaded", "closed"])
                gone(sitting, how)
                line.be("open")
                done[how] += 1
            sitting.finish()
            lasted(server.service, sitting, refused=not keeps)
            sitting.close()
    print(f"pages: {dict(done)}")
    assert done["reloaded"] + done["closed"] == sessions * len(PLACES)
    assert min(done["reloaded"], done["closed"], 2 * done["stored, and not told"]) >= sessions * 2


def test_a_line_that_is_cut_loses_and_doubles_nothing(study: Path, chromium: Any, tmp_path: Path) -> None:
    """At each place of a session and at any moment; the next picture only shows once the answer is stored."""
    draws = random.Random("line")
    done: Counter[str] = Counter()
    with taking_part.running(study, tmp_path / "answers.db") as server, laid(urlsplit(server.url).port or 0) as line:
        for begun in range(1, SESSIONS + 1):
            sitting = Sitting(chromium, line.port, seed=begun)
            for place in range(len(PLACES)):
                arrive(sitting, server, begun, place)
                how = draws.choice(["offline", "down", "request lost", "reply lost"])
                sitting.page.wait_for_timeout(draws.uniform(0, 200))
                if how == "offline":
                    sitting.context.set_offline(True)
                else:
                    line.be(how)  # type: ignore[arg-type]
                if how.endswith("lost"):
                    hits(sitting, line, 1)
                sitting.page.wait_for_timeout(draws.uniform(50, 400))
                # Ask the page before the store: the store may only be ahead.
                picture = sitting.picture()
                assert picture <= max(0, place_of(server, begun) - PLACES.index("trial")) + 1
                sitting.context.set_offline(False)
                line.be("open")
                done[how] += 1
            sitting.finish()
            lasted(server.service, sitting)
            sitting.close()
    print(f"cuts: {dict(done)}, {line.hit} requests or replies lost")
    assert done.total() == TIMES
    assert min(done.values()) >= 5
    assert line.hit >= 10


@pytest.mark.parametrize("how", ["request lost", "reply held"])
def test_nothing_next_is_shown_before_the_answer_before_is_stored(
    study: Path, chromium: Any, tmp_path: Path, how: Any
) -> None:
    with taking_part.running(study, tmp_path / "answers.db") as server, laid(urlsplit(server.url).port or 0) as line:
        # The first picture is answered once the connection is disturbed, so that no earlier answer gets through.
        sitting = Sitting(chromium, line.port, before="window.waits = true;")
        page = sitting.page
        page.wait_for_function("() => window.seen.some(text => text.startsWith('Picture 1 '))")
        line.be(how)
        page.evaluate("window.waits = false")
        page.wait_for_selector(".saving")
        hit = line.hit
        shown = page.evaluate("window.seen")
        first = len([text for text in shown if text.startswith("Picture")])
        assert until(sitting.page, lambda: line.hit > hit or (how == "reply held" and line.hit > 0))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        # Long enough for a picture to be shown several times.
        page.evaluate(
            "async () => { for (let frame = 0; frame < 90; frame++) await new Promise(requestAnimationFrame) }"
        )
        assert page.locator(".fj").count() == page.locator("canvas").count() == 0
        assert page.locator(".saving").count() == 1
        assert page.evaluate("window.seen") == shown
        # At most the next picture is preloaded.
        trials = [item.key for item in server.service.plan(server.sessions[-1]).trials]
        images = [url.rpartition("/")[2].split(".") for url in asked if "/api/image/" in url]
        assert {trial for _, trial, _, _ in images} <= {*trials[first : first + 1]}
        stored = server.data("trial")
        assert len(stored) == first - (how == "request lost")
        line.be("open")
        page.wait_for_function("count => window.seen.length > count", arg=len(shown))
        assert len(server.data("trial")) >= first
        sitting.finish()
        lasted(server.service, sitting)
        sitting.close()


def test_two_pages_of_one_session(study: Path, chromium: Any, tmp_path: Path) -> None:
    """Without Web Locks, a second page can continue too: the first answer counts."""
    alone = "Object.defineProperty(navigator, 'locks', {value: undefined});"
    with taking_part.running(study, tmp_path / "answers.db") as server:
        sitting = Sitting(chromium, urlsplit(server.url).port, before=alone)
        # The page in front continues; the other one finds out that its question is answered already.
        arrive(sitting, server, 1, PLACES.index("trial"))
        first = sitting.page
        sitting.open()
        second = sitting.page
        arrive(sitting, server, 1, PLACES.index("trial") + 1)
        first.bring_to_front()
        arrive(sitting, server, 1, PLACES.index("trial") + 2)
        second.bring_to_front()
        sitting.finish()
        first.bring_to_front()
        first.wait_for_selector("text=All your answers are stored")
        lasted(server.service, sitting, refused=True)
        kinds = [event["kind"] for event in server.events()]
        assert kinds.count("opened") == 2
        assert sitting.statuses[409]
        sitting.close()


KILLS = 4
SERVE = """
import sys
from pathlib import Path
from pixq.study.server import run
run.serve(Path(sys.argv[1]), database=sys.argv[2], port=int(sys.argv[3]))
"""


def test_a_server_that_is_killed_under_open_pages(study: Path, chromium: Any, tmp_path: Path) -> None:
    """SIGKILL at any moment, and a restart on the same port: the open page continues, if need be after "Try again"."""
    draws = random.Random("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    database = tmp_path / "answers.db"
    command = [sys.executable, "-c", SERVE, str(study), str(database), str(port)]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    process = start()
    try:
        sitting = Sitting(chromium, port)
        kills, end = 0, time.monotonic() + 120
        while not sitting.over:
            assert time.monotonic() < end, f"it does not come to its end after {kills} kills"
            # Early enough that the page does not end before the last one on a slow machine either.
            if kills < KILLS and len(sitting.confirmed) > 2 * kills + 2:
                time.sleep(draws.uniform(0, 0.6))
                process.kill()
                process.communicate()
                process = start()
                kills += 1
            sitting.page.wait_for_timeout(50)
        sitting.finish()
        assert kills == KILLS
    finally:
        process.kill()
        process.communicate()
    store = open_store(str(database))
    lasted(SessionService(open_study(study), store, open_key(study / KEY_FILE)), sitting)
    store.close()
    sitting.close()
