"""A study's own survey in a real browser: questions of every kind, what is required, and what was typed wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import taking_part
from support.surveys import SURVEY
from support.taking_part import press_tab_to


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with taking_part.serving(tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("study")) as serve:
        yield serve


@pytest.fixture(scope="module")
def server(serve: Any) -> taking_part.Server:
    found: taking_part.Server = serve(survey=SURVEY, quota={"answers": 50, "images": 1, "tests": 0})
    return found


#: What a person types, and what the page says about it.
PEOPLE = {
    "en-GB": ("light", "27.5", "27,5", "Please answer this question.", "Please enter a number from 18 to 99.5."),
    "de-DE": (
        "dark", "27,5", "7", "Bitte beantworten Sie diese Frage.", "Bitte geben Sie eine Zahl von 18 bis 99,5 ein.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("locale", PEOPLE)
def test_a_survey_with_every_kind_of_question(chromium: Any, server: taking_part.Server, locale: str) -> None:
    scheme, age, wrong, missing, out_of_range = PEOPLE[locale]
    with taking_part.seats(chromium) as seat:
        person = seat(server, locale=locale, color_scheme=scheme)
        page = person.page
        person.arrive(server.url.replace("somebody", locale))
        person.reach("trial")
        person.answer(5)
        page.wait_for_selector("form.survey")
        # Every box and group has a name that a screen reader says.
        for question in SURVEY:
            [words] = [question["question"][locale[:2]]]
            role = {"choice": "group", "scale": "group"}.get(question["kind"], "textbox")
            assert page.get_by_role(role, name=words).count() == 1, words
        page.fill("[name=age]", wrong)
        press_tab_to(page, ".main")
        page.keyboard.press("Enter")
        screen, number = (page.locator(f"#survey-{name}-error") for name in ("screen", "age"))
        assert (screen.inner_text(), number.inner_text()) == (missing, out_of_range)
        # The first question that needs an answer has the focus, and what is wrong is said with it.
        first = page.locator("[name=screen]").first
        assert first.evaluate("radio => radio === document.activeElement")
        assert first.get_attribute("aria-describedby") == "survey-screen-error"
        assert page.get_attribute("[name=age]", "aria-describedby") == "survey-age-unit survey-age-error"
        session = max(session.id for session in server.sessions)
        assert "survey" not in [event["kind"] for event in server.events(session)]
        page.keyboard.press("ArrowDown")
        page.fill("[name=age]", age)
        assert page.locator(".survey .error:visible").count() == 0
        page.check("[name=tired][value='3']")
        page.fill("[name=job]", "x" * 50)
        assert page.input_value("[name=job]") == "x" * 40
        page.fill("[name=notes]", "=1+1\nfine")
        page.click(".main")
        page.wait_for_selector(".sheet.end")
        [answers] = [event["data"] for event in server.events(session) if event["kind"] == "survey"]
        assert answers == {"screen": "desk", "tired": 3, "age": 27.5, "job": "x" * 40, "notes": "=1+1\nfine"}
        assert json.dumps(person.noise) == "[]"
