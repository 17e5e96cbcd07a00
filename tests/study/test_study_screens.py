"""The whole flow on one screen that the system scales by 100, 125 and 200 %: by mouse alone, and by keyboard alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import taking_part
from support.taking_part import HEIGHT, HIDDEN, MAIN, PLACES, SLIDER, WIDTH, Person, Server, press_tab_to

#: A screen of so many device pixels, so many of which are a centimetre, whatever the system scales by.
SCREEN, DEVICE_PX_PER_CM = (2880, 1720), 50
CARD_CM = 8.56
#: What is kept in the browser.
KEPT = """() => new Promise(done => { const request = indexedDB.open("pixq-study");
  request.onsuccess = () => { const store = request.result.transaction("events").objectStore("events").count();
    store.onsuccess = () => done(store.result); } })"""
ALL_KINDS = [
    "consent", "check", "calibration", "instructions", "frames", "training",
    "frames", "trial", "frames", "trial", "survey",
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def served(images: Path, tmp_path: Path) -> Iterator[Any]:
    with taking_part.serving(images, tmp_path) as serve:
        yield serve


@pytest.fixture(scope="module")
def shared(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A study that everybody shares who needs nothing special of it."""
    with taking_part.serving(images, tmp_path_factory.mktemp("shared")) as serve:
        yield serve()


@pytest.fixture
def server(shared: Server) -> Server:
    """The shared study, as the test's own participant sees it."""
    return shared.seen_by(f"person{len(shared.sessions)}")


@pytest.fixture(scope="module", params=[1, 1.25, 2])
def scaled(request: pytest.FixtureRequest) -> Iterator[tuple[float, Any]]:
    """One and the same screen, where the system shows everything so many times as large: the factor, and seats.

    It is the screen that is set, as the system does, and not Playwright's `device_scale_factor`: under that, pages are
    laid out in CSS pixels and enlarged, and nothing lies where it lies on a real screen.
    """
    ratio = request.param
    options = (
        f"--screen-info={{{SCREEN[0]}x{SCREEN[1]} devicePixelRatio={ratio}}}",
        f"--window-size={int(SCREEN[0] / ratio)},{int(SCREEN[1] / ratio)}",
    )
    with taking_part.chromium(*options) as opened, taking_part.seats(opened) as seat:

        def sit(server: Server) -> Person:
            person: Person = seat(server, no_viewport=True, viewport=None, screen=None)
            assert person.page.evaluate("devicePixelRatio") == ratio
            return person

        yield ratio, sit


def in_device_pixels(page: Any) -> tuple[int, int, int, int]:
    """Where the picture is on the screen, and its size, as a photo of the screen has them."""
    around = page.locator(".fj-surround")
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    ratio = page.evaluate("devicePixelRatio")
    box = {name: value * ratio for name, value in around.bounding_box().items()}
    # Without its round corners.
    left, top = round(box["x"] + 12 * ratio), round(box["y"] + 12 * ratio)
    inside = shot[
        top : round(box["y"] + box["height"] - 12 * ratio), left : round(box["x"] + box["width"] - 12 * ratio)
    ]
    other = (inside != 0x80).any(2)
    rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
    found = left + columns[0], top + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return tuple(map(int, found))  # type: ignore[return-value]


def fit_the_card(person: Person, ratio: float) -> None:
    """Make the frame as large on the screen as a card: first by its corner, then by buttons."""
    page = person.page
    box = page.locator("#card").bounding_box()
    x, y = box["x"] + box["width"] - 3, box["y"] + box["height"] - 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + CARD_CM * DEVICE_PX_PER_CM / ratio - box["width"] - 5, y, steps=3)
    page.mouse.up()
    for _ in range(40):
        wrong = page.locator("#card").bounding_box()["width"] * ratio - CARD_CM * DEVICE_PX_PER_CM
        if abs(wrong) <= 0.5:
            return
        page.click(f"button[aria-label='{'Smaller' if wrong > 0 else 'Larger'}']")
    raise AssertionError(f"the card can't be fitted: {wrong}")


def test_by_mouse_from_consent_to_completion(scaled: tuple[float, Any], server: Server) -> None:
    """On one screen, whatever the system scales by: the picture has its centimetres, and points are where they are."""
    ratio, sit = scaled
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("calibration")
    fit_the_card(person, ratio)
    person.reach("trial")
    places = []
    for number, level in ((1, 5), (2, 9)):
        person.until_picture(number)
        # As large as it is to be, in whole device pixels, between two of which its edges lie.
        left, top, width, height = in_device_pixels(page)
        assert width == round(13.797 * DEVICE_PX_PER_CM)
        assert height == round(10.347 * DEVICE_PX_PER_CM)
        shown = page.locator(".fj-picture").bounding_box()
        for edge in (shown["x"], shown["y"], shown["width"], shown["height"]):
            assert edge * ratio == pytest.approx(round(edge * ratio), abs=0.02)
        canvas = page.evaluate("(({ width, height }) => [width, height])(document.querySelector('.fj-picture'))")
        assert canvas == [width, height]
        person.find(level)
        places.append(
            [(0.5 + round(left + across * width), 0.5 + round(top + down * height)) for across, down in PLACES]
        )
        for x, y in places[-1]:
            page.mouse.click(x / ratio, y / ratio)
        places[-1] = [((y - top) * HEIGHT / height, (x - left) * WIDTH / width) for x, y in places[-1]]
        page.click(MAIN)
    page.wait_for_selector("textarea")
    page.click("text=very easy >> xpath=following-sibling::label[2]")
    page.click(".main")
    page.wait_for_selector("text=All your answers are stored")
    assert server.kinds() == ALL_KINDS
    assert [event["number"] for event in server.events()] == list(range(len(server.events())))
    [calibrated] = server.data("calibration")
    assert calibrated["px_per_cm"] == pytest.approx(DEVICE_PX_PER_CM / ratio, rel=0.002)
    assert calibrated["screen_height"] / calibrated["px_per_cm"] == pytest.approx(
        SCREEN[1] / DEVICE_PX_PER_CM, rel=0.005
    )
    answers = server.exported()
    assert [answer.level for answer in answers] == [5, 9]
    # The second is the hidden one; its level and two of the points are right.
    assert [(answer.kind, answer.passed) for answer in answers] == [("source", None), ("test", True)]
    assert answers[1].source == HIDDEN
    for answer, expected in zip(answers, places, strict=True):
        assert answer.dpr == ratio
        assert answer.track is not None
        assert [level for _, level in answer.track] == [0, answer.level]
        assert answer.width_css is not None
        assert answer.px_per_cm is not None
        assert answer.width_css / answer.px_per_cm == pytest.approx(13.797, abs=1.5 / DEVICE_PX_PER_CM)
        # A place of a mouse is a CSS pixel at best.
        allowed = WIDTH / answer.width_css + 0.01
        assert np.abs(np.array(answer.points) - np.array(expected)).max() <= allowed
    assert server.data("survey")[0]["hard"] == 2
    assert page.evaluate(KEPT) == 0
    person.quiet()


def test_by_keyboard_from_consent_to_completion(scaled: tuple[float, Any], server: Server) -> None:
    ratio, sit = scaled
    person = sit(server)
    page, press = person.page, person.page.keyboard.press
    person.arrive()

    def to(selector: str) -> None:
        press_tab_to(page, selector)

    to("#agree")
    press("Space")
    to("main .main")
    press("Enter")
    page.wait_for_selector(".checks ~ .actions .main:enabled")
    to(".checks ~ .actions .main")
    press("Enter")
    to("#card")
    before = page.locator("#card").bounding_box()["width"]
    for key in ("Shift+ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        press(key)
    assert page.locator("#card").bounding_box()["width"] == pytest.approx(before + 13 / ratio, abs=0.1)
    to(".sheet .main")
    press("Enter")
    to("#example-slider")
    press("End")
    to(".sheet .main:enabled")
    press("Enter")
    expected: list[list[tuple[float, float]]] = []
    for picture in ("training", 1, 2):
        page.wait_for_selector(SLIDER)
        for _ in range(8):
            press("ArrowRight")
        to(MAIN)
        press("Enter")
        # The picture has the focus, and its cross is in the middle.
        page.wait_for_selector(".fj-cursor")
        step = 12 * WIDTH / page.locator(".fj-picture").bounding_box()["width"]
        at, points = (HEIGHT / 2, WIDTH / 2), []
        for place in ((45, 55), (190, 260)):
            moves = [round((wanted - now) / step) for wanted, now in zip(place, at, strict=True)]
            for move, (less, more) in zip(moves, (("Up", "Down"), ("Left", "Right")), strict=True):
                for _ in range(abs(move)):
                    press(f"Arrow{more if move > 0 else less}")
            at = (at[0] + moves[0] * step, at[1] + moves[1] * step)
            press("Enter")
            points.append(at)
        for key in ("Enter", "Backspace", "Shift+ArrowLeft", "Shift+ArrowDown", "Enter"):
            press(key)
        points.append((at[0] + 1, at[1] - 1))
        expected.append(points)
        to(MAIN)
        press("Enter")
        if picture == "training":
            page.wait_for_selector("text=Well done")
            to(".fj-controls .main")
            press("Enter")
            person.until_picture(1)
        elif picture == 1:
            person.until_picture(2)
    page.wait_for_selector("textarea")
    to("input[name=glasses]")
    press("Space")
    to("#survey-remarks")
    page.keyboard.type("nothing")
    to(".main")
    press("Enter")
    page.wait_for_selector("text=All your answers are stored")
    answers = server.exported()
    assert [(answer.kind, answer.passed) for answer in answers] == [("source", None), ("test", True)]
    for answer, points in zip(answers, expected[1:], strict=True):
        assert answer.level == 8
        assert answer.track is not None
        assert [level for _, level in answer.track] == list(range(9))
        assert np.array(answer.points) == pytest.approx(np.array(points), abs=1e-6)
    assert server.data("survey")[0] == {"hard": None, "sure": None, "glasses": "none", "remarks": "nothing"}
    person.quiet()


def test_a_native_pixel_is_a_device_pixel(scaled: tuple[float, Any], served: Any) -> None:
    server = served(scaling="native")
    ratio, sit = scaled
    person = sit(server)
    person.arrive()
    person.reach("trial")
    person.until_picture(1)
    left, top, width, height = in_device_pixels(person.page)
    assert (width, height) == (WIDTH, HEIGHT)
    # And it is the file's pixel, on the canvas and on the screen: nothing is resampled.
    name = server.service.plan(server.sessions[0]).trials[0].source
    reference = Image.open(server.service.opened.sources[name].levels[0].path).convert("RGB")
    shot = Image.open(io.BytesIO(person.page.screenshot())).convert("RGB")
    assert np.array_equal(np.asarray(shot.crop((left, top, left + width, top + height))), np.asarray(reference))
    person.answer(7)
    person.until_picture(2)
    [answer] = server.data("trial")
    assert (answer["width_css"], answer["height_css"]) == (WIDTH / ratio, HEIGHT / ratio)
