"""The page in a browser whose text is twice as large: nothing is cut off, and nothing covers anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import taking_part
from support.taking_part import MAIN, SLIDER, Person, Server, one

#: Twice the text size, as set in a browser.
LARGE = ("--blink-settings=defaultFontSize=32,minimumFontSize=24",)
#: Visible texts and controls without their containers: their boxes on the page, and whether they are cut off.
SHOWN = """() => [...document.querySelectorAll(
  "main h1, main p, main li, main label, main output, main input, main button, main progress, header span")]
  .filter(each => each.checkVisibility() && !each.closest(".fj-said"))
  .filter(each => each.textContent.trim() || each.matches("input"))
  .map(each => { const { left, top, right, bottom } = each.getBoundingClientRect();
    return { name: each.id || each.className || each.textContent.slice(0, 30), left, top: top + scrollY, right,
      bottom: bottom + scrollY,
      lost: each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display != "inline",
      inside: Boolean(each.closest(".fj-message")), use: each.matches("input, button") } })"""
PAGE = """(({ clientWidth, scrollWidth, scrollHeight }) =>
  [clientWidth, scrollWidth, scrollHeight])(document.documentElement)"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def server(images: Path, tmp_path: Path) -> Iterator[Server]:
    with taking_part.serving(images, tmp_path) as serve:
        yield serve()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium(*LARGE) as opened:
        yield opened


@pytest.fixture
def sit(chromium: Any) -> Iterator[Any]:
    with taking_part.seats(chromium) as seat:
        yield seat


def all_there(page: Any, step: str) -> None:
    """Check that nothing is cut off or outside the window, and that no control covers another one or the picture."""
    client, wide, high = page.evaluate(PAGE)
    assert wide <= client, step
    boxes = page.evaluate(SHOWN)
    assert boxes
    picture = page.evaluate(
        "() => { const box = document.querySelector('.fj-picture, .card')?.getBoundingClientRect(); return box && "
        "{ left: box.left, right: box.right, top: box.top + scrollY, bottom: box.bottom + scrollY } }"
    )

    def over(one: dict[str, Any], other: dict[str, Any]) -> bool:
        across = min(one["right"], other["right"]) - max(one["left"], other["left"])
        return bool(across > 1 and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 1)

    for number, box in enumerate(boxes):
        where = (step, box["name"])
        assert not box["lost"], where
        assert box["left"] >= -0.5, where
        assert box["right"] <= client + 0.5, where
        assert box["top"] >= -0.5, where
        assert box["bottom"] <= high + 0.5, where
        if picture and not box["inside"]:
            assert not over(box, picture), where
        if box["use"]:
            assert not any(over(box, other) for other in boxes[number + 1 :] if other["use"]), where


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_text_of_twice_the_size_loses_nothing(sit: Any, server: Server, locale: str) -> None:
    person: Person = sit(server, locale=locale)
    page = person.page
    person.arrive()
    for step in ("consent", "check", "calibration"):
        person.reach(step)
        all_there(page, step)
    for _ in range(15):
        page.keyboard.press("Shift+ArrowRight")
    all_there(page, "calibration, larger")
    for _ in range(15):
        page.keyboard.press("Shift+ArrowLeft")
    person.reach("instructions")
    page.route("**/api/image/**", lambda route: route.fulfill(status=503, body="-"))
    person.begin()
    person.passed += 1
    page.wait_for_selector(".fj-progress")
    around = page.locator(".fj-surround").bounding_box()
    all_there(page, "loading")
    page.wait_for_selector(".fj-broken")
    all_there(page, "broken")
    page.unroute_all()
    page.click(".fj-message button")
    page.wait_for_selector(SLIDER)
    all_there(page, "slider, at 0")
    assert page.locator(".fj-surround").bounding_box() == around, "nothing moves once the picture is there"
    person.find(15)
    all_there(page, "points")
    person.click_places()
    all_there(page, "points, all")
    page.click(MAIN)
    page.wait_for_selector(".fj-circle")
    all_there(page, "feedback")
    page.click(".fj-controls .main")
    person.answer(6)
    page.wait_for_selector(".fj-circle")
    page.click(".fj-controls .main")
    for number in (1, 2):
        person.until_picture(number)
        all_there(page, "trial")
        person.answer(6)
    page.wait_for_selector("textarea")
    all_there(page, "survey")
    if locale == "en-GB":
        for name in ("1, very easy", "5, very hard", "1, not at all", "5, very", "No"):
            assert one(page, "radio", name)["focusable"]
    page.click("main .main")
    page.wait_for_selector(".end")
    all_there(page, "end")
