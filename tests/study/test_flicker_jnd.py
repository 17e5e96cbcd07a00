"""The jsPsych plugin `flicker-jnd` in an experiment that knows nothing of pixq."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support import browser
from support.taking_part import HEIGHT, PAGE, WIDTH, picture

JSPSYCH = PAGE.parent / "web" / "node_modules" / "jspsych" / "dist" / "index.browser.js"
LAB = """<!doctype html><meta charset="utf-8"><title>A lab</title>
<script src="/lab/jspsych.js"></script>
<link rel="stylesheet" href="/lab/flicker-jnd.css">
<script type="importmap">{"imports": {"jspsych": "/lab/module.js"}}</script>
<body></body>"""
RUN = """async ([mode, more, data]) => {
  const { initJsPsych } = jsPsychModule;
  const { default: type } = await import("/lab/flicker-jnd.js");
  const jsPsych = initJsPsych();
  const levels = [1, 4, 9].map(level => ({ level, image: `/lab/${level}.png` }));
  const trial = { type, reference: "/lab/0.png", levels, width: WIDTH, height: HEIGHT, ...more };
  if (data) trial.simulation_options = { data };
  if (mode) await jsPsych.simulate([trial], mode);
  else await jsPsych.run([trial]);
  return jsPsych.data.get().values();
}""".replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))


def png(pixels: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not JSPSYCH.is_file() or not (PAGE / "flicker-jnd.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def lab(chromium: Any) -> Iterator[Any]:
    """A page of an experiment, and what it complained of."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))

    def answer(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if name.endswith(".png"):
            route.fulfill(body=png(picture(int(name[:-4]))), content_type="image/png")
        elif name == "jspsych.js":
            route.fulfill(body=JSPSYCH.read_text("utf-8"), content_type="text/javascript")
        elif name == "module.js":
            route.fulfill(body="export const { ParameterType } = jsPsychModule;", content_type="text/javascript")
        elif name:
            kind = {"js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
            route.fulfill(body=(PAGE / name).read_text("utf-8"), content_type=kind)
        else:
            route.fulfill(body=LAB, content_type="text/html")

    page.route("**/*", answer)
    page.goto("http://lab.invalid/lab/")
    yield page
    assert noise == []
    context.close()


def declared(page: Any) -> set[str]:
    code = "async () => Object.keys((await import('/lab/flicker-jnd.js')).default.info.data)"
    return set(page.evaluate(code))


#: What a value of jsPsych's types looks like in Python; a calibration is not always there.
TYPES: dict[str, tuple[type, ...]] = {"INT": (int,), "FLOAT": (int, float), "COMPLEX": (list,)}


def types_of(page: Any) -> dict[str, str]:
    """Declared data and its types, by the names that jsPsych gives those."""
    found: dict[str, str] = page.evaluate(
        "async () => { const { data } = (await import('/lab/flicker-jnd.js')).default.info;"
        "return Object.fromEntries(Object.entries(data).map(([name, { type }]) =>"
        "[name, Object.keys(jsPsychModule.ParameterType).find(key => jsPsychModule.ParameterType[key] === type)])) }"
    )
    return found


def looks_right(page: Any, row: dict[str, Any]) -> None:
    own = {"trial_type", "trial_index", "plugin_version", "time_elapsed", "rt"}
    assert set(row) - own == declared(page)
    for name, declaration in types_of(page).items():
        if name == "px_per_cm" and row[name] is None:
            continue
        assert isinstance(row[name], TYPES[declaration]), (name, declaration, row[name])
    for pairs in (row["track"], row["points"], row["late_frames"]):
        assert all(len(pair) == 2 and all(isinstance(each, int | float) for each in pair) for pair in pairs)
    assert row["trial_type"] == "flicker-jnd"
    assert row["pjnd"] in (1, 4, 9)
    assert row["track"][0] == [0, 0]
    assert row["track"][-1][1] == row["pjnd"]
    assert len(row["points"]) == 3
    assert all(0 <= y <= HEIGHT and 0 <= x <= WIDTH for y, x in row["points"])


@pytest.mark.parametrize("mode", ["data-only", "visual"])
def test_it_simulates(lab: Any, mode: str) -> None:
    [row] = lab.evaluate(RUN, [mode, {}, None])
    looks_right(lab, row)
    points = [[20, 30], [200, 300], [120.5, 160.5]]
    [row] = lab.evaluate(RUN, [mode, {}, {"pjnd": 4, "points": points}])
    looks_right(lab, row)
    assert row["pjnd"] == 4
    assert [pytest.approx(point, abs=1.1) for point in points] == row["points"]
    if mode == "visual":
        assert row["rate"] > 20
        assert row["width_css"] == WIDTH


def test_a_person_does_it(lab: Any) -> None:
    """And the alternation is planned by refreshes of the display, and kept."""
    lab.evaluate(f"() => {{ window.done = ({RUN})(['', {{clicks: 2}}, null]) }}")
    lab.wait_for_selector(".fj-phase:not([hidden]) .fj-slider")
    # Three levels: the slider has three places beside 0, whatever they are called.
    lab.locator(".fj-slider").fill("3")
    lab.evaluate(
        """async () => {
          const end = performance.now() + 2500;
          while (performance.now() < end) await new Promise(requestAnimationFrame);
        }"""
    )
    lab.click("text=I found the critical point")
    for x, y in ((20, 30), (200, 100)):
        lab.click(".fj-picture", position={"x": x, "y": y})
    lab.click("text=Next picture")
    [row] = lab.evaluate("window.done")
    assert row["pjnd"] == 9
    assert row["points"] == [pytest.approx([30, 20], abs=0.6), pytest.approx([100, 200], abs=0.6)]
    assert row["frames_per_image"] == max(1, int(row["rate"] / 8 + 0.6))
    missed = row["late"] * 1000 / row["rate"] / 1000 * 8
    assert row["changes"] >= 2.4 * row["rate"] / row["frames_per_image"] - 2 - missed
    assert sum(each for _, each in row["late_frames"]) == row["late"]


def test_what_is_late_when_the_slider_moves_is_written_down(lab: Any) -> None:
    lab.evaluate(f"() => {{ window.done = ({RUN})(['', {{clicks: 2}}, null]) }}")
    lab.wait_for_selector(".fj-phase:not([hidden]) .fj-slider")
    # Frames are missed shortly before most moves, so that no change comes between.
    lab.evaluate(
        """async () => {
          const frame = () => new Promise(requestAnimationFrame);
          const slider = document.querySelector('.fj-phase:not([hidden]) .fj-slider');
          for (let turn = 0; turn < 24; turn++) {
            slider.value = String(1 + turn % 3);
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            await frame();
            await frame();
            const until = performance.now() + 45;
            while (performance.now() < until);
            await frame();
          }
        }"""
    )
    lab.click("text=I found the critical point")
    for x, y in ((20, 30), (200, 100)):
        lab.click(".fj-picture", position={"x": x, "y": y})
    lab.click("text=Next picture")
    [row] = lab.evaluate("window.done")
    assert row["late"] > 10
    assert sum(each for _, each in row["late_frames"]) == row["late"]


def test_a_physical_size_needs_a_calibration(lab: Any) -> None:
    with pytest.raises(Exception, match="needs px_per_cm"):
        lab.evaluate(RUN, ["data-only", {"scaling": "physical"}, None])
    [row] = lab.evaluate(RUN, ["data-only", {"scaling": "physical", "px_per_cm": 40}, None])
    assert (row["width_css"], row["height_css"]) == (552, 414)
