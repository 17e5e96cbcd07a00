"""Let simulated people use the real page in Chromium with Playwright: the slider by keyboard, clicks by mouse."""

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
from pixq.io.optional import require
from pixq.study.simulate.client import typical_data
from pixq.study.simulate.observers import Reaction, Truth
from pixq.study.simulate.rehearsal import Act, Stage, Visit

__all__ = ["BROWSER", "browser_stage"]

#: The environment variable that gives the path of a browser.
BROWSER = "PIXQ_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: CSS pixels per centimetre before the calibration with a bank card.
_PX_PER_CM = 96 / 2.54
#: The smallest screen, and the space around an image, in CSS pixels.
_SCREEN, _BESIDE = (1440, 860), (600, 60)
#: How much faster simulated people are than real ones.
_HASTE = 6.0
#: Seconds to wait for the page's next step, and between two questions to the server whether it has an answer.
_PATIENCE, _PAUSE = 60.0, 0.1
_SLIDER = ".fj-phase:not([hidden]) .fj-slider"
_GO_ON = ".main:enabled"
_FOUND = ".fj-phase:not([hidden]) .fj-main:enabled"


def browser_stage() -> Stage:
    """Let people use the page in a browser; for the `stage` of `pixq.study.simulate.simulate.simulate`.

    Raises
    ------
    PixqError
        If Playwright is not installed; or, once it is used, if there is no browser.
    """
    require("playwright")
    return _stage


@asynccontextmanager
async def _stage(port: int) -> AsyncIterator[Act]:
    from playwright.async_api import Error, async_playwright

    async with async_playwright() as playwright:
        # Only the study's own page is opened, and root has no sandbox in a container.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        arguments = [*(["--no-sandbox"] * root), "--disable-dev-shm-usage"]
        try:
            browser = await playwright.chromium.launch(
                executable_path=_chromium(playwright.chromium.executable_path), args=arguments, handle_sigint=False
            )
        except Error as error:
            raise PixqError(
                f"--browser: Chromium does not start ({one_line(error)}); run playwright install chromium, or set "
                f"{BROWSER} to the path of one"
            ) from None

        async def act(visit: Visit) -> None:
            try:
                async with _open_page(browser, port, visit) as page:
                    await _Person(page, visit).take_part()
            except Error as error:
                raise PixqError(
                    f"--browser: person {visit.observer.number} at {visit.client.step}: {one_line(error)}"
                ) from None

        try:
            yield act
        finally:
            # Ctrl-C has ended it already.
            with suppress(Error):
                await browser.close()


def _chromium(bundled: str) -> str | None:
    """Choose the browser that `BROWSER` names, else Playwright's own (`None`), else one that is installed."""
    named = os.environ.get(BROWSER)
    if named or os.path.exists(bundled):
        return named
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def _open_page(browser: Any, port: int, visit: Visit) -> AsyncIterator[Any]:
    """Open a person's address in a new browser profile, on a screen that the study accepts."""
    study, images = visit.client.study, list(visit.truths.values())
    physical = study["scaling"] == "physical"
    wide = study["width_cm"] * _PX_PER_CM if physical else max(image.width for image in images)
    high = study["height_cm"] * _PX_PER_CM if physical else max(image.height for image in images)
    size = {
        "width": max(_SCREEN[0], study["min_window"][0], math.ceil(wide) + _BESIDE[0]),
        "height": max(
            _SCREEN[1], study["min_window"][1], math.ceil(high) + _BESIDE[1],
            math.ceil((study["min_screen_cm"] + 1) * _PX_PER_CM),
        ),
    }  # fmt: skip
    server, link = f"http://127.0.0.1:{port}", visit.address.get("token")
    context = await browser.new_context(viewport=size, screen=size, locale=study["default_language"])

    async def block_others(route: Any) -> None:
        # A rehearsal is over where the platform takes over.
        await (route.continue_() if route.request.url.startswith(f"{server}/") else route.abort())

    try:
        context.set_default_timeout(1000 * _PATIENCE)
        await context.route("**/*", block_others)
        page = await context.new_page()
        await page.goto(f"{server}/t/{link}" if link else f"{server}/?{urlencode(visit.address)}")
        yield page
    finally:
        await context.close()


class _Person:
    """A person who reacts to what the page shows, as people do."""

    def __init__(self, page: Any, visit: Visit) -> None:
        self._page, self._visit, self._client = page, visit, visit.client

    async def take_part(self) -> None:
        """Go through the session until the page shows its end."""
        await self._client.refresh()
        while not self._client.ended:
            before = self._position()
            if "trial" in self._client.state:
                await self._image()
            else:
                await self._step(self._client.step)
            await self._wait_for_server(before)
        await self._page.wait_for_selector(".end")

    def _position(self) -> tuple[Any, ...]:
        state = self._client.state
        return state["step"], state["index"], state.get("tries", 0)

    async def _wait_for_server(self, before: tuple[Any, ...]) -> None:
        """Wait until the server has stored the last action."""
        for _ in range(round(_PATIENCE / _PAUSE)):
            await self._client.refresh()
            if self._position() != before:
                return
            await asyncio.sleep(_PAUSE)
        raise PixqError(f"--browser: the page did not continue from {before[0]} within {_PATIENCE:g} s")

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
            answers = typical_data(self._client.study, step)
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
        # One key at a time, as a person presses them who looks at each level.
        for _ in range(truth.levels.index(reaction.level) + 1):
            await page.keyboard.press("ArrowRight")
        await asyncio.sleep(reaction.seconds / _HASTE)
        await page.click(_FOUND)
        await self._click(truth, reaction)
        await page.click(_FOUND)

    async def _click(self, truth: Truth, reaction: Reaction) -> None:
        box = await self._page.locator(".fj-picture").bounding_box()
        for y, x in reaction.points:
            # A click on an edge may miss the image.
            across = min(max(x / truth.width * box["width"], 1), box["width"] - 1)
            down = min(max(y / truth.height * box["height"], 1), box["height"] - 1)
            await self._page.mouse.click(box["x"] + across, box["y"] + down)
