"""A rehearsal's people before the real page: Chromium by Playwright, slider by keyboard, places by mouse."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from pixq.errors import PixqError, one_line
from pixq.study.simulate.client import ordinary
from pixq.study.simulate.observers import Reaction, Truth
from pixq.study.simulate.rehearsal import Act, Stage, Visit

__all__ = ["BROWSER", "pages"]

#: The environment's variable that names a browser.
BROWSER = "PIXQ_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: CSS pixels per centimetre before somebody holds a card to the screen.
_PX_PER_CM = 96 / 2.54
#: The smallest screen, and what lies beside an image, in CSS pixels.
_SCREEN, _BESIDE = (1440, 860), (600, 60)
#: How much faster people are than they would be.
_HASTE = 6.0
#: Seconds for whatever the page does next, and between two looks whether the server has an answer.
_PATIENCE, _PAUSE = 60.0, 0.1
_SLIDER = ".fj-phase:not([hidden]) .fj-slider"
_GO_ON = ".main:enabled"
_FOUND = ".fj-phase:not([hidden]) .fj-main:enabled"


def pages() -> Stage:
    """How people sit before the page, for `pixq.study.simulate.simulate.simulate`.

    Raises
    ------
    PixqError
        If Playwright is not installed; or, when it is used, no browser.
    """
    try:
        import playwright.async_api  # noqa: F401
    except ModuleNotFoundError:
        raise PixqError("--browser needs Playwright; install it with: pip install 'pixq[rehearsal]'") from None
    return _stage


@asynccontextmanager
async def _stage(port: int) -> AsyncIterator[Act]:
    from playwright.async_api import Error, async_playwright

    async with async_playwright() as playwright:
        # Nothing but the study's own page is opened, and a container's root has no sandbox.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        arguments = [*(["--no-sandbox"] * root), "--disable-dev-shm-usage"]
        try:
            browser = await playwright.chromium.launch(
                executable_path=_chromium(playwright.chromium.executable_path), args=arguments, handle_sigint=False
            )
        except Error as error:
            raise PixqError(
                f"--browser: no Chromium that starts ({one_line(error)}); run playwright install chromium, or name "
                f"one in {BROWSER}"
            ) from None

        async def act(visit: Visit) -> None:
            try:
                async with _seated(browser, port, visit) as page:
                    await _Person(page, visit).take_part()
            except Error as error:
                raise PixqError(
                    f"--browser: person {visit.observer.number} at {visit.client.step}: {one_line(error)}"
                ) from None

        try:
            yield act
        finally:
            # Ctrl-C ends it before we do.
            with suppress(Error):
                await browser.close()


def _chromium(own: str) -> str | None:
    """The one that is named, else Playwright's own, which is `None`, else one that is installed."""
    given = os.environ.get(BROWSER)
    if given or os.path.exists(own):
        return given
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def _seated(browser: Any, port: int, visit: Visit) -> AsyncIterator[Any]:
    """A person's own browser, on a screen that the study lets in, at the address that the person opens."""
    study, largest = visit.client.study, list(visit.truths.values())
    physical = study["scaling"] == "physical"
    wide = study["width_cm"] * _PX_PER_CM if physical else max(each.width for each in largest)
    high = study["height_cm"] * _PX_PER_CM if physical else max(each.height for each in largest)
    size = {
        "width": max(_SCREEN[0], study["min_window"][0], math.ceil(wide) + _BESIDE[0]),
        "height": max(
            _SCREEN[1], study["min_window"][1], math.ceil(high) + _BESIDE[1],
            math.ceil((study["min_screen_cm"] + 1) * _PX_PER_CM),
        ),
    }  # fmt: skip
    own, link = f"http://127.0.0.1:{port}", visit.address.get("token")
    context = await browser.new_context(viewport=size, screen=size, locale=study["default_language"])

    async def elsewhere(route: Any) -> None:
        # Where the platform takes over, a rehearsal has ended.
        await (route.continue_() if route.request.url.startswith(f"{own}/") else route.abort())

    try:
        context.set_default_timeout(1000 * _PATIENCE)
        await context.route("**/*", elsewhere)
        page = await context.new_page()
        await page.goto(f"{own}/t/{link}" if link else f"{own}/?{urlencode(visit.address)}")
        yield page
    finally:
        await context.close()


class _Person:
    """Somebody who sees what the page shows, and does what people do."""

    def __init__(self, page: Any, visit: Visit) -> None:
        self._page, self._visit, self._client = page, visit, visit.client

    async def take_part(self) -> None:
        """Until nothing more is asked and the page says so."""
        await self._client.see()
        while not self._client.ended:
            before = self._place()
            if "trial" in self._client.state:
                await self._image()
            else:
                await self._step(self._client.step)
            await self._gone_on(before)
        await self._page.wait_for_selector(".end")

    def _place(self) -> tuple[Any, ...]:
        state = self._client.state
        return state["step"], state["index"], state.get("tries", 0)

    async def _gone_on(self, before: tuple[Any, ...]) -> None:
        """Wait until the server has what was just done."""
        for _ in range(round(_PATIENCE / _PAUSE)):
            await self._client.see()
            if self._place() != before:
                return
            await asyncio.sleep(_PAUSE)
        raise PixqError(f"--browser: the page did not go on from {before[0]} within {_PATIENCE:g} s")

    async def _step(self, step: str) -> None:
        page = self._page
        if step == "consent":
            await page.check("#agree")
        elif step == "check":
            await page.wait_for_selector(".checks")
        elif step == "calibration":
            await page.wait_for_selector("#card")
        elif step == "instructions":
            await page.focus("#example-slider")
            await page.keyboard.press("End")
        elif step == "survey":
            await page.wait_for_selector("form.survey")
            answers = ordinary(self._client.study, step)
            for question in self._client.study["survey"]:
                name, answer = question["name"], answers[question["name"]]
                if question["kind"] in ("choice", "scale"):
                    await page.check(f"input[name='{name}'][value='{answer}']")
                else:
                    await page.fill(f"[name='{name}']", f"{answer}")
        await page.click(_GO_ON)

    async def _image(self) -> None:
        page, state = self._page, self._client.state
        if state.get("feedback"):
            await page.click(".fj-controls .main")
        await page.wait_for_selector(f"#progress progress[value='{state['index']}'][max='{state['of']}']")
        truth, reaction = await self._visit.react()
        await page.wait_for_selector(_SLIDER)
        await page.focus(_SLIDER)
        # A key at a time, as a person who looks at each level.
        for _ in range(truth.levels.index(reaction.level) + 1):
            await page.keyboard.press("ArrowRight")
        await asyncio.sleep(reaction.seconds / _HASTE)
        await page.click(_FOUND)
        await self._click(truth, reaction)
        await page.click(_FOUND)

    async def _click(self, truth: Truth, reaction: Reaction) -> None:
        box = await self._page.locator(".fj-picture").bounding_box()
        for y, x in reaction.points:
            # A click on an edge may be beside it.
            across = min(max(x / truth.width * box["width"], 1), box["width"] - 1)
            down = min(max(y / truth.height * box["height"], 1), box["height"] - 1)
            await self._page.mouse.click(box["x"] + across, box["y"] + down)
