"""A session in a real browser whose server is killed under it."""

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
    } else if (!document.body.innerText.includes("can't go on")) {
      // A page that says so is left as it is, for the test to fail by.
      press(".fj-phase:not([hidden]) .fj-main:enabled") || press(".main:enabled");
    }
  };
  setInterval(() => { if (document.readyState === "complete" && !window.still) act(); }, 15);
}"""
IMAGES = 12


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
        #: Errors that nobody caught.
        self.noise: list[str] = []
        self.open()

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.noise.append(error.stack))
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
