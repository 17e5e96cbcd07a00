"""The page of a study in a real browser: consent to completion, and what happens on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import browser
import standing_in
from standing_in import HEIGHT, LEVELS, WIDTH, Server

#: Shares of the picture, across and down, that are clicked.
PLACES = ((0.2, 0.25), (0.8, 0.75), (0.35, 0.5))
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SLIDER = ".fj-phase:not([hidden]) .fj-slider"
MAIN = ".fj-phase:not([hidden]) .fj-main:enabled"
#: What a browser says of the line, and of answers that are errors; the tests make them.
EXPECTED = "Failed to load resource: "


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not (standing_in.PAGE / "page.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[Server]:
    with standing_in.running() as found:
        yield found


@dataclass
class Person:
    """Somebody at a screen of a size, and all that the page complained of and asked for."""

    page: Any
    server: Server
    noise: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    passed: int = 0

    def arrive(self) -> None:
        self.page.goto(self.server.url)

    def reach(self, step: str) -> None:
        """Go on, by mouse, from where `reach` was last, until a step is shown."""
        steps = (
            ("consent", "#agree", self.agree),
            ("check", ".checks", lambda: self.page.click(".main:enabled")),
            ("calibration", "#card", lambda: self.page.click(".main")),
            ("instructions", "#example-slider", self.begin),
            ("training", SLIDER, lambda: self.answer(6)),
            ("feedback", ".fj-circle", lambda: self.page.click(".main")),
            ("trial", SLIDER, lambda: None),
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

    def click_places(self) -> None:
        box = self.page.locator(".fj-picture").bounding_box()
        for across, down in PLACES:
            self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])

    def answer(self, level: int) -> None:
        self.find(level)
        self.click_places()
        self.page.click(MAIN)

    def window(self, width: int, height: int) -> None:
        """Resize the window on the same screen."""
        session = self.page.context.new_cdp_session(self.page)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        session.send("Emulation.setDeviceMetricsOverride", {**metrics, "screenWidth": 1440, "screenHeight": 860})

    def quiet(self) -> None:
        assert [text for text in self.noise if not text.startswith(EXPECTED)] == []
        assert [url for url in self.asked if not url.startswith((self.server.url, f"blob:{self.server.url}"))] == []


@pytest.fixture
def sit(chromium: Any) -> Iterator[Any]:
    contexts = []

    def seat(server: Server, **options: Any) -> Person:
        size = {"width": 1440, "height": 860}
        context = chromium.new_context(**{"viewport": size, "screen": size, "locale": "en-GB", **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        person = Person(context.new_page(), server)
        person.page.on("console", lambda message: person.noise.append(message.text))
        person.page.on("pageerror", lambda error: person.noise.append(str(error)))
        person.page.on("request", lambda request: person.asked.append(request.url))
        return person

    yield seat
    for context in contexts:
        context.close()


@pytest.mark.parametrize("ratio", [1, 1.25, 2])
def test_by_mouse_from_consent_to_completion(sit: Any, server: Server, ratio: float) -> None:
    person = sit(server, device_scale_factor=ratio)
    page = person.page
    person.arrive()
    person.reach("calibration")
    # By the corner, to a card of 10 cm of 96 dots an inch: 400 CSS pixels.
    box = page.locator("#card").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3 + 400 - box["width"], box["y"] + box["height"] - 3, steps=3)
    page.mouse.up()
    page.click("button[aria-label='Larger']")
    page.click("button[aria-label='Smaller']")
    per_cm = 400 / 8.56
    person.reach("trial")
    for level in (5, 9):
        page.wait_for_function("trial => document.querySelector('#progress').innerText.includes(trial)", arg="Picture")
        index = len(server.data("trial"))
        # As large as it is to be, in whole device pixels, between two of which its edges lie.
        page.wait_for_selector(SLIDER)
        shown = page.locator(".fj-picture").bounding_box()
        assert shown["width"] == pytest.approx(13.797 * per_cm, abs=0.51 / ratio + 13.797 / 8.56 / ratio)
        assert shown["height"] == pytest.approx(10.347 * per_cm, abs=0.51 / ratio + 13.797 / 8.56 / ratio)
        for edge in (shown["x"], shown["y"], shown["width"], shown["height"]):
            assert edge * ratio == pytest.approx(round(edge * ratio), abs=0.02)
        canvas = page.evaluate("(({ width, height }) => [width, height])(document.querySelector('.fj-picture'))")
        assert canvas == [round(shown["width"] * ratio), round(shown["height"] * ratio)]
        person.answer(level)
        page.wait_for_function("([index]) => !document.querySelector('.saving')", arg=[index])
    page.wait_for_selector("textarea")
    page.click("text=very easy >> xpath=following-sibling::label[2]")
    page.click(".main")
    assert page.locator(".code").inner_text() == "C0DE"
    assert server.kinds() == [
        "consent", "check", "calibration", "instructions", "frames", "training",
        "frames", "trial", "frames", "trial", "survey", "done",
    ]  # fmt: skip
    assert [event["number"] for event in server.events] == list(range(len(server.events)))
    assert server.data("calibration")[0]["px_per_cm"] == pytest.approx(per_cm, rel=0.005)
    assert [answer["pjnd"] for answer in server.data("trial")] == [5, 9]
    for answer in server.data("trial"):
        assert answer["track"] == [[0, 0], [answer["track"][1][0], answer["pjnd"]]]
        assert answer["dpr"] == ratio
        # The mouse is on whole CSS pixels, at worst.
        allowed = WIDTH / answer["width_css"] * 1.01
        for (across, down), (y, x) in zip(PLACES, answer["points"], strict=True):
            assert (x, y) == (pytest.approx(across * WIDTH, abs=allowed), pytest.approx(down * HEIGHT, abs=allowed))
    assert server.data("survey")[0]["hard"] == 2
    kept = """() => new Promise(done => { const request = indexedDB.open("pixq-study");
      request.onsuccess = () => { const store = request.result.transaction("events").objectStore("events").count();
        store.onsuccess = () => done(store.result); } })"""
    assert page.evaluate(kept) == 0
    person.quiet()


def test_by_keyboard_from_consent_to_completion(sit: Any, server: Server) -> None:
    server.trials = 1
    person = sit(server)
    page, press = person.page, person.page.keyboard.press
    person.arrive()

    def to(selector: str) -> None:
        """By the tab key alone."""
        page.wait_for_selector(selector)
        for _ in range(30):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        raise AssertionError(f"{selector} can't be reached")

    to("#agree")
    press("Space")
    to("main .main")
    press("Enter")
    page.wait_for_selector(".checks ~ .actions .main:enabled")
    to(".checks ~ .actions .main")
    press("Enter")
    to("#card")
    before = float(page.get_attribute("#card", "aria-valuenow"))
    for key in ("Shift+ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        press(key)
    assert float(page.get_attribute("#card", "aria-valuenow")) == before + 13
    to(".sheet .main")
    press("Enter")
    to("#example-slider")
    press("End")
    to(".sheet .main:enabled")
    press("Enter")
    for last in (False, True):
        page.wait_for_selector(SLIDER)
        for _ in range(6):
            press("ArrowRight")
        to(MAIN)
        press("Enter")
        # The picture has the focus, and its cross is in the middle.
        page.wait_for_selector(".fj-cursor")
        press("Enter")
        press("Shift+ArrowRight")
        press("Shift+ArrowDown")
        press("Enter")
        press("Backspace")
        press("Enter")
        for _ in range(3):
            press("ArrowLeft")
        press("Enter")
        to(MAIN)
        press("Enter")
        if not last:
            page.wait_for_selector(".fj-circle")
            to(".fj-controls .main")
            press("Enter")
            page.wait_for_selector("#progress >> text=Picture 1")
    page.wait_for_selector("textarea")
    to("input[name=glasses]")
    press("Space")
    to("#remarks")
    page.keyboard.type("nothing")
    to(".main")
    press("Enter")
    page.wait_for_selector(".code")
    [answer] = server.data("trial")
    assert answer["pjnd"] == 6
    assert [level for _, level in answer["track"]] == list(range(7))
    (y1, x1), (y2, x2), (y3, x3) = answer["points"]
    assert (y1, x1) == (HEIGHT / 2, WIDTH / 2)
    assert (y2, x2) == (HEIGHT / 2 + 1, WIDTH / 2 + 1)
    step = 12 * WIDTH / answer["width_css"]
    assert (y3, x3) == (y2, pytest.approx(x2 - 3 * step))
    assert server.data("survey")[0] == {"hard": None, "sure": None, "glasses": "none", "remarks": "nothing"}
    person.quiet()


def test_what_may_not_be_done_yet(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    page.wait_for_selector("#agree")
    assert page.is_disabled(".main")
    person.reach("training")
    found = page.locator(".fj-phase:not([hidden]) .fj-main")
    assert found.is_disabled()
    slider = page.locator(SLIDER)
    slider.fill("4")
    page.wait_for_selector(MAIN)
    slider.fill("0")
    assert found.is_disabled(), "nothing flickers at 0"
    slider.fill("3")
    found.click()
    person.click_places()
    person.click_places()
    assert page.locator(".fj-point").count() == 3
    page.click("text=Take back the last point")
    assert page.locator(".fj-point").count() == 2
    assert page.locator(".fj-phase:not([hidden]) .fj-main").is_disabled()
    page.click("text=Change the strength")
    assert page.locator(".fj-point").count() == 0


def test_training_says_what_was_expected_and_lets_try_again(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.reach("training")
    person.answer(15)
    person.page.wait_for_selector(".fj-circle")
    words = person.page.inner_text(".fj-controls")
    assert "You chose 15" in words
    assert "between 4 and 8" in words
    assert person.page.locator(".fj-point").count() == 3
    person.page.click("text=Try this picture again")
    person.answer(8)
    person.page.wait_for_selector("text=Well done")
    assert [answer["pjnd"] for answer in server.data("training")] == [15, 8]


def test_level_0_is_the_reference_alone_and_others_alternate(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    # The colours of the picture's upper left, over a second.
    look = """async () => {
      const seen = new Set(), canvas = document.querySelector(".fj-picture"), end = performance.now() + 1000;
      const context = canvas.getContext("2d");
      while (performance.now() < end) {
        await new Promise(done => requestAnimationFrame(done));
        seen.add(context.getImageData(0, 0, 60, 60).data.join());
      }
      return seen.size; }"""
    assert page.evaluate(look) == 1
    page.locator(SLIDER).fill("20")
    page.wait_for_selector(MAIN)
    assert page.evaluate(look) == 2
    page.locator(SLIDER).fill("0")
    assert page.evaluate(look) == 1


def test_a_reload_goes_on_at_the_same_image(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    person.answer(5)
    page.wait_for_selector("#progress >> text=Picture 2 of 2")
    person.find(7)
    page.mouse.click(600, 400)
    page.reload()
    page.wait_for_selector("#progress >> text=Picture 2 of 2")
    person.answer(9)
    page.wait_for_selector("textarea")
    assert [answer["pjnd"] for answer in server.data("trial")] == [5, 9]
    assert server.kinds(but=()).count("opened") == 2
    assert server.kinds().count("calibration") == 1, "the calibration outlives the page"


def test_an_answer_outlives_the_line_and_the_page(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    server.down = True
    person.answer(5)
    page.wait_for_selector("#banner:not([hidden])")
    assert page.is_visible(".saving"), "nothing next is shown before it is stored"
    assert server.data("trial") == []
    page.reload()
    page.wait_for_selector("#banner:not([hidden])")
    server.down = False
    page.wait_for_selector("#progress >> text=Picture 2 of 2")
    assert not page.is_visible("#banner")
    assert [answer["pjnd"] for answer in server.data("trial")] == [5]


def test_a_cut_line_is_waited_for(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    page.wait_for_timeout(300)  # the other levels
    page.context.set_offline(True)
    person.answer(5)
    page.wait_for_selector("#banner:not([hidden])")
    page.context.set_offline(False)
    page.wait_for_selector("#progress >> text=Picture 2 of 2")
    person.answer(6)
    page.wait_for_selector("textarea")
    assert [answer["pjnd"] for answer in server.data("trial")] == [5, 6]


def test_a_smaller_window_is_covered_and_time_stands_still(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    page.locator(SLIDER).fill("5")
    page.wait_for_selector(MAIN)
    person.window(1200, 700)
    page.wait_for_selector(".cover:not([hidden]) >> text=1200 × 700")
    assert page.evaluate("document.querySelector('main').inert")
    page.wait_for_timeout(1500)
    person.window(1440, 860)
    page.wait_for_selector(".cover", state="hidden")
    page.click(MAIN)
    person.click_places()
    page.click(MAIN)
    page.wait_for_selector("#progress >> text=Picture 2 of 2")
    assert server.data("blocked")[0]["problems"] == ["small"]
    assert server.kinds().index("resumed") == server.kinds().index("blocked") + 1
    assert server.data("frames")[-1]["paused_ms"] >= 1400
    person.window(1420, 840)
    page.wait_for_selector(".cover:not([hidden]) >> text=it was 1440 × 860 and is 1420 × 840")


def test_a_broken_image_is_told_and_never_blank(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("instructions")
    server.broken = {2}
    person.begin()
    page.wait_for_selector(".fj-message >> text=could not be loaded")
    assert [event["image"] for event in server.data("error")] == ["training-0-2"]
    server.broken = set()
    page.click("text=Try again")
    person.answer(6)
    page.wait_for_selector("text=Well done")


def test_what_is_near_the_slider_is_loaded_first(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.reach("training")
    person.page.wait_for_timeout(500)
    assert server.asked[0] == 0
    assert set(server.asked[:9]) <= set(range(11))
    assert sorted(server.asked) == list(range(LEVELS + 1)), "each once"


def test_a_screen_that_is_too_low_ends_after_three_tries(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    server.public = {**server.public, "min_screen_cm": 40}
    person.arrive()
    person.reach("calibration")
    for tries in (2, 3):
        page.click(".main:enabled")
        page.wait_for_selector(f".error >> text=try {tries} of 3")
    page.click(".main:enabled")
    page.wait_for_selector("text=Thank you for coming")
    assert len(server.data("calibration")) == 3


def test_whoever_declines_is_asked_nothing_more(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.page.click("text=I don't want to take part")
    person.page.wait_for_selector("text=Thank you for coming")
    assert server.kinds() == ["consent", "done"]


def test_a_phone_is_turned_away(sit: Any, server: Server) -> None:
    person = sit(server, user_agent="Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140 Mobile", is_mobile=True)
    person.arrive()
    person.agree()
    person.page.wait_for_selector("text=Thank you for coming")
    assert server.data("check")[0]["mobile"] is True


def test_a_small_window_is_named_and_mended(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.reach("check")
    person.window(1300, 860)
    person.page.wait_for_selector(".bad >> text=1300 × 860")
    assert person.page.is_disabled(".main")
    person.window(1440, 860)
    person.page.click(".main:enabled")
    person.page.wait_for_selector("#card")


def test_a_second_tab_waits(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.page.wait_for_selector("#agree")
    other = person.page.context.new_page()
    other.goto(server.url)
    other.wait_for_selector("text=another tab")
    person.page.close()
    other.wait_for_selector("#agree")


def test_german_and_the_platforms_parameters(sit: Any, server: Server) -> None:
    person = sit(server, locale="de-DE")
    person.page.goto(server.url + "?PROLIFIC_PID=abc&STUDY_ID=def")
    person.page.wait_for_selector("text=Bevor Sie beginnen")
    assert person.page.get_attribute("html", "lang") == "de"
    person.page.select_option("#language", "en")
    person.page.wait_for_selector("text=Before you begin")
    person.agree()
    person.page.wait_for_selector(".checks")
    assert server.starts[0]["platform"] == {"PROLIFIC_PID": "abc", "STUDY_ID": "def"}
    assert server.data("consent")[0]["language"] == "en"
    assert server.data("consent")[0]["version"] == "1"
    person.page.reload()
    person.page.wait_for_selector("text=Your screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_twice_the_size_fits(sit: Any, server: Server, scheme: str) -> None:
    person = sit(
        server, color_scheme=scheme, viewport={"width": 1360, "height": 760}, screen={"width": 1360, "height": 760}
    )
    page = person.page
    page.add_init_script(
        "document.addEventListener('DOMContentLoaded', () => document.documentElement.style.fontSize = '200%')"
    )
    person.arrive()
    for step in ("consent", "check", "calibration", "instructions", "training"):
        person.reach(step)
        assert page.evaluate(WIDER) == 0, step
    place = page.locator(".fj-picture").bounding_box()
    person.find(6)
    assert page.locator(".fj-picture").bounding_box() == place, "the picture stays where it is"
    assert page.evaluate(WIDER) == 0


def test_pixels_are_never_markup(sit: Any, server: Server) -> None:
    """What the study's file says is text, whatever it looks like."""
    server.public = {**server.public, "title": "<b>T</b>", "consent": {"en": "<img src=x onerror=alert(1)>", "de": "-"}}
    person = sit(server)
    person.arrive()
    person.page.wait_for_selector("text=<img src=x onerror=alert(1)>")
    assert person.page.inner_text("#title") == "<b>T</b>"
    assert json.dumps(server.data("error")) == "[]"
    person.quiet()
