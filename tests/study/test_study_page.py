"""The page of a study in a real browser, on the real server: consent to completion, and what happens on the way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixq.study.session.participants import links
from support import taking_part
from support.studying import KEY
from support.taking_part import LEVELS, MAIN, SLIDER, Server

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: The colours of the picture's upper left, over a time.
LOOK = """async ms => {
  const seen = new Set(), canvas = document.querySelector(".fj-picture"), end = performance.now() + ms;
  const context = canvas.getContext("2d");
  while (performance.now() < end) {
    await new Promise(done => requestAnimationFrame(done));
    seen.add(context.getImageData(0, 0, 60, 60).data.join());
  }
  return seen.size; }"""
CARD_CM = 8.56


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


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


@pytest.fixture
def sit(chromium: Any) -> Iterator[Any]:
    with taking_part.seats(chromium) as seat:
        yield seat


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
    person.until_picture(1)
    assert page.evaluate(LOOK, 1000) == 1
    page.locator(SLIDER).fill("20")
    page.wait_for_selector(MAIN)
    assert page.evaluate(LOOK, 1000) == 2
    page.locator(SLIDER).fill("0")
    assert page.evaluate(LOOK, 1000) == 1


def test_a_reload_goes_on_at_the_same_image(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    person.answer(5)
    person.until_picture(2)
    person.find(7)
    page.mouse.click(600, 400)
    page.reload()
    person.until_picture(2)
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
    page.route("**/api/*", lambda route: route.fulfill(status=503, body='{"error": "down"}'))
    person.answer(5)
    page.wait_for_selector("#banner:not([hidden])")
    assert page.is_visible(".saving"), "nothing next is shown before it is stored"
    assert server.data("trial") == []
    page.reload()
    page.wait_for_selector("#banner:not([hidden])")
    page.unroute("**/api/*")
    person.until_picture(2)
    assert not page.is_visible("#banner")
    assert [answer["pjnd"] for answer in server.data("trial")] == [5]


def test_a_cut_line_is_waited_for(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    # All of the first picture: that of training, and its own.
    person.until_loaded(2 * (LEVELS + 1))
    page.context.set_offline(True)
    person.answer(5)
    page.wait_for_selector("#banner:not([hidden])")
    page.context.set_offline(False)
    person.until_picture(2)
    person.answer(6)
    page.wait_for_selector("textarea")
    assert [answer["pjnd"] for answer in server.data("trial")] == [5, 6]


#: What changes, what the cover says of it, and what is logged.
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "small": ({"width": 1200, "height": 700}, "1200 × 700"),
    "size": ({"width": 1420, "height": 840}, "it was 1440 × 860 and is 1420 × 840"),
    "zoom": ({"width": 1152, "height": 688, "ratio": 1.25}, "zoom changed, to 125 %"),
    "monitor": ({"width": 1440, "height": 860, "screen": (1920, 1080)}, "moved to another screen"),
}


@pytest.mark.parametrize("problem", CHANGES)
def test_what_changed_is_covered_and_time_stands_still(sit: Any, server: Server, problem: str) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    person.until_picture(1)
    page.locator(SLIDER).fill("5")
    page.wait_for_selector(MAIN)
    assert page.evaluate(LOOK, 600) == 2
    metrics, words = CHANGES[problem]
    person.window(**metrics)
    page.wait_for_selector(f".cover:not([hidden]) >> text={words}")
    assert page.evaluate("document.querySelector('main').inert")
    # Nothing flickers, and keys don't move the slider.
    assert page.evaluate(LOOK, 1400) == 1
    page.keyboard.press("ArrowRight")
    page.locator(SLIDER).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(SLIDER).input_value() == "5"
    person.window(1440, 860)
    page.wait_for_selector(".cover", state="hidden")
    assert page.evaluate(LOOK, 600) == 2
    page.click(MAIN)
    person.click_places()
    page.click(MAIN)
    person.until_picture(2)
    assert server.data("blocked")[0]["problems"] == [problem]
    assert server.kinds().index("resumed") == server.kinds().index("blocked") + 1
    assert server.data("frames")[-1]["paused_ms"] >= 1400
    [answer] = server.data("trial")
    assert [level for _, level in answer["track"]] == [0, 5]
    at = {event["kind"]: event["at"] for event in server.events()}
    # The time to the answer is without the pause, which lies between the last event before and the answer.
    assert answer["shown_ms"] <= at["trial"] - at["training"] - server.data("frames")[-1]["paused_ms"]


def test_the_screen_can_be_measured_again(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("trial")
    person.answer(5)
    person.until_picture(2)
    person.window(1400, 800)
    page.wait_for_selector(".cover:not([hidden])")
    page.click("text=Measure again")
    page.wait_for_selector("#card")
    for _ in range(2):
        page.click("button[aria-label='Much larger']")
    per_cm = page.locator("#card").bounding_box()["width"] / CARD_CM
    page.click(".main")
    person.until_picture(2)
    assert page.is_hidden(".cover")
    person.answer(8)
    page.wait_for_selector("textarea")
    first, second = server.data("trial")
    assert second["px_per_cm"] == pytest.approx(per_cm) != first["px_per_cm"]
    assert second["width_css"] == pytest.approx(13.797 * per_cm, abs=0.6)
    assert server.kinds().count("calibration") == 1, "it is no step of the study"
    assert server.data("recalibration")[-1]["px_per_cm"] == pytest.approx(per_cm)


def test_a_broken_image_is_told_and_never_blank(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("instructions")
    second = re.compile(r"/api/image/[0-9a-f]+\.[0-9a-f]+\.2\.")
    page.route(second, lambda route: route.fulfill(body="nothing", content_type="image/png"))
    person.begin()
    page.wait_for_selector(".fj-message >> text=could not be loaded")
    assert person.page.locator(".fj-picture").count() == 0, "nothing blank"
    assert [event["image"].split(".")[2] for event in server.data("error")] == ["2"]
    page.unroute(second)
    page.click("text=Try again")
    person.answer(6)
    page.wait_for_selector("text=Well done")


def test_what_is_near_the_slider_is_loaded_first(sit: Any, server: Server) -> None:
    person = sit(server)
    person.arrive()
    person.reach("training")
    # All of the picture, and the first file of the next one.
    person.until_loaded(LEVELS + 2)
    keys = [url.rpartition("/")[2].split(".") for url in person.asked if "/api/image/" in url]
    asked = [int(level) for _, trial, level, _ in keys if trial == keys[0][1]]
    assert asked[0] == 0
    assert set(asked[:9]) <= set(range(11))
    assert sorted(asked) == list(range(LEVELS + 1)), "each once"


def test_a_screen_that_is_too_low_ends_after_three_tries(sit: Any, served: Any) -> None:
    server = served(min_screen_cm=40.0)
    person = sit(server)
    page = person.page
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
    with person.page.context.expect_page() as opened:
        person.page.click("text=Open-source licenses")
    assert "Joshua R. de Leeuw" in opened.value.inner_text("body")
    opened.value.close()
    person.page.click("text=I don't want to take part")
    person.page.wait_for_selector("text=Thank you for coming")
    assert server.kinds() == ["consent"]


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


def test_german_and_a_language_of_ones_own_choice(sit: Any, server: Server) -> None:
    person = sit(server, locale="de-DE")
    person.arrive()
    person.page.wait_for_selector("text=Bevor Sie beginnen")
    assert person.page.get_attribute("html", "lang") == "de"
    person.page.select_option("#language", "en")
    person.page.wait_for_selector("text=Before you begin")
    person.agree()
    person.page.wait_for_selector(".checks")
    assert server.data("consent")[0]["language"] == "en"
    assert server.data("consent")[0]["version"] == "1"
    person.page.reload()
    person.page.wait_for_selector("text=Your screen")


def test_german_from_consent_to_completion(sit: Any, server: Server) -> None:
    """And none of the English is left."""
    person = sit(server, locale="de-AT")
    page = person.page
    person.arrive()
    english = json.loads((taking_part.PAGE.parent / "web" / "texts" / "en.json").read_text("utf-8"))
    german = json.loads((taking_part.PAGE.parent / "web" / "texts" / "de.json").read_text("utf-8"))
    foreign = {
        text for key, text in english.items() if isinstance(text, str) and german[key] != text and "{" not in text
    }
    for step in ("consent", "check", "calibration", "instructions", "training", "feedback", "trial"):
        person.reach(step)
        assert set(page.inner_text("body").splitlines()) & foreign == set(), step
    person.answer(5)
    person.until_picture(2)
    person.answer(5)
    page.wait_for_selector("textarea")
    page.click(".main")
    page.wait_for_selector(f"text={german['completed_text']}")
    for answer in server.exported():
        # What the page measured and what the server saw agree.
        assert (answer.fetched or 0) >= 9
        assert (answer.watched or 0.0) >= (answer.shown_ms or math.inf) / 1000
        assert not {"overstated", "page_times", "server_times"} & set(answer.flags)


#: Codes that Prolific gave a study.
CODES = {"done": "DONE1", "screened_out": "OUT2", "failed": "FAIL3"}


@pytest.mark.parametrize("agrees", [True, False])
def test_prolific_gets_its_participants_back(sit: Any, served: Any, agrees: bool) -> None:
    server = served(platform={"kind": "prolific", **CODES})
    person = sit(server)
    page = person.page
    page.context.route("https://app.prolific.com/**", lambda route: route.fulfill(body="welcome back"))
    person.arrive(server.url.partition("?")[0] + "?PROLIFIC_PID=5f1e7a0b9c8d&STUDY_ID=6a&SESSION_ID=77e0d1c2b3a4")
    if agrees:
        person.reach("trial")
        person.answer(5)
        person.until_picture(2)
        person.answer(8)
        page.wait_for_selector("textarea")
        page.click(".main")
    else:
        page.click("text=I don't want to take part")
    code = CODES["done" if agrees else "failed"]
    page.wait_for_selector(f".code >> text={code}")
    # Not before the server has all.
    assert server.kinds()[-1] == ("survey" if agrees else "consent")
    assert server.sessions[0].step == ("completed" if agrees else "failed")
    page.wait_for_url(f"https://app.prolific.com/submissions/complete?cc={code}")
    assert "5f1e7a0b9c8d" not in json.dumps(server.events())


def test_somebody_who_has_not_looked_gets_no_code(sit: Any, served: Any) -> None:
    server = served(platform={"kind": "prolific", **CODES}, qualification={"unwatched": 0.0})
    person = sit(server)
    person.arrive(server.url.partition("?")[0] + "?PROLIFIC_PID=5f1e7a0b9c8d&STUDY_ID=6a&SESSION_ID=77e0d1c2b3a4")
    person.reach("trial")
    person.answer(5)
    person.until_picture(2)
    person.answer(8)
    person.page.wait_for_selector("textarea")
    person.page.click(".main")
    person.page.wait_for_selector("text=We look at them before we confirm that you took part")
    assert "study@example.org" in person.page.inner_text(".end")
    assert person.page.locator(".code, .end a").count() == 0
    assert server.sessions[0].step == "completed"


def test_a_full_study_invites_people_back(sit: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = served(platform={"kind": "prolific", **CODES})
    person = sit(server)
    full = {"step": "full", "next": 0, "index": 0, "of": 0, "reason": "full", "completion": None, "minutes": 7}
    with monkeypatch.context() as patch:
        patch.setattr(server.service._admission, "draw", lambda *_: (None, full))
        person.arrive(server.url.partition("?")[0] + "?PROLIFIC_PID=5f1e7a0b9c8d&STUDY_ID=6a&SESSION_ID=77e0d1c2b3a4")
        person.page.wait_for_selector("text=All places are taken at the moment")
        assert "in about 7 min" in person.page.inner_text(".end")
        assert person.page.locator(".code, .end a").count() == 0
    person.page.click("text=Try again")
    person.page.wait_for_selector("#agree")


def test_a_link_of_ones_own(sit: Any, served: Any) -> None:
    server = served(platform={"kind": "link", **CODES})
    own = server.url.partition("?")[0]
    [token] = links(KEY, 1)
    person = sit(server)
    page = person.page
    person.arrive(f"{own}t/{token}")
    person.reach("trial")
    person.answer(5)
    person.until_picture(2)
    page.reload()
    person.until_picture(2)
    person.answer(20)
    page.wait_for_selector("textarea")
    page.click(".main")
    page.wait_for_selector(".code >> text=DONE1")
    assert server.exported()[1].passed is False, "20 is not within the range"
    stranger = sit(server)
    stranger.arrive(f"{own}t/{token[:-1]}{'1' if token[-1] == '0' else '0'}")
    stranger.page.wait_for_selector("text=this link is not one of the study's")
    assert len(server.sessions) == 1


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


def test_what_the_studys_file_says_is_text(sit: Any, served: Any) -> None:
    """Never markup, whatever it looks like."""
    text = "<img src=x onerror=alert(1)>"
    server = served(title="<b>T</b>", consent={"en": text, "de": "-"})
    person = sit(server)
    person.arrive()
    person.page.wait_for_selector(f"text={text}")
    assert person.page.inner_text("#title") == "<b>T</b>"
    assert server.data("error") == []
    person.quiet()
