"""The page of `pixq serve` in a real browser: mistakes, other ways to upload, saving, and accessibility."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pixq
from pixq.classes import CLASSES
from pixq.serve.service import settings_for
from support import browser, serving, trees
from support.serve_page import WIDER, Shown, quiet
from support.serving import Service, encoded


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
    shown.give({**given, "reference": ("torn.png", encoded(trees.photo(1, (40, 50)), icc_profile=b"nothing"))})
    shown.page.wait_for_selector("#reference.bad")
    assert "torn.png: has an ICC profile that can't be read" in shown.page.inner_text("#reference .error")
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


def test_the_frame_that_is_scored_is_the_one_that_is_shown(open_page: Any) -> None:
    reference, distorted = serving.pair()
    animation = encoded(distorted, save_all=True, append_images=[Image.fromarray(reference)])
    with serving.running(serving.Judge(), replace(settings_for("127.0.0.1"), frame=1)) as service:
        shown = open_page(service)
        told = shown.score({"reference": ("a.png", animation), "distorted": ("b.png", animation)})
        assert told["verdict"]["identical"] == 1
        shown.page.keyboard.press("r")
        shown.settle()
        assert shown.pixel(150, 60) == reference[60, 150].tolist() != distorted[60, 150].tolist()
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
