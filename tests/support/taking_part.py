"""A study that a browser takes part in, on the real server, and the people who do, for the tests of its page."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pixq.study.results.answers import Answer, answers_of
from pixq.study.results.load import load_results
from pixq.study.server.routes_page import read_page
from pixq.study.session.service import SessionService
from pixq.study.session.viewing import ViewingRecord
from pixq.study.store.records import Session
from support import browser, studies, studying, trees

PAGE = Path(__file__).parents[2] / "python" / "pixq" / "study" / "page"
#: Of all images, in pixels.
WIDTH, HEIGHT = 320, 240
LEVELS = 20
#: Sources, training and test images; the files are named after them.
SOURCES = ("quince", "medlar", "sorrel", "tansy")
TRAINING, HIDDEN = "bryony", "campion"
#: Accepted levels and places; what is known of the hidden image are numbers that nobody would send by chance.
TRUTH: dict[str, dict[str, Any]] = {
    TRAINING: {"pjnd_range": [4, 8], "points_yx": [[45, 55], [190, 260], [30, 90]]},
    HIDDEN: {"pjnd_range": [7, 9], "points_yx": [[61.0625, 63.1875], [178.3125, 257.4375], [33.5625, 94.6875]]},
}
#: Shares of the picture, across and down, that are clicked; two of them are right for both.
PLACES = ((0.2, 0.25), (0.8, 0.75), (0.35, 0.5))
CONSENT = {
    "en": "We study which changes of pictures people notice.\n\nIt takes about ten minutes. You may stop at any "
    "time by closing the page. We keep your answers under a pseudonym, and nothing else of you.",
    "de": "Wir untersuchen, welche Veränderungen von Bildern Menschen bemerken.\n\nEs dauert etwa zehn Minuten. "
    "Sie können jederzeit aufhören. Wir behalten Ihre Antworten unter einem Pseudonym.",
}
SLIDER = ".fj-phase:not([hidden]) .fj-slider"
MAIN = ".fj-phase:not([hidden]) .fj-main:enabled"
#: What a browser says of the line, and of answers that are errors; the tests make them.
EXPECTED = "Failed to load resource: "


@cache
def picture(level: int, seed: int = 3) -> NDArray[np.uint8]:
    """A photo; from level 1 on, two of its corners get worse."""
    pixels = np.ascontiguousarray(trees.photo(seed, (HEIGHT, WIDTH)))
    if level:
        worse = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(level / 4)))
        pixels[:90, :110] = worse[:90, :110]
        pixels[140:, 200:] = worse[140:, 200:]
    return pixels


@cache
def _images(folder: Path) -> Path:
    for seed, name in enumerate((*SOURCES, TRAINING, HIDDEN)):
        for level in range(LEVELS + 1):
            path = folder / f"{name}_{level}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(level, seed)).save(path, compress_level=1)
    return folder


def make_study(folder: Path, images: Path, sources: int = len(SOURCES), **more: Any) -> Path:
    """Write a study of some sources, one training and one hidden test image, with `more` in its file.

    Parameters
    ----------
    folder
        Of the study.
    images
        A folder where its images are kept for other studies; made once.
    sources
        How many; from the fifth on they are files of the first four under other names.
    """
    shutil.copytree(_images(images), folder / "images", copy_function=os.link)

    names = list(SOURCES[:sources])
    for number in range(len(SOURCES), sources):
        names.append(f"{SOURCES[number % 4]}{number}")
        for level in range(LEVELS + 1):
            os.link(images / f"{SOURCES[number % 4]}_{level}.png", folder / "images" / f"{names[-1]}_{level}.png")

    def entry(name: str) -> dict[str, Any]:
        files = {"reference": f"images/{name}_0.png", "levels": f"images/{name}_[1-9]*.png"}
        return {"id": name, "codec": "JPEG", **files, **TRUTH.get(name, {})}

    tables = {
        "title": "Where does it flicker?", "contact": "study@example.org", "languages": ["en", "de"],
        "consent": CONSENT, "quota": {"answers": 50, "images": 1, "tests": 1},
        "source": [entry(name) for name in names], "training": [entry(TRAINING)], "test": [entry(HIDDEN)], **more,
    }  # fmt: skip
    (folder / "study.toml").write_text(studies.toml(tables), "utf-8")
    return folder


@dataclass
class Server:
    """A running study, and what it has stored: of everybody, or of one participant."""

    url: str
    service: SessionService
    participant: str | None = None

    def seen_by(self, name: str) -> Server:
        """The same study, for a participant of this name."""
        url = f"{self.url.partition('?')[0]}?participant={name}"
        return Server(url, self.service, studying.KEY.pseudonym("local", name))

    @property
    def sessions(self) -> list[Session]:
        everybody = self.service.store.sessions()
        return [each for each in everybody if self.participant in (None, each.participant)]

    def events(self, session: int | None = None) -> list[dict[str, Any]]:
        """All events of a session; of the only one, where there is one."""
        if session is None:
            [session] = [each.id for each in self.sessions]
        events = self.service.store.events(session)
        return [
            {"number": each.number, "kind": each.kind, "at": each.at, "data": json.loads(each.data)} for each in events
        ]

    def kinds(self, *, but: tuple[str, ...] = ("opened",)) -> list[str]:
        return [event["kind"] for event in self.events() if event["kind"] not in but]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events() if event["kind"] == kind]

    def exported(self) -> list[Answer]:
        """The answers as they are exported."""
        rows, events, _ = load_results(self.service)
        answers = answers_of(self.service.study, rows, events)
        return [answer for answer in answers if self.participant in (None, answer.participant)]


@contextmanager
def running(folder: Path, database: Path, *, port: int = 0) -> Iterator[Server]:
    """The study's server, with the page that was built, in a thread."""
    watching = ViewingRecord()
    with studying.running(folder, str(database), page=read_page(), port=port, viewings=watching) as found:
        yield Server(f"http://127.0.0.1:{found.port}/?participant=somebody", found.service)


@contextmanager
def serving(images: Path, folder: Path) -> Iterator[Callable[..., Server]]:
    """What serves a study with `more` in its file: `serve(**more)`; see `make_study`."""
    with ExitStack() as stack:

        def serve(**more: Any) -> Server:
            study = make_study(folder / "study", images, **more)
            return stack.enter_context(running(study, folder / "answers.db"))

        yield serve


@contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """A browser, where the page was built."""
    if not (PAGE / "page.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    with browser.opened(*options) as opened:
        yield opened


def press_tab_to(page: Any, selector: str) -> None:
    """Move the focus to an element with the Tab key alone."""
    page.wait_for_selector(selector)
    for _ in range(30):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} can't be reached")


@dataclass
class Person:
    """Somebody at a screen, and all that the page complained of and asked for."""

    page: Any
    server: Server
    noise: list[str] = field(default_factory=list)
    #: Of what was complained of, the errors that nobody caught; `seats` sees that there are none.
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    passed: int = 0

    def arrive(self, address: str = "") -> None:
        self.page.goto(address or self.server.url)

    def reach(self, step: str) -> None:
        """Go on, by mouse, from where `reach` was last, until a step is shown."""
        steps = (
            ("consent", "#agree", self.agree),
            ("check", ".checks", lambda: self.page.click(".main:enabled")),
            ("calibration", "#card", lambda: self.page.click(".main")),
            ("instructions", "#example-slider", self.begin),
            ("training", SLIDER, lambda: self.answer(6)),
            ("feedback", ".fj-circle", lambda: self.page.click(".main")),
            ("trial", "#progress >> text=/^(Picture|Bild) /", lambda: None),
        )
        for name, marker, act in steps[self.passed :]:
            self.page.wait_for_selector(marker)
            if name == step:
                return
            act()
            self.passed += 1

    def agree(self) -> None:
        self.page.check("#agree")
        self.page.click(".main:enabled")

    def begin(self) -> None:
        self.page.locator("#example-slider").fill("50")
        self.page.click(".main:enabled")

    def find(self, level: int) -> None:
        self.page.wait_for_selector(SLIDER)
        self.page.locator(SLIDER).fill(str(level))
        self.page.click(MAIN)

    def click_places(self, places: Sequence[tuple[float, float]] = PLACES) -> None:
        box = self.page.locator(".fj-picture").bounding_box()
        for across, down in places:
            self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])

    def answer(self, level: int) -> None:
        self.find(level)
        self.click_places()
        self.page.click(MAIN)

    def until_loaded(self, images: int) -> None:
        """Wait until so many files of images have arrived since the page was opened."""
        arrived = "() => performance.getEntriesByType('resource').filter(e => e.name.includes('/api/image/')).length"
        self.page.wait_for_function(f"images => ({arrived})() >= images", arg=images)

    def until_picture(self, number: int) -> None:
        """Wait for one of those that are asked about, from 1."""
        self.page.wait_for_selector(f"#progress >> text=/^(Picture|Bild) {number} /")
        self.page.wait_for_selector(SLIDER)

    def window(self, width: int, height: int, *, ratio: float = 1, screen: tuple[int, int] = (1440, 860)) -> None:
        """Another size of the window, and what else is given."""
        session = self.page.context.new_cdp_session(self.page)
        metrics = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
        session.send(
            "Emulation.setDeviceMetricsOverride", {**metrics, "screenWidth": screen[0], "screenHeight": screen[1]}
        )

    def quiet(self) -> None:
        """Nothing was complained of, and nobody but the server was asked."""
        own = self.server.url.partition("?")[0]
        assert [text for text in self.noise if not text.startswith(EXPECTED)] == []
        assert [url for url in self.asked if not url.startswith((own, f"blob:{own}"))] == []


@contextmanager
def seats(opened: Any) -> Iterator[Any]:
    """What seats a person at a screen of their own: `seat(server, **options of Playwright's context)`."""
    contexts = []
    people: list[Person] = []

    def seat(server: Server, **options: Any) -> Person:
        size = {"width": 1440, "height": 860}
        context = opened.new_context(**{"viewport": size, "screen": size, "locale": "en-GB", **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        person = Person(context.new_page(), server)
        person.page.on("console", lambda message: person.noise.append(message.text))
        for heard in (person.noise, person.errors):
            person.page.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
        person.page.on("request", lambda request: person.asked.append(request.url))
        people.append(person)
        return person

    yield seat
    for context in contexts:
        context.close()
    assert [error for person in people for error in person.errors] == []


def heard(page: Any) -> list[dict[str, Any]]:
    """What a screen reader reads, from Chromium's accessibility tree: role, name, value, description, state."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    found = []
    for node in session.send("Accessibility.getFullAXTree")["nodes"]:
        if node.get("ignored"):
            continue
        each = {key: node.get(key, {}).get("value", "") for key in ("role", "name", "value", "description")}
        found.append(each | {own["name"]: own["value"].get("value") for own in node.get("properties", [])})
    session.detach()
    return found


def one(page: Any, role: str, name: str) -> dict[str, Any]:
    """The only one of a role and a name."""
    [found] = [each for each in heard(page) if (each["role"], each["name"]) == (role, name)]
    return found


def until(page: Any, there: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait for what the page does, or its server; gives whether it did."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(10)
    return True
