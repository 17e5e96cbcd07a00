"""The experimenter's page in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from support import browser, studying
from support.studying import ADMIN, Page, Server

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Console message of the browser after a wrong token.
EXPECTED = "Failed to load resource: the server responded with a status of 401"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with studying.running(studying.make_study(tmp_path / "study"), str(tmp_path / "answers.db")) as found:
        yield found


@pytest.fixture
def shown(chromium: Any, server: Server) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1000, "height": 1500})
    noise: list[str] = []
    page.on("console", lambda each: noise.append(each.text))
    page.on("pageerror", lambda each: noise.append(str(each)))
    page.goto(f"http://127.0.0.1:{server.port}/admin")
    yield page
    assert [each for each in noise if not each.startswith(EXPECTED)] == []
    page.close()


def enter(page: Any, token: str) -> None:
    """Type the token, with the keyboard alone."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "token"
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def rows(page: Any, title: str) -> list[list[str]]:
    section = page.locator("section").filter(has=page.get_by_role("heading", name=title, exact=True))
    found: list[list[str]] = section.locator("tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def test_a_wrong_token_shows_nothing_and_can_be_corrected(shown: Any) -> None:
    assert shown.locator("#statistics").is_hidden()
    enter(shown, "wrong")
    shown.get_by_text("this is not the token of this study; copy it from admin.token").wait_for()
    assert shown.locator("#statistics").is_hidden()
    # The field is selected, so typing replaces the token.
    shown.keyboard.type(ADMIN)
    shown.keyboard.press("Enter")
    shown.get_by_text("As of").wait_for()
    assert shown.locator("#statistics").is_visible()


def test_an_empty_study(shown: Any) -> None:
    enter(shown, ADMIN)
    shown.get_by_text("As of").wait_for()
    assert shown.title() == "Where is it?"
    assert rows(shown, "All") == [
        ["answers that count, of those needed", "0 of 200"], ["people", "0"],
        ["people screened out by test images", "0"],
        ["test images passed", "–"], ["time per answer (median)", "–"], ["late frames", "–"],
    ]  # fmt: skip
    assert rows(shown, "Sources")[1] == ["SRC_A", "0 of 50", "0", "", "–", "–", "–"]
    assert shown.get_by_text("None yet.").count() == 2


def test_a_tab_that_nobody_looks_at_asks_for_nothing(shown: Any) -> None:
    asked: list[str] = []
    shown.on("request", lambda each: asked.extend(re.findall("/api/.*", each.url)))
    hide = "h => { Object.defineProperty(document, 'hidden', {get: () => h, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    shown.clock.install()
    enter(shown, ADMIN)
    shown.get_by_text("As of").wait_for()
    assert len(asked) == 1
    shown.evaluate(hide, True)
    shown.clock.run_for(300_000)
    shown.evaluate(hide, True)
    assert len(asked) == 1
    with shown.expect_response("**/api/admin"):
        shown.evaluate(hide, False)
    shown.evaluate(hide, False)
    assert len(asked) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_are_shown_and_renewed(shown: Any, server: Server, scheme: str) -> None:
    shown.emulate_media(color_scheme=scheme)
    for n in range(12):
        page = Page(server, {"participant": f"p{n}"}, n)
        page.start()
        page.go("survey" if n == 7 else "check" if n == 8 else "none")
    shown.clock.install()
    enter(shown, ADMIN)
    shown.get_by_text("As of").wait_for()
    assert ["completed", "10", "–"] in rows(shown, "Ended sessions")
    assert rows(shown, "Unfinished sessions by step")[1:] == [["check", "1"], ["survey", "1"]]
    bars = shown.locator("progress")
    # Answers of the session at its survey do not count yet.
    values = bars.evaluate_all("bars => bars.map(bar => bar.value)")
    assert (sum(values), bars.first.get_attribute("max"), bars.count()) == (20, "50", 4)
    assert bars.first.get_attribute("aria-label") == "SRC_A"
    declined = Page(server, {"participant": "no"})
    declined.start()
    declined.say("consent", {"agreed": False})
    assert ["failed", "0", "–"] in rows(shown, "Ended sessions")
    shown.clock.fast_forward(31_000)
    shown.get_by_text("consent 1").wait_for()
    assert ["failed", "1", "consent 1"] in rows(shown, "Ended sessions")
    # The token is only in its field.
    assert ADMIN not in shown.content() + shown.url
    shown.set_viewport_size({"width": 500, "height": 800})
    assert shown.evaluate(WIDER) <= 0, "as at twice the size"


def test_failures_are_shown_above_the_statistics(shown: Any, server: Server) -> None:
    enter(shown, ADMIN)
    shown.get_by_text("As of").wait_for()
    assert shown.locator("#failures").is_hidden()
    page = Page(server)
    page.start()
    # The file that is open is not the one that others see.
    path = server.service.store.name
    os.rename(path, f"{path}.moved")
    assert page.send(page.event("consent", {"agreed": True}))[0] == 503
    shown.get_by_role("button", name="Show").click()
    shown.get_by_text("answers can't be stored").wait_for()
    assert shown.get_by_role("alert").get_by_text("answers.db was deleted or replaced").is_visible()
    assert shown.locator("#statistics").is_visible()
