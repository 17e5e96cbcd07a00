"""The page with a screen reader, with the keyboard alone, and with reduced motion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import taking_part
from support.taking_part import MAIN, SLIDER, Server, heard, one, until

#: Number of pictures that the canvas shows in a second.
CHANGES = """async () => {
  const context = document.querySelector(".fj-picture").getContext("2d"), end = performance.now() + 1000;
  let before = "", changes = -1;
  while (performance.now() < end) {
    await new Promise(done => requestAnimationFrame(done));
    const now = context.getImageData(0, 0, 60, 60).data.join();
    if (now !== before) changes++;
    before = now;
  }
  return changes; }"""
#: Elements that style sheets animate.
MOVING = """() => [...document.querySelectorAll("*")].flatMap(each => {
    const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(each);
    const moves = animationName !== "none" || parseFloat(transitionDuration) > 0 || scrollBehavior === "smooth";
    return moves ? [each.className] : [];
  }).concat(document.getAnimations().map(String))"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def server(images: Path, tmp_path: Path) -> Iterator[Server]:
    with taking_part.serving(images, tmp_path) as serve:
        yield serve()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


@pytest.fixture
def sit(chromium: Any) -> Iterator[Any]:
    with taking_part.seats(chromium) as seat:
        yield seat


def said_of_value(page: Any) -> str:
    """The value text of the focused element; the tree that Chromium returns here only has the number."""
    found: str = page.evaluate("document.activeElement.ariaValueText")
    return found


def live(page: Any) -> list[str]:
    """The texts of live regions, which a screen reader announces when they change."""
    found: list[str] = page.locator("[role=status], [role=alert], [aria-live=polite]").evaluate_all(
        "all => all.filter(each => each.closest('[hidden]') === null).map(each => each.textContent).filter(Boolean)"
    )
    return found


def named(page: Any) -> None:
    """Check that every control has a name."""
    roles = ("button", "checkbox", "radio", "slider", "textbox", "combobox", "link", "application", "progressbar")
    names = [(each["role"], each["name"]) for each in heard(page) if each["role"] in roles]
    assert names
    assert all(name for _, name in names), names


def test_what_a_screen_reader_hears_of_the_calibration(sit: Any, server: Server) -> None:
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("consent")
    named(page)
    assert one(page, "checkbox", "I have read this, I am of legal age, and I take part voluntarily.")["focusable"]
    person.reach("check")
    page.wait_for_selector("main .main:enabled")
    assert [each["name"] for each in heard(page) if each["role"] == "image"] == ["fine"] * 4
    person.reach("calibration")
    named(page)
    frame = one(page, "slider", "Size of the frame")
    assert frame["focused"]
    assert frame["value"] == 324
    assert said_of_value(page) == "324 pixels wide"
    assert "Use the arrow keys to change the size" in frame["description"]
    page.keyboard.press("ArrowRight")
    assert said_of_value(page) == "325 pixels wide"
    for name in ("Much smaller", "Smaller", "Larger", "Much larger", "The frame fits my card"):
        assert one(page, "button", name)["focusable"]


def test_what_a_screen_reader_hears_of_a_trial(sit: Any, server: Server) -> None:
    person = sit(server)
    page, press = person.page, person.page.keyboard.press
    person.arrive()
    person.reach("training")
    named(page)
    slider = one(page, "slider", "Strength of the change")
    assert slider["focused"]
    assert said_of_value(page) == "0, no change"
    assert slider["description"].startswith("Move the slider to the lowest strength")
    assert one(page, "image", "The picture, alternating with its changed copy")
    found = one(page, "button", "I found the critical point")
    assert found["disabled"]
    assert found["description"] == "Move the slider first."
    assert live(page) == ["Move the slider first."]
    press("ArrowRight")
    page.wait_for_selector(MAIN)
    assert said_of_value(page) == "1"
    assert live(page) == []
    press("ArrowLeft")
    assert live(page) == ["At 0 nothing changes; choose a higher strength."]
    press("ArrowRight")
    page.wait_for_selector(MAIN)
    page.focus(MAIN)
    press("Enter")
    picture = one(page, "application", "Picture. Arrow keys move the cross, Enter sets a point.")
    assert picture["focused"]
    assert picture["description"].startswith("Now mark the 3 places")
    assert picture["description"].endswith("3 more to mark.")
    assert one(page, "button", "Next picture")["description"] == "3 more to mark."
    named(page)
    press("ArrowRight")
    left, said = live(page)
    assert left == "3 more to mark."
    assert said.endswith("% from the left, 50 % from the top"), "where the cross is"
    press("Enter")
    left, said = live(page)
    assert left == "2 more to mark."
    assert said.startswith("Point 1 set, ")
    press("Backspace")
    assert live(page) == ["3 more to mark.", "Point 1 taken back."]
    for _ in range(3):
        press("Enter")
    assert live(page)[0] == "All marked."
    assert one(page, "button", "Next picture")["focused"]
    page.click("text=Change the strength")
    assert live(page) == [], "what was said of points is over"


def test_pictures_that_load_are_told_once(sit: Any, server: Server) -> None:
    """The number of loaded pictures is the value of the progress bar, which a screen reader can request."""
    person = sit(server)
    page = person.page
    person.arrive()
    person.reach("instructions")
    waiting: list[Any] = []
    page.route("**/api/image/**", lambda route: waiting.append(route))
    person.begin()
    page.wait_for_selector(".fj-progress")
    page.evaluate(
        "() => { window.told = 0; new MutationObserver(all => (window.told += all.filter(each => "
        "each.target.matches('.fj-message')).length)).observe(document.querySelector('.fj-message'), "
        "{ childList: true }) }"
    )
    assert one(page, "progressbar", "Loading the pictures…")["value"] == 0
    assert until(page, lambda: len(waiting) >= 4)
    for route in waiting[:3]:
        route.continue_()
    page.wait_for_selector(".fj-progress[value='3']")
    assert page.evaluate("told") == 0
    for route in waiting[3:]:
        route.continue_()
    page.unroute_all()
    page.wait_for_selector(SLIDER)


def test_keys_reach_everything_and_leave_it_again(sit: Any, server: Server) -> None:
    """The tab key follows the reading order, and the focus is visible."""
    person = sit(server)
    page = person.page
    person.arrive()
    orders = {
        "consent": ["language", "agree", "I don't want to take part", "Open-source licenses"],
        "calibration": ["card", "− −", "−", "+", "+ +", "The frame fits my card"],
        "training": ["fj-slider"],
    }
    for step, order in orders.items():
        person.reach(step)
        page.wait_for_selector(SLIDER if step == "training" else "main .main")
        page.evaluate("document.activeElement.blur()")
        page.evaluate(
            "document.querySelector('header')"
            ".append(Object.assign(document.createElement('i'), { tabIndex: 0, id: 'top' }))"
        )
        page.focus("#top")
        seen = []
        for _ in range(len(order)):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "(({ id, className, textContent }, style) => [id.startsWith('fj-') ? className : id || textContent, "
                "style.outlineStyle])(document.activeElement, getComputedStyle(document.activeElement))"
            )
            seen.append(name)
            assert outline != "none", (step, name)
        assert seen == order
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.activeElement.id === 'top'"), step
        page.evaluate("document.getElementById('top').remove()")


def test_who_wants_less_motion_gets_the_flicker_alone(sit: Any, server: Server) -> None:
    person = sit(server, reduced_motion="reduce")
    page = person.page
    person.arrive()
    for step in ("consent", "check", "calibration", "instructions", "training"):
        person.reach(step)
        assert page.evaluate(MOVING) == [], step
    page.locator(SLIDER).fill("20")
    page.wait_for_selector(MAIN)
    assert page.evaluate(CHANGES) >= 4
    assert page.evaluate(MOVING) == []
