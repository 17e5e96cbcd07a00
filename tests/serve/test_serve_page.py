"""The page of `pixq serve`, in a real browser: upload, look, flip, and what goes wrong."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pixq
from pixq.classes import CLASSES
from pixq.scoring.grid import Grid
from support import browser, serving, trees
from support.serving import Files, Service, encoded

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: What a browser says of every answer that is an error.
EXPECTED = "Failed to load resource: the server responded with a status of "
#: What it says of tests that look at a canvas often.
OURS = "Canvas2D: Multiple readback operations"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def service(chromium: Any) -> Iterator[Service]:
    with serving.running(serving.Judge(sets=True)) as found:
        yield found


@dataclass
class Shown:
    """A page, all that it complained of, and all that it asked for."""

    page: Any
    noise: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def give(self, files: Files) -> None:
        """Choose files by the file pickers."""
        for zone, (name, data) in files.items():
            self.page.set_input_files(f"#{zone} input", {"name": name, "mimeType": "", "buffer": data})

    def score(self, files: Files) -> Any:
        """Upload both, and what the service answered."""
        with self.page.expect_response("**/api/predict") as found:
            self.give(files)
        told = found.value.json()
        self.page.wait_for_selector("#result:not([hidden])")
        self.settle()
        return told

    def settle(self) -> None:
        """Wait until what was asked to be drawn is drawn."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def pixel(self, x: float, y: float) -> list[int]:
        """The colour on the stage at a pixel of the image, RGB."""
        left, top, scale = self.frame()
        at = [int(left + (x + 0.5) * scale), int(top + (y + 0.5) * scale)]
        code = "([x, y]) => [...picture.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        found: list[int] = self.page.evaluate(code, at)
        return found

    def frame(self, size: tuple[int, int] = (120, 170)) -> tuple[float, float, float]:
        """Where an image of `size` is on the stage, when all of it is seen."""
        width, height = self.page.evaluate("[picture.width, picture.height]")
        scale = float(self.page.inner_text("#zoom").split()[0]) / 100
        # As JavaScript rounds.
        return (width - size[1] * scale + 1) // 2, (height - size[0] * scale + 1) // 2, scale

    def hover(self, x: float, y: float) -> None:
        left, top, scale = self.frame()
        self.page.hover("#stage", position={"x": left + (x + 0.5) * scale, "y": top + (y + 0.5) * scale})


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


def quiet(shown: Shown, service: Service, *, refused: bool = False) -> None:
    known = (OURS, EXPECTED) if refused else (OURS,)
    noise = [text for text in shown.noise if not text.startswith(known)]
    assert noise == []
    assert [url for url in shown.asked if not url.startswith((service.url + "/", f"blob:{service.url}/"))] == []


# Upload and look.


def test_two_files_make_a_verdict_and_a_map(shown: Shown, service: Service) -> None:
    told = shown.score(serving.files())
    page = shown.page
    assert page.inner_text("#headline") == told["verdict"]["headline"]
    rows = page.locator("#shares li").all()
    for row, share, each in zip(rows, told["verdict"]["shares"], CLASSES, strict=True):
        text = row.inner_text()
        assert all(part in text for part in (f"{each.mark} {each.name}", share["percent"], each.meaning))
    numbers = page.inner_text("#numbers")
    assert f"{told['verdict']['quality']:.3f}" in numbers
    assert f"{told['verdict']['worst']:.3f}" in numbers
    assert page.is_checked("input[value=map]")
    # Every pixel has the colour of the nearest patch, over the distorted image.
    grid = Grid(120, 170)
    rows_, columns = grid.cells()
    _, distorted = serving.pair()
    classes = np.array(told["patches"]["class"]).reshape(grid.shape)
    marked = np.array(told["patches"]["unsure"]).reshape(grid.shape) | (classes < 2)
    rng, looked = np.random.default_rng(1), 0
    for y, x in zip(rng.integers(0, 120, 200).tolist(), rng.integers(0, 170, 200).tolist(), strict=True):
        cell = rows_[y], columns[x]
        if marked[cell] and (9 < x < 160):
            continue  # a mark may be there
        color = [int(CLASSES[classes[cell]].color[at : at + 2], 16) for at in (1, 3, 5)]
        expected = (np.array(color) + distorted[y, x]) / 2
        assert np.abs(np.array(shown.pixel(x, y)) - expected).max() <= 2, (y, x)
        looked += 1
    assert looked > 40
    quiet(shown, service)


def test_cells_are_those_of_the_grid(shown: Shown) -> None:
    """The page's borders of cells, against `Grid.cells`, at sizes and strides that end anyhow."""
    for length, size, stride in [
        (20, 20, 10),
        (21, 20, 10),
        (45, 20, 10),
        (133, 20, 7),
        (64, 20, 5),
        (97, 20, 20),
        (31, 8, 1),
    ]:
        grid = Grid(size, length, size, stride)
        code = """async ([starts, length, size]) => {
          const { edges, cellAt } = await import("/map.js");
          const borders = edges(starts, length, size);
          return Array.from({ length }, (_, pixel) => cellAt(borders, pixel));
        }"""
        assert shown.page.evaluate(code, [grid.xs.tolist(), length, size]) == grid.cells()[1].tolist()


def test_hovering_shows_the_numbers_of_the_service(shown: Shown, service: Service) -> None:
    told = shown.score(serving.files())
    grid, patches = told["grid"], told["patches"]
    seen = set()
    for row, column in ((0, 0), (3, 8), (5, 15), (10, 15), (6, 9)):
        number = row * grid["columns"] + column
        x, y = grid["xs"][column] + 10, grid["ys"][row] + 10
        shown.hover(x, y)
        each = CLASSES[patches["class"][number]]
        assert shown.page.inner_text("#patch-quality > span:first-child") == f"{patches['quality'][number]:.3f}"
        score = patches["score"][number]
        expected = "none: equal to the reference" if score is None else f"{score:.4f}"
        assert shown.page.inner_text("#patch-score > span:first-child") == expected
        assert (
            shown.page.inner_text("#patch-place > span:first-child") == f"y {grid['ys'][row]}, x {grid['xs'][column]}"
        )
        words = shown.page.inner_text("#patch-class").split()
        assert words[:3] == [each.mark, each.name, "unsure" if patches["unsure"][number] else "sure"]
        seen.add(words[1])
        crop = shown.page.evaluate(
            "[...document.getElementById('crop-distorted').getContext('2d').getImageData(0,0,20,20).data]"
        )
        y0, x0 = grid["ys"][row], grid["xs"][column]
        pixels = np.array(crop).reshape(20, 20, 4)[..., :3]
        assert np.array_equal(pixels, serving.pair()[1][y0 : y0 + 20, x0 : x0 + 20])
    assert len(seen) > 1
    quiet(shown, service)


def test_views_and_palettes(shown: Shown) -> None:
    told = shown.score(serving.files())
    reference, distorted = serving.pair()
    at = (60, 12)  # row and column of a pixel that no mark is on
    shown.page.keyboard.press("r")
    shown.settle()
    assert shown.pixel(at[1], at[0]) == reference[at].tolist()
    shown.page.keyboard.press("2")
    shown.settle()
    assert shown.pixel(150, 60) == distorted[60, 150].tolist()
    shown.page.keyboard.press("m")
    shown.page.check("#safe")
    shown.page.locator("#opacity").fill("100")
    shown.settle()
    number = Grid(*distorted.shape[:2]).cells()
    each = CLASSES[told["patches"]["class"][number[0][at[0]] * told["grid"]["columns"] + number[1][at[1]]]]
    assert "#" + bytes(shown.pixel(at[1], at[0])).hex() == each.safe_color
    chips = shown.page.locator("#shares .chip").all()
    colors = [chip.evaluate("each => getComputedStyle(each).backgroundColor") for chip in chips]
    assert colors == [f"rgb{tuple(bytes.fromhex(each.safe_color[1:]))}" for each in CLASSES]


def test_zoom_shows_whole_pixels(shown: Shown) -> None:
    shown.score(serving.files())
    _, distorted = serving.pair()
    shown.page.keyboard.press("d")
    for button, text in (("[data-zoom='1']", "100 %"), ("[data-zoom='2']", "200 %"), ("[data-zoom=fit]", "500 %")):
        shown.page.click(button)
        shown.settle()
        assert shown.page.inner_text("#zoom") == text
        for x, y in ((80, 60), (100, 70), (90, 50)):
            assert shown.pixel(x, y) == distorted[y, x].tolist()
    box = shown.page.locator("#stage").bounding_box()
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.page.mouse.wheel(0, -100)
    shown.settle()
    assert int(shown.page.inner_text("#zoom").split()[0]) > 500
    quality = shown.page.inner_text("#patch-place > span:first-child")
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + box["width"] / 2 - 300, box["y"] + box["height"] / 2, steps=4)
    shown.page.mouse.up()
    shown.settle()
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.settle()
    assert shown.page.inner_text("#patch-place > span:first-child") != quality, "dragging moves the picture"


def test_another_stride_asks_again_and_keeps_the_images(shown: Shown, service: Service) -> None:
    shown.score(serving.files())
    with shown.page.expect_response("**/api/predict") as found:
        shown.page.select_option("#stride", "20")
    told = found.value.json()
    assert told["grid"]["stride"] == 20
    count = len(told["patches"]["class"])
    shown.page.wait_for_selector(f"#numbers dd.value:text-is('{count}')")
    quiet(shown, service)


# The keyboard alone.


def test_the_keyboard_alone(shown: Shown, service: Service) -> None:
    told = shown.score(serving.files())
    page, grid, patches = shown.page, told["grid"], told["patches"]
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "stage":
            break
    assert page.evaluate("document.activeElement.id") == "stage"
    assert page.evaluate("getComputedStyle(stage).outlineStyle") == "solid", "the focus is seen"

    def place() -> str:
        return str(page.inner_text("#patch-place > span:first-child"))

    page.keyboard.press("ArrowDown")
    first = place()
    y, x = (int(part.split()[1]) for part in first.split(", "))
    row, column = grid["ys"].index(y), grid["xs"].index(x)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    row, column = row + 1, column + 1
    assert place() == f"y {grid['ys'][row]}, x {grid['xs'][column]}"
    number = row * grid["columns"] + column
    said = page.inner_text("#said")
    assert CLASSES[patches["class"][number]].name in said
    assert f"{patches['quality'][number]:.3f}" in said
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert place() == "y 0, x 0"
    # The last patch lies at the edge, and the stage follows when it is zoomed.
    for _ in range(4):
        page.keyboard.press("+")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    assert place() == f"y {grid['ys'][-1]}, x {grid['xs'][-1]}"
    page.keyboard.press("d")
    shown.settle()
    corner = page.evaluate(
        "[...picture.getContext('2d').getImageData(picture.width - 1, picture.height - 1, 1, 1).data]"
    )
    assert corner[:3] == serving.pair()[1][-1, -1].tolist()
    page.keyboard.press("0")
    page.keyboard.press("f")
    assert page.is_checked("input[value=flip]")
    page.keyboard.press(" ")
    assert page.get_attribute("#hold", "aria-pressed") == "true"
    quiet(shown, service)


def test_keys_of_a_control_stay_its_own(shown: Shown) -> None:
    shown.score(serving.files())
    shown.page.focus("#opacity")
    shown.page.keyboard.press("1")
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.is_checked("input[value=map]")
    assert shown.page.input_value("#opacity") == "55"
    shown.page.focus("#stage")
    shown.page.keyboard.press("Control+f")
    assert shown.page.is_checked("input[value=map]")


# Flipping.

CLOCK = """async ([rate, hertz, skipped, images, ticks]) => {
  const { Flicker } = await import("/flicker.js");
  let queue = [], now = 1000, handle = 0, cancelled = new Set();
  const clock = {
    requestAnimationFrame: callback => { queue.push([++handle, callback]); return handle; },
    cancelAnimationFrame: each => cancelled.add(each),
  };
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2;
  const bitmaps = [];
  for (let each = 0; each < images; each++) {
    const one = new OffscreenCanvas(2, 2);
    const context = one.getContext("2d");
    context.fillStyle = `rgb(${each * 50}, 0, 0)`;
    context.fillRect(0, 0, 2, 2);
    bitmaps.push(one.transferToImageBitmap());
  }
  const flicker = new Flicker({ canvas, images: bitmaps, hertz, clock });
  const starting = flicker.start();
  const shown = [];
  const tick = async (times = 1) => {
    now += times * 1000 / rate;
    const due = queue; queue = [];
    for (const [number, callback] of due) if (!cancelled.has(number)) callback(now);
    await null; await null;
    if (flicker.running) shown.push(canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0] / 50);
  };
  while (!flicker.running) await tick();
  await starting;
  for (let each = 0; each < ticks; each++) await tick(skipped[each] ?? 1);
  const log = flicker.log, before = flicker.shown;
  flicker.stop();
  for (let each = 0; each < 30; each++) await tick();
  const held = flicker.shown === before && !flicker.running;
  flicker.dispose();
  await flicker.start();
  return { log, shown, held, started: flicker.running };
}"""


@pytest.mark.parametrize(
    ("rate", "frames"),
    [(60, 8), (59.94, 8), (60.2, 8), (50, 6), (72, 9), (75, 9), (90, 11), (120, 15), (144, 18), (165, 21), (240, 30)],
)
def test_each_picture_stays_as_many_refreshes_as_planned(shown: Shown, rate: float, frames: int) -> None:
    found = shown.page.evaluate(CLOCK, [rate, 8, {}, 2, 20 * frames])
    log = found["log"]
    assert log["frames"] == frames
    assert log["rate"] == pytest.approx(rate)
    assert log["planned"] == pytest.approx(rate / frames)
    assert log["achieved"] == pytest.approx(rate / frames)
    assert set(log["held"]) == {frames}
    assert (log["late"], log["pauses"]) == (0, 0)
    assert found["shown"][0] == 0, "it begins with the first"
    # What is on the canvas after each refresh, counted here.
    lengths = np.diff(np.flatnonzero(np.diff(found["shown"])))
    assert set(lengths.tolist()) == {frames}
    assert found["held"]
    assert not found["started"], "what is disposed of does not begin again"


def test_late_refreshes_are_logged_and_do_not_add_up(shown: Shown) -> None:
    # In the third picture 2 refreshes are missed, at the change to the fifth 1, and then nobody looks for a second.
    found = shown.page.evaluate(CLOCK, [60, 8, {"19": 3, "30": 2, "90": 90}, 2, 140])
    log = found["log"]
    assert log["late"] == 3
    assert log["pauses"] == 1
    assert set(log["held"]) <= {8, 9}
    assert log["held"].count(9) == 1, "only a change that is missed itself comes late"


def test_more_than_two_pictures_at_another_rate(shown: Shown) -> None:
    found = shown.page.evaluate(CLOCK, [120, 10, {}, 3, 120])
    assert found["log"]["frames"] == 12
    changes = [each for each, before in zip(found["shown"][1:], found["shown"], strict=False) if each != before]
    steps = np.diff(np.array(changes)) % 3
    assert set(steps.tolist()) == {1}
    found = shown.page.evaluate(CLOCK, [24, 60, {}, 2, 10])
    assert found["log"]["frames"] == 1, "never less than a refresh"


def test_the_page_flips_between_the_images(shown: Shown, service: Service) -> None:
    shown.score(serving.files())
    reference, distorted = serving.pair()
    page = shown.page
    # The first is the reference, as long as the display is measured.
    code = """([x, y]) => new Promise(done => {
      const seen = [];
      stage.addEventListener("flip", event => {
        const pixel = [...picture.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
        seen.push([event.detail.shown, pixel]);
        if (seen.length === 8) done({ seen, log: structuredClone(event.detail.log) });
      });
      document.querySelector("input[value=flip]").click();
    })"""
    left, top, scale = shown.frame()
    at = [int(left + 150.5 * scale), int(top + 60.5 * scale)]
    found = page.evaluate(code, at)
    numbers = [number for number, _ in found["seen"]]
    assert numbers == [1, 0] * 4
    for number, pixel in found["seen"]:
        assert pixel == (reference, distorted)[number][60, 150].tolist()
    log = found["log"]
    assert log["frames"] == max(1, int(log["rate"] / 8 + 0.6))
    assert min(log["held"]) >= log["frames"], "none is shorter than planned"
    assert "refreshes each" in page.inner_text("#pace")
    page.keyboard.press(" ")
    page.wait_for_selector("#hold[aria-pressed=true]")
    held = shown.pixel(150, 60)
    page.wait_for_timeout(400)
    assert shown.pixel(150, 60) == held
    assert ("Held at: Reference" if held == reference[60, 150].tolist() else "Held at: Distorted") in page.inner_text(
        "#pace"
    )
    # At another zoom it is still the same picture.
    page.click("[data-zoom='2']")
    shown.settle()
    assert shown.pixel(80, 60) in (reference[60, 80].tolist(), distorted[60, 80].tolist())
    page.keyboard.press("3")
    shown.settle()
    assert page.is_hidden("#flip")
    quiet(shown, service)


def test_who_wants_no_motion_presses_once_more(open_page: Any) -> None:
    shown = open_page(reduced_motion="reduce")
    shown.score(serving.files())
    assert "seizures" in shown.page.inner_text(".warning")
    shown.page.keyboard.press("4")
    shown.settle()
    assert shown.page.get_attribute("#hold", "aria-pressed") == "true"
    before = shown.pixel(150, 60)
    shown.page.wait_for_timeout(800)
    assert shown.pixel(150, 60) == before
    shown.page.click("#hold")
    flipped = "new Promise(done => stage.addEventListener('flip', event => done(event.detail.shown), { once: true }))"
    assert shown.page.evaluate(flipped) in (0, 1)


def test_nothing_flips_before_it_is_asked_for(shown: Shown) -> None:
    shown.page.evaluate("window.flips = 0; stage.addEventListener('flip', () => window.flips++)")
    shown.score(serving.files())
    shown.page.wait_for_timeout(700)
    assert shown.page.evaluate("window.flips") == 0


# What goes wrong.


def test_a_bad_file_is_told_at_its_place_and_the_other_one_stays(shown: Shown, service: Service) -> None:
    given = serving.files()
    shown.give({"reference": given["reference"]})
    shown.page.wait_for_selector("#reference.full")
    shown.give({"distorted": ("holiday.png", given["distorted"][1][:3000])})
    shown.page.wait_for_selector("#distorted.bad")
    error = shown.page.inner_text("#distorted .error")
    assert error.startswith("holiday.png: is a truncated PNG")
    assert shown.page.get_attribute("#distorted .error", "role") == "alert"
    assert shown.page.is_hidden("#reference .error")
    assert shown.page.is_visible("#reference .thumb")
    assert shown.page.is_hidden("#result")
    told = shown.score({"distorted": given["distorted"]})
    assert shown.page.inner_text("#headline") == told["verdict"]["headline"]
    assert shown.page.is_hidden("#distorted .error")
    quiet(shown, service, refused=True)


def test_what_the_browser_shows_and_pixq_refuses(shown: Shown, service: Service) -> None:
    given = serving.files((40, 50))
    shown.give({**given, "reference": ("glass.png", encoded(np.full((40, 50, 4), 99, np.uint8)))})
    shown.page.wait_for_selector("#reference.bad")
    assert "glass.png: has an alpha channel" in shown.page.inner_text("#reference .error")
    assert shown.page.is_visible("#distorted .thumb")
    quiet(shown, service, refused=True)


def test_sizes_that_differ(shown: Shown, service: Service) -> None:
    shown.give({**serving.files((40, 50)), "distorted": ("other.png", encoded(trees.photo(1, (50, 40))))})
    shown.page.wait_for_selector("#error:not([hidden])")
    assert "clean.png is 50x40, other.png 40x50" in shown.page.inner_text("#error")
    assert shown.page.is_hidden("#result")
    shown.score({"distorted": serving.files((40, 50))["distorted"]})
    assert shown.page.is_hidden("#error")
    quiet(shown, service, refused=True)


def test_a_file_that_is_too_large_is_not_even_sent(open_page: Any, chromium: Any) -> None:
    settings = serving.replace_limit(5000)
    with serving.running(serving.Judge(), settings) as small:
        shown = open_page(small)
        shown.give({"reference": ("large.png", encoded(trees.photo(1, (80, 80))))})
        shown.page.wait_for_selector("#reference.bad")
        assert "large.png: is larger than" in shown.page.inner_text("#reference .error")
        assert not [url for url in shown.asked if "predict" in url or "picture" in url]
        quiet(shown, small)


def test_a_service_that_is_gone_is_told(open_page: Any, chromium: Any) -> None:
    with serving.running(serving.Judge()) as there:
        shown = open_page(there)
    shown.give(serving.files((40, 50)))
    shown.page.wait_for_selector("#error:not([hidden])")
    assert "is it still running" in shown.page.inner_text("#error")


def test_names_are_text(shown: Shown, service: Service) -> None:
    given = serving.files((40, 50))
    name = "<img src=x onerror=alert(1)>.png"
    shown.score({**given, "distorted": (name, given["distorted"][1])})
    assert name in shown.page.inner_text("#distorted .name")
    quiet(shown, service)


# Again, and in other ways.


def test_a_second_upload_replaces_the_first(shown: Shown, service: Service) -> None:
    shown.score(serving.files())
    shown.hover(100, 60)
    assert shown.page.is_visible("#the-patch")
    shown.page.mouse.move(2, 2)
    shown.page.keyboard.press("4")
    shown.give({"reference": serving.files((90, 60), 5)["reference"]})
    shown.page.wait_for_selector("#error:not([hidden])")
    told = shown.score({"distorted": serving.files((90, 60), 5)["distorted"]})
    assert told["grid"]["height"] == 90
    assert shown.page.inner_text("#headline") == told["verdict"]["headline"]
    assert shown.page.is_visible("#no-patch"), "the patch was of other images"
    shown.page.keyboard.press("r")
    shown.settle()
    left, top, scale = shown.frame((90, 60))
    code = "([x, y]) => [...picture.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
    at = [int(left + 30.5 * scale), int(top + 40.5 * scale)]
    assert shown.page.evaluate(code, at) == serving.pair((90, 60), 5)[0][40, 30].tolist()
    quiet(shown, service, refused=True)


def test_swapping(shown: Shown, service: Service) -> None:
    shown.score(serving.files())
    with shown.page.expect_response("**/api/predict") as found:
        shown.page.click("#swap")
    told = found.value.json()
    assert (told["reference"], told["distorted"]) == ("noisy.png", "clean.png")
    shown.page.wait_for_selector("#result:not([hidden])")
    shown.page.keyboard.press("r")
    shown.settle()
    assert shown.pixel(150, 60) == serving.pair()[1][60, 150].tolist()
    quiet(shown, service)


GIVE = """([kind, target, files]) => {
  const data = new DataTransfer();
  for (const [name, bytes] of files) {
    data.items.add(new File([Uint8Array.from(atob(bytes), each => each.charCodeAt(0))], name, { type: "image/png" }));
  }
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: data })
    : new DragEvent(kind, { ...options, dataTransfer: data });
  return !document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize(("kind", "target"), [("drop", "#reference"), ("drop", "body"), ("paste", "body")])
def test_dropping_and_pasting(shown: Shown, service: Service, kind: str, target: str) -> None:
    files = [[name, base64.b64encode(data).decode()] for name, data in serving.files((40, 50)).values()]
    with shown.page.expect_response("**/api/predict") as found:
        if target == "body":
            for file in files:
                shown.page.evaluate(GIVE, [kind, target, [file]])
                shown.page.wait_for_selector("#reference.full")
        else:
            assert shown.page.evaluate(GIVE, ["dragover", target, files]), "the page takes what is dragged"
            assert shown.page.evaluate(GIVE, [kind, target, files])
    told = found.value.json()
    assert (told["reference"], told["distorted"]) == ("clean.png", "noisy.png")
    quiet(shown, service)


def test_tiff_and_sixteen_bits(shown: Shown, service: Service) -> None:
    reference, distorted = serving.pair()
    given = {"reference": ("a.tif", encoded(reference, "TIFF")), "distorted": ("b.png", encoded(distorted))}
    shown.score(given)
    shown.page.keyboard.press("r")
    shown.settle()
    assert shown.pixel(50, 60) == reference[60, 50].tolist()
    quiet(shown, service)


def test_saving(shown: Shown, tmp_path: Path) -> None:
    told = shown.score(serving.files())
    with shown.page.expect_download() as found:
        shown.page.click("#save-json")
    assert found.value.suggested_filename == "noisy.pixq.json"
    assert json.loads(Path(found.value.path()).read_bytes()) == told
    with shown.page.expect_download() as found:
        shown.page.click("#save-png")
    assert found.value.suggested_filename == "noisy.map.png"
    picture = np.asarray(Image.open(io.BytesIO(Path(found.value.path()).read_bytes())).convert("RGB"))
    assert picture.shape[0] > 120
    assert picture.shape[1] >= 170
    color = np.array(list(bytes.fromhex(CLASSES[2].color[1:])))
    expected = (serving.pair()[1][60, 5] + color) / 2
    assert np.abs(picture[60, 5] - expected).max() <= 2
    legend = picture[120:].reshape(-1, 3).tolist()
    for each in CLASSES:
        assert list(bytes.fromhex(each.color[1:])) in legend


def test_real_images(shown: Shown, service: Service, data_dir: Path) -> None:
    folder = data_dir / "locjnd" / "images"
    names = {"reference": "Test_SRC0045.png", "distorted": "Test_SRC0045_JPEG_060.jpg"}
    if not all((folder / name).is_file() for name in names.values()):
        pytest.skip("no Test_SRC0045 among the real data")
    told = shown.score({zone: (name, (folder / name).read_bytes()) for zone, name in names.items()})
    assert (told["grid"]["width"], told["grid"]["height"]) == (640, 480)
    # What is seen is what was scored: the browser's JPEG is that of the core.
    shown.page.keyboard.press("d")
    shown.settle()
    left, top, scale = shown.frame((480, 640))
    assert scale == 1
    code = "([x, y]) => [...picture.getContext('2d').getImageData(x, y, 640, 480).data]"
    seen = np.array(shown.page.evaluate(code, [left, top]), np.uint8).reshape(480, 640, 4)[..., :3]
    assert np.array_equal(seen, pixq.decode((folder / names["distorted"]).read_bytes()))
    quiet(shown, service)


# For everybody.


@pytest.mark.parametrize(("width", "size"), [(1280, "100%"), (400, "100%"), (400, "200%"), (1280, "200%")])
def test_it_fits(open_page: Any, width: int, size: str) -> None:
    shown = open_page(viewport={"width": width, "height": 800})
    shown.page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
    assert shown.page.evaluate(WIDER) <= 0
    shown.score(serving.files((300, 500)))
    shown.page.focus("#stage")
    shown.page.keyboard.press("ArrowDown")
    shown.page.keyboard.press("f")
    shown.settle()
    assert shown.page.evaluate(WIDER) <= 0
    clipped = """[...document.querySelectorAll("main *")].filter(each => each.id !== "said" && !each.closest(".unseen")
      && each.scrollWidth > each.clientWidth + 1 && each.clientWidth && getComputedStyle(each).overflow !== "visible")
      .map(each => each.outerHTML.slice(0, 80))"""
    assert shown.page.evaluate(clipped) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible(open_page: Any, scheme: str) -> None:
    shown = open_page(color_scheme=scheme)
    assert shown.page.evaluate(browser.FAINT) == []
    shown.score(serving.files())
    shown.hover(100, 60)
    for palette in (False, True):
        shown.page.set_checked("#safe", palette)
        assert shown.page.evaluate(browser.FAINT) == []
    shown.give({"distorted": ("a.png", b"nothing")})
    shown.page.wait_for_selector("#distorted.bad")
    assert shown.page.evaluate(browser.FAINT) == []


def test_everything_has_a_name(shown: Shown) -> None:
    shown.score(serving.files())
    shown.page.keyboard.press("f")
    nameless = """[...document.querySelectorAll(
        "button, input, select, output, fieldset, [role=group], [role=application], [role=img]")]
      .filter(each => !each.closest("[hidden]") && !(each.getAttribute("aria-label") || each.labels?.length
        || each.textContent.trim() || each.getAttribute("aria-labelledby") || each.querySelector("legend")))
      .map(each => each.outerHTML.slice(0, 100))"""
    assert shown.page.evaluate(nameless) == []
    assert shown.page.evaluate("document.querySelectorAll('h1').length") == 1
    ids = shown.page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    small = """[...document.querySelectorAll("button, select, .views span")].filter(each => !each.closest("[hidden]")
      && each.getBoundingClientRect().height < 24).map(each => each.outerHTML)"""
    assert shown.page.evaluate(small) == []
