"""Pages of reports and comparisons in a real browser: they fit, are legible, ask for nothing and print."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixq.classes import CLASSES
from pixq.report.compare import write_compare
from pixq.report.report import write_report
from support import browser
from support import report_files as files
from support.report_runs import Made


@dataclass
class Shown:
    """A page in a browser, and all that it asked for or complained of."""

    page: Any
    noise: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


def show(chromium: Any, path: Path, width: int = 1280, scheme: str = "light") -> Shown:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    shown = Shown(context.new_page())

    def asked(route: Any) -> None:
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            shown.noise.append(route.request.url)
            route.abort()

    context.route("**/*", asked)
    shown.page.on("console", lambda message: shown.noise.append(message.text))
    shown.page.on("pageerror", lambda error: shown.noise.append(str(error)))
    shown.page.on("dialog", lambda dialog: shown.noise.append(dialog.message))
    shown.page.goto(path.as_uri())
    return shown


@pytest.fixture(scope="module")
def full(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all there is, and with names that try to break it."""
    run = tmp_path_factory.mktemp("full") / "run"
    shutil.copytree(made.run, run)
    files.calibrate(run)
    files.calibrate(run, name="second", warnings=[files.HOSTILE], conformal=None)
    files.evaluate(run)
    files.evaluate(run, name="images", calibration=None, created="2026-11-22T22:00:00Z")
    return write_report(run)


@pytest.fixture(scope="module")
def pages(full: Path, made: Made, folds_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every kind of page."""
    root = tmp_path_factory.mktemp("pages")
    other = root / "other"
    shutil.copytree(made.run, other)
    files.evaluate(other, methods=files.model_alone(0.9), against=[])
    bare = write_report(other, root / "short.html", palette="safe")
    write_compare([full.parent, other], root / "two.html")
    return [full, bare, root / "two.html", write_report(folds_run, root / "folds.html")]


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [1280, 640, 375])
def test_pages_ask_for_nothing_and_fit(chromium: Any, pages: list[Path], width: int) -> None:
    for path in pages:
        shown = show(chromium, path, width)
        assert shown.page.evaluate(WIDER) <= 0, path
        images = shown.page.evaluate("[...document.images].map(each => each.complete && each.naturalWidth)")
        assert all(size == 20 for size in images)
        assert shown.page.evaluate("document.querySelectorAll('script, iframe, object').length") == 0
        assert shown.noise == []
        shown.page.context.close()
    shown = show(chromium, pages[0])
    # Six of the worst and three of the best answers of each of two evaluations, two pictures each.
    assert shown.page.evaluate("document.images.length") == 36
    shown.page.context.close()


@pytest.mark.parametrize("width", [1280, 375])
def test_text_of_twice_the_size_fits(chromium: Any, pages: list[Path], width: int) -> None:
    for path in pages:
        shown = show(chromium, path, width)
        shown.page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert shown.page.evaluate(WIDER) <= 0, path
        shown.page.context.close()


def test_a_listener_hears_a_whole_page(chromium: Any, pages: list[Path]) -> None:
    for path in pages:
        shown = show(chromium, path)
        levels = shown.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
        ids = shown.page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(ids) == len(set(ids))
        silent = """[
          ...[...document.querySelectorAll('svg')].filter(each => each.getAttribute('role') != 'img'
            || !each.querySelector('title')?.textContent || !each.querySelector('desc')?.textContent
            || !each.getAttribute('aria-labelledby').split(' ').every(id => document.getElementById(id))),
          ...[...document.images].filter(each => !each.alt),
          ...[...document.querySelectorAll('table')].filter(each => !each.caption),
          ...[...document.querySelectorAll('th')].filter(each => !each.scope),
          ...[...document.querySelectorAll('a[href^="#"]')].filter(each => !document.querySelector(each.hash)),
        ].map(each => each.outerHTML.slice(0, 200))"""
        assert shown.page.evaluate(silent) == []
        assert shown.page.evaluate("document.documentElement.lang") == "en"
        shown.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible(chromium: Any, pages: list[Path], scheme: str) -> None:
    for path in pages:
        shown = show(chromium, path, scheme=scheme)
        assert shown.page.evaluate(browser.FAINT) == []
        paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 150) == (scheme == "dark")
        shown.page.context.close()


def test_it_prints_on_white_in_colour(chromium: Any, full: Path) -> None:
    shown = show(chromium, full, scheme="dark")
    pdf = shown.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF-")
    shown.page.emulate_media(media="print")
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.page.evaluate(browser.FAINT) == []
    style = "getComputedStyle(document.querySelector('.confusion td')).printColorAdjust"
    assert shown.page.evaluate(style) == "exact"
    assert shown.page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    shown.page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins
    assert shown.page.evaluate(WIDER) <= 0
    shown.page.context.close()


def test_classes_are_told_apart_without_colour(chromium: Any, full: Path) -> None:
    """In grey, each chip still has its own mark and name."""
    shown = show(chromium, full)
    session = shown.page.context.new_cdp_session(shown.page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": "achromatopsia"})
    chips = shown.page.locator(".confusion thead .chip").all()[:3]
    seen = set()
    for chip, each in zip(chips, CLASSES, strict=True):
        assert chip.inner_text() == f"{each.mark} {each.name}"
        seen.add(chip.screenshot())
    assert len(seen) == 3
    shown.page.context.close()


def test_patches_are_drawn_with_hard_edges(chromium: Any, full: Path) -> None:
    shown = show(chromium, full)
    picture = shown.page.locator(".patches img").first
    assert picture.evaluate("each => getComputedStyle(each).imageRendering") == "pixelated"
    assert picture.bounding_box()["width"] >= 100
    shown.page.context.close()


# Finding a browser.


def test_a_browser_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    monkeypatch.delenv("PIXQ_BROWSER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "own"))
    assert browser.find() is None
    own = put(tmp_path / "own" / "chromium_headless_shell-1200" / "chrome-linux" / "headless_shell")
    assert browser.find() == own
    installed = put(tmp_path / "bin" / "google-chrome")
    assert browser.find() == installed
    monkeypatch.setenv("PIXQ_BROWSER", "/opt/mine")
    assert browser.find() == Path("/opt/mine")


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("0", pytest.skip.Exception)])
def test_no_browser_is_a_skip_or_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("PIXQ_BROWSER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PIXQ_REQUIRE_BROWSER", required)
    with pytest.raises(outcome, match="no browser: install Chromium"), browser.opened():
        pass


def test_pictures_of_patches_are_png() -> None:
    """What the tests feed is what an evaluation holds."""
    import base64
    import io

    with Image.open(io.BytesIO(base64.b64decode(files.png(0)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (20, 20))
