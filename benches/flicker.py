"""How exactly pictures alternate in headless Chromium, and how soon the first one can be judged on a slow line.

    python benches/flicker.py

It runs the plugin `flicker-jnd` as it was built, in a page of its own, beside pictures that `setInterval(125)` draws in
the same browser; a change is late in both by the same definition: it came a refresh or more after it was due. The line
has 10 Mbit/s and 40 ms; a source has 100 levels of 640x480 as JPEG: LocJND's where its images are found, else made.
"""

from __future__ import annotations

import functools
import io
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pytest

from support import browser

STUDY = Path(__file__).resolve().parents[1] / "python" / "pixq" / "study"
JSPSYCH = STUDY / "web" / "node_modules" / "jspsych" / "dist" / "index.browser.js"
WIDTH, HEIGHT, LEVELS = 640, 480, 100
SECONDS = 30
HERTZ = 8
LINE = {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8}

LAB = """<!doctype html><meta charset="utf-8"><title>bench</title><script src="jspsych.js"></script>
<link rel="stylesheet" href="flicker-jnd.css">
<script type="importmap">{"imports": {"jspsych": "./module.js"}}</script><body></body>"""
TRIAL = """async () => {
  const { default: type } = await import("./flicker-jnd.js");
  const jsPsych = jsPsychModule.initJsPsych();
  const levels = Array.from({ length: LEVELS }, (_, i) => ({ level: i + 1, image: `${i + 1}.jpg` }));
  const began = performance.now();
  window.times = {};
  const watch = () => {
    const slider = document.querySelector(".fj-phase:not([hidden]) .fj-slider");
    if (slider && document.querySelector(".fj-picture")) window.times.first = performance.now() - began;
    else requestAnimationFrame(watch);
  };
  requestAnimationFrame(watch);
  const trial = { type, reference: "0.jpg", levels, width: WIDTH, height: HEIGHT,
    on_loaded: () => (window.times.all = performance.now() - began) };
  window.done = jsPsych.run([trial]).then(() => jsPsych.data.get().values()[0]);
}"""
TIMER = """seconds => new Promise(resolve => {
  const canvas = document.body.appendChild(document.createElement("canvas"));
  Object.assign(canvas, { width: WIDTH, height: HEIGHT });
  const context = canvas.getContext("2d");
  const images = [0, 40].map(n => Object.assign(new Image(), { src: `${n}.jpg` }));
  Promise.all(images.map(each => each.decode())).then(() => {
    // A picture is seen from the first refresh after it was drawn.
    const seen = [];
    let shown = 0, drawn = false;
    const look = now => { if (drawn) seen.push(now); drawn = false; requestAnimationFrame(look); };
    requestAnimationFrame(look);
    const timer = setInterval(() => {
      context.drawImage(images[shown = 1 - shown], 0, 0);
      drawn = true;
    }, 125);
    setTimeout(() => { clearInterval(timer); resolve(seen); }, 1000 * seconds);
  });
})"""


def images() -> dict[str, bytes]:
    """The reference and its levels, `0.jpg` to `100.jpg`."""
    given = os.environ.get("PIXQ_TEST_DATA")
    base = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    real = sorted((base / "locjnd" / "images").glob("Study_*_JPEG_*.jpg"))
    sources = sorted({path.name.partition("_JPEG_")[0] for path in real})
    for source in sources:
        files = {int(path.stem[-3:]): path for path in real if path.name.startswith(f"{source}_JPEG_")}
        if len(files) >= LEVELS:
            print(f"images: {source} of LocJND, its reference as PNG")
            found = {f"{101 - n}.jpg": path.read_bytes() for n, path in files.items() if 1 <= n <= LEVELS}
            return {**found, "0.jpg": (base / "locjnd" / "images" / f"{source}.png").read_bytes()}
    print("images: made; there is no whole source of LocJND")
    draws = np.random.default_rng(0)
    small = Image.fromarray(draws.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3), np.uint8))
    image = small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    made = {}
    for level in range(LEVELS + 1):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=max(1, 101 - max(level, 1)))
        made[f"{level}.jpg"] = data.getvalue()
    return made


@contextmanager
def served(files: dict[str, bytes]) -> Iterator[str]:
    """These files at an address of this machine."""
    kinds = {"js": "text/javascript", "css": "text/css", "jpg": "image/jpeg", "html": "text/html"}

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].lstrip("/") or "index.html"
            body = files.get(name, b"")
            self.send_response(200 if name in files else 404)
            self.send_header("content-type", kinds.get(name.rpartition(".")[2], "text/plain"))
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *given: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def alternate(page: Any, address: str) -> dict[str, Any]:
    """The plugin's own log after `SECONDS`."""
    page.goto(address)
    page.evaluate(fitted(TRIAL))
    page.wait_for_function("() => window.times.all", timeout=120_000)
    page.locator(".fj-phase:not([hidden]) .fj-slider").fill("40")
    page.wait_for_selector(".fj-phase:not([hidden]) .fj-main:enabled")
    page.wait_for_timeout(1000 * SECONDS)
    page.click(".fj-phase:not([hidden]) .fj-main:enabled")
    for x, y in ((20, 30), (200, 100), (300, 200)):
        page.click(".fj-picture", position={"x": x, "y": y})
    page.click(".fj-phase:not([hidden]) .fj-main:enabled")
    found: dict[str, Any] = page.evaluate("window.done")
    return found


def fitted(code: str) -> str:
    for name, value in (("LEVELS", LEVELS), ("WIDTH", WIDTH), ("HEIGHT", HEIGHT)):
        code = code.replace(name, str(value))
    return code


def load(page: Any, address: str) -> dict[str, float]:
    """Seconds until the first image can be judged, and until all levels are there."""
    page.goto(address)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", LINE)
    page.evaluate(fitted(TRIAL))
    page.wait_for_function("() => window.times.all && window.times.first", timeout=300_000)
    return {name: ms / 1000 for name, ms in page.evaluate("window.times").items()}


def main() -> None:
    if not (STUDY / "page" / "flicker-jnd.js").is_file() or not JSPSYCH.is_file():
        print("flicker: skipped, the study's page is not bundled; `make build` does it")
        return
    files = images()
    size = sum(map(len, files.values())) / 1e6
    for name in ("flicker-jnd.js", "flicker-jnd.css"):
        files[name] = (STUDY / "page" / name).read_bytes()
    files["jspsych.js"] = JSPSYCH.read_bytes()
    files["module.js"] = b"export const { ParameterType } = jsPsychModule;"
    files["index.html"] = LAB.encode()
    try:
        with served(files) as address, browser.opened() as opened:
            page = opened.new_page(viewport={"width": 1440, "height": 860})
            row = alternate(page, address)
            page.goto(address)
            seen = np.array(page.evaluate(fitted(TIMER), SECONDS))
            page.close()
            page = opened.new_page(viewport={"width": 1440, "height": 860})
            began = load(page, address)
    except pytest.skip.Exception as skipped:
        print(f"flicker: skipped, {skipped}")
        return
    rate, frames = row["rate"], row["frames_per_image"]
    planned = rate / frames
    refreshes = row["changes"] * frames
    gaps = np.diff(seen)
    # The timer plans 125 ms; a change of it is late when it comes a refresh or more after that.
    stayed = np.round(gaps * rate / 1000)
    late = np.maximum(0, stayed - frames).sum() / max(1, len(gaps) * frames)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {SECONDS} s at {rate:.2f} Hz")
    print(f"{'':34}{'flicker-jnd':>14}{'setInterval(125)':>18}")
    print(f"{'changes a second, planned':34}{planned:14.3f}{8:18.3f}")
    print(f"{'changes a second, achieved':34}{row['achieved']:14.3f}{1000 / gaps.mean():18.3f}")
    print(f"{'achieved / planned':34}{row['achieved'] / planned:14.4f}{1000 / gaps.mean() / 8:18.4f}")
    share = row["late"] / refreshes
    print(f"{'refreshes that a picture stayed':34}{frames:14d}{f'{stayed.min():.0f} to {stayed.max():.0f}':>18}")
    print(f"{'late refreshes':34}{share:14.2%}{late:18.2%}")
    same = (stayed == frames).mean()
    print(f"{'pictures that did not stay so long':34}{len(row['late_frames']) / row['changes']:14.2%}{1 - same:18.2%}")
    exact = abs(row["achieved"] / planned - 1) < 0.005
    print(f"target: as planned by frames: {'met' if exact else 'MISSED'}")
    print(f"target: late under 1 %: {'met' if share < 0.01 else 'MISSED'}")
    print(
        f"10 Mbit/s, {LEVELS} levels, {size:.1f} MB: first image after {began['first']:.2f} s, "
        f"all after {began['all']:.2f} s"
    )
    print(f"target: first image under 10 s: {'met' if began['first'] < 10 else 'MISSED'}")


if __name__ == "__main__":
    main()
