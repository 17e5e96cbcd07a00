"""The page of `pixq serve` in a real browser: flipping in step with the display."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support import serving
from support.serve_page import Shown, quiet
from support.serving import Service

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
    # Three flips, if it flipped.
    shown.refreshes(24)
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
    # Longer than the display is measured for, and a flip.
    shown.refreshes(48)
    assert shown.pixel(150, 60) == before
    shown.page.click("#hold")
    flipped = "new Promise(done => stage.addEventListener('flip', event => done(event.detail.shown), { once: true }))"
    assert shown.page.evaluate(flipped) in (0, 1)


def test_nothing_flips_before_it_is_asked_for(shown: Shown) -> None:
    shown.page.evaluate("window.flips = 0; stage.addEventListener('flip', () => window.flips++)")
    shown.score(serving.files())
    shown.refreshes(48)
    assert shown.page.evaluate("window.flips") == 0
