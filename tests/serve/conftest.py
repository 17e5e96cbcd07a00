"""Services, and a browser with the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pixq.serve.service import settings_for
from support import browser, serving
from support.serve_page import Shown
from support.serving import Service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving.running(serving.Judge(sets=True)) as found:
        yield found


@pytest.fixture(scope="module")
def strict() -> Iterator[Service]:
    """Takes files of up to 100 kB."""
    with serving.running(serving.Judge(), replace(settings_for("127.0.0.1"), max_upload=100_000)) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def open_page(chromium: Any, service: Service) -> Iterator[Any]:
    contexts = []

    def opener(where: Service = service, **options: Any) -> Shown:
        given = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
        context = chromium.new_context(**given)
        contexts.append(context)
        shown = Shown(context.new_page())
        shown.page.on("console", lambda message: shown.noise.append(message.text))
        shown.page.on("pageerror", lambda error: shown.noise.append(str(error)))
        shown.page.on("request", lambda request: shown.asked.append(request.url))
        shown.page.goto(where.url)
        shown.page.wait_for_selector("#limits:not(:empty)")
        return shown

    yield opener
    for context in contexts:
        context.close()


@pytest.fixture
def shown(open_page: Any) -> Shown:
    found: Shown = open_page()
    return found
