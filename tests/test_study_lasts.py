"""Sessions in a real browser whose page is reloaded or closed, whose line is cut, and whose server is killed."""

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

import pytest

import taking_part
from pixq.study.conduct import Conductor
from pixq.study.files import open_study
from pixq.study.privacy import KEY_FILE, open_key
from pixq.study.store import open_store
from taking_part import Server

pytestmark = pytest.mark.slow

#: Somebody in a hurry: does what the page asks for, as soon as it does, and notes which pictures it showed.
ROBOT = """() => {
  const find = selector => document.querySelector(selector);
  const press = selector => { const found = find(selector); if (found) found.click(); return Boolean(found); };
  window.seen = [];
  const act = () => {
    if (find(".cover:not([hidden])") || find(".saving")) return;
    const slider = find(".fj-phase:not([hidden]) .fj-slider");
    if (slider) {
      const text = find("#progress").innerText;
      if (window.seen.at(-1) !== text) window.seen.push(text);
      slider.value = String(1 + Math.floor(Math.random() * slider.max));
      slider.dispatchEvent(new Event("input"));
      press(".fj-phase:not([hidden]) .fj-main:enabled");
    } else if (find(".fj-aim")) {
      const box = find(".fj-aim").getBoundingClientRect();
      const at = (start, size) => start + Math.random() * size;
      const place = { clientX: at(box.left, box.width), clientY: at(box.top, box.height), bubbles: true };
      find(".fj-aim").dispatchEvent(new MouseEvent("click", place));
    } else if (find("#agree")) {
      if (!find("#agree").checked) press("#agree");
      press(".main:enabled");
    } else if (find("#example-slider")) {
      find("#example-slider").value = "50";
      find("#example-slider").dispatchEvent(new Event("input"));
      press(".main:enabled");
    } else press(".fj-phase:not([hidden]) .fj-main:enabled") || press(".main:enabled");
  };
  setInterval(() => { if (document.readyState === "complete" && !window.still) act(); }, 15);
}"""
IMAGES = 12
#: Times that something is done to sessions, in each test.
TIMES = 50


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of eleven sources and a hidden image a session."""
    folder = tmp_path_factory.mktemp("lasts")
    quota = {"answers": 1000, "images": IMAGES - 1, "tests": 1}
    return taking_part.make_study(folder / "study", folder / "images", IMAGES - 1, quota=quota)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


class Sitting:
    """A session that a robot takes part in, and what the server confirmed of it."""

    def __init__(self, chromium: Any, address: str) -> None:
        size = {"width": 1440, "height": 860}
        self.context = chromium.new_context(viewport=size, screen=size, locale="en-GB")
        self.context.set_default_timeout(30_000)
        self.context.add_init_script(f"({ROBOT})()")
        self.address = address
        #: Events that an answer of 200 came for, and statuses of all.
        self.confirmed: dict[int, tuple[str, Any]] = {}
        self.statuses: Counter[int] = Counter()
        self.noise: list[str] = []
        self.open()

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.goto(self.address)

    def _note(self, response: Any) -> None:
        if not response.url.endswith("/api/events"):
            return
        self.statuses[response.status] += 1
        if response.status == 200:
            for event in json.loads(response.request.post_data)["events"]:
                self.confirmed[event["number"]] = (event["kind"], event["data"])

    def place(self) -> int:
        """Number of the picture that is shown, 0 where there is none."""
        code = (
            "() => document.querySelector('.fj') && document.querySelector('#progress:not([hidden])')?.innerText || ''"
        )
        words = self.page.evaluate(code).split()
        return int(words[1]) if words[:1] == ["Picture"] else 0

    @property
    def over(self) -> bool:
        return bool(self.page.locator("text=All your answers are stored").count())

    def close(self) -> None:
        self.context.close()


def lasted(conductor: Conductor, sitting: Sitting) -> None:
    """The last session is whole: what was confirmed is there once, and each picture was answered once, in its turn."""
    server = Server("", conductor)
    session = server.sessions[-1]
    events = server.events(session.id)
    assert session.step == "completed"
    assert [event["number"] for event in events] == list(range(len(events)))
    for number, said in sitting.confirmed.items():
        assert (events[number]["kind"], events[number]["data"]) == said
    keys = [item.key for item in conductor.course(session).trials]
    assert [event["data"]["key"] for event in events if event["kind"] == "trial"] == keys
    assert set(sitting.statuses) <= {200, 503}, "nothing was refused"
    assert sitting.noise == []


def answered(server: Server) -> int:
    return sum(event["kind"] == "trial" for event in server.events(server.sessions[-1].id))


@pytest.mark.parametrize("how", ["reloaded", "closed"])
def test_a_page_that_is_gone_goes_on_at_the_same_image(study: Path, chromium: Any, tmp_path: Path, how: str) -> None:
    draws = random.Random(f"page {how}")
    done = sessions = 0
    with taking_part.running(study, tmp_path / "answers.db") as server:
        while done < TIMES // 2:
            sessions += 1
            sitting = Sitting(chromium, f"{server.url}{sessions}")
            # Each time it gets a picture farther before it goes again, on average.
            while not sitting.over:
                if done < TIMES // 2 and (place := sitting.place()):
                    sitting.page.wait_for_timeout(draws.uniform(0, 900))
                    before = max(place, sitting.place())
                    if how == "reloaded":
                        sitting.page.reload()
                    else:
                        sitting.page.close()
                        sitting.open()
                    done += 1
                    sitting.page.wait_for_function(
                        "() => window.seen?.some(text => text.startsWith('Picture')) || document.querySelector('form, .code')"
                    )
                    place = int(
                        (
                            sitting.page.evaluate("window.seen.find(text => text.startsWith('Picture'))") or "0 99"
                        ).split()[1]
                    )
                    # Its answer may have been under way.
                    assert before <= place <= before + 1 or place == 99
                sitting.page.wait_for_timeout(50)
            lasted(server.conductor, sitting)
            sitting.close()
    assert sessions > 1


def cut(sitting: Sitting, draws: random.Random) -> None:
    """Cut the line for a while, in one of three ways; nothing next is shown meanwhile."""
    how = draws.choice(["offline", "request lost", "reply lost"])

    def lose(route: Any) -> None:
        if how == "reply lost":
            route.fetch()
        route.abort()

    if how == "offline":
        sitting.context.set_offline(True)
    else:
        sitting.page.route("**/api/events", lose)
    sitting.page.wait_for_timeout(draws.uniform(50, 700))
    if how == "offline":
        sitting.context.set_offline(False)
    else:
        sitting.page.unroute("**/api/events", lose)


def test_a_line_that_is_cut_loses_and_doubles_nothing(study: Path, chromium: Any, tmp_path: Path) -> None:
    draws = random.Random("line")
    done = sessions = 0
    with taking_part.running(study, tmp_path / "answers.db") as server:
        while done < TIMES:
            sessions += 1
            sitting = Sitting(chromium, f"{server.url}{sessions}")
            sitting.page.wait_for_selector("#agree, .checks, #card")
            while not sitting.over:
                if done < TIMES:
                    cut(sitting, draws)
                    done += 1
                    # What is shown is at most one farther than what is stored; the store is asked after the page.
                    if place := sitting.place():
                        assert place <= answered(server) + 1
                sitting.page.wait_for_timeout(draws.uniform(20, 300))
            lasted(server.conductor, sitting)
            sitting.close()


def test_nothing_next_is_shown_before_the_answer_before_is_stored(study: Path, chromium: Any, tmp_path: Path) -> None:
    with taking_part.running(study, tmp_path / "answers.db") as server:
        sitting = Sitting(chromium, server.url)
        page = sitting.page
        page.wait_for_function("() => window.seen.includes('Picture 2 of 12')")
        # Where the next picture is all there already, too.
        page.wait_for_timeout(300)
        page.route("**/api/events", lambda route: route.abort())
        page.wait_for_selector(".saving")
        shown, before = page.evaluate("window.seen"), answered(server)
        page.wait_for_timeout(2500)
        assert page.locator(".fj-picture").count() == 0
        assert page.evaluate("window.seen") == shown
        assert answered(server) == before
        page.unroute("**/api/events")
        page.wait_for_function("count => window.seen.length > count", arg=len(shown))
        assert answered(server) > before
        sitting.close()


SERVE = """
import sys
from pathlib import Path
from pixq.study import service
service.serve(Path(sys.argv[1]), database=sys.argv[2], port=int(sys.argv[3]))
"""


def test_a_server_that_is_killed_under_open_pages(study: Path, chromium: Any, tmp_path: Path) -> None:
    """-9 at any moment, and started again at the same place: the open page goes on by itself."""
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
        sitting = Sitting(chromium, f"http://127.0.0.1:{port}/?participant=somebody")
        kills = 0
        while not sitting.over:
            if kills < 4 and sitting.place() > 2 * kills:
                time.sleep(draws.uniform(0, 0.6))
                process.kill()
                process.communicate()
                process = start()
                kills += 1
            sitting.page.wait_for_timeout(50)
        assert kills == 4
    finally:
        process.kill()
        process.communicate()
    store = open_store(str(database))
    lasted(Conductor(open_study(study), store, open_key(study / KEY_FILE)), sitting)
    store.close()
    sitting.close()
