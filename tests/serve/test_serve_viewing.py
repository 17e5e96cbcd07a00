"""`pixq serve` says how many people notice, under viewing conditions that a request or the page names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixq
from pixq.decisions.pjnd_cuts import read_cuts, write_cuts
from pixq.io.progress import ignore_progress
from pixq.viewing import ViewingConditions
from pixq.visibility import notice_probability
from support import judging, serving
from support.serve_page import Shown, quiet
from support.serve_requests import refused
from support.serving import Service

HERE = ViewingConditions.of(display="27in-1440p", distance="70cm", ambient=100.0)


@pytest.fixture(scope="module")
def desk() -> Iterator[Service]:
    with serving.running(serving.Judge(viewing=HERE)) as found:
        yield found


def test_the_answer_says_who_notices_and_where(desk: Service) -> None:
    told = desk.post(serving.files()).json
    found = serving.Judge(viewing=HERE).map(*serving.pair(), stride=10, on_progress=ignore_progress)
    assert found.visibility is not None
    assert told["viewing"] == {**asdict(HERE), "words": str(HERE)}
    assert told["verdict"]["jnd"] == found.visibility.jnd
    assert told["verdict"]["p_notice"] == found.visibility.p_notice
    assert told["verdict"]["headline"] == f"Noticed by {found.visibility.p_notice * 100:.0f} % of people."
    assert told["verdict"]["patches"].startswith("Obvious in ")
    assert told["patches"]["jnd"] == found.visibility.map.ravel().tolist()
    expected = notice_probability(found.visibility.map.ravel())
    assert np.allclose(told["patches"]["p_notice"], expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, HERE),
        ({"task": "flicker"}, replace(HERE, task="flicker")),
        ({"distance": "1.4m"}, ViewingConditions.of(display="27in-1440p", distance="1.4m", ambient=100.0)),
        ({"display": "13in-4k"}, ViewingConditions.of(display="13in-4k", distance="70cm", ambient=100.0)),
        ({"ppd": "60", "peak_luminance": "400"}, ViewingConditions(60.0, 400.0, 100.0)),
        ({"ambient": "0"}, replace(HERE, ambient=0.0)),
    ],
)  # fmt: skip
def test_a_request_may_change_what_the_service_assumes(
    desk: Service, fields: dict[str, str], expected: ViewingConditions
) -> None:
    told = desk.post(serving.files(), **fields).json
    assert told["viewing"] == {**asdict(expected), "words": str(expected)}
    found = serving.Judge(viewing=expected).map(*serving.pair(), stride=10, on_progress=ignore_progress)
    assert found.visibility is not None
    assert told["verdict"]["jnd"] == found.visibility.jnd


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"display": "huge"}, "the display is 'huge'; give size and resolution"),
        ({"distance": "60"}, "the distance is '60'; give a number with its unit"),
        ({"ppd": "many"}, "the pixels per degree is many; give a number from 5 to 500"),
        ({"ppd": "nan"}, "the pixels per degree is nan"),
        ({"ppd": "60", "distance": "60cm"}, "the pixels per degree and the distance both say how large pixels are"),
        ({"peak_luminance": "0"}, "the peak luminance is 0; give a number from 1 to 10000"),
        ({"ambient": "-1"}, "the ambient light is -1; give a number from 0 to 100000"),
        ({"task": "look"}, "unknown task 'look'"),
        ({"display": "27in-1440p", "distance": "100m"}, "pixels per degree; choose them so that it has"),
    ],
)
def test_what_cannot_be_is_refused_in_words(desk: Service, fields: dict[str, str], words: str) -> None:
    assert "--" not in refused(desk.post(serving.files(), **fields), 422, words)


def test_a_calibration_for_other_conditions_is_refused(tmp_path: Path) -> None:
    run = judging.quality_run(tmp_path / "run")
    cuts = read_cuts(run)
    assert cuts is not None
    write_cuts(run, cuts.model_copy(update={"viewing": HERE}))
    scorer = pixq.load(run, viewing=HERE)
    with serving.running(scorer) as found:
        assert found.post(serving.files()).status == 200
        told = found.post(serving.files(), task="flicker")
    assert told.status == 422
    assert f"holds for {HERE}, and not for {replace(HERE, task='flicker')}" in told.json["error"]
    assert not [words for words in ("--", str(tmp_path)) if words in told.json["error"]]
    other = pixq.load(judging.quality_run(tmp_path / "other"))
    assert other.with_viewing(HERE).decision.name == other.decision.name, "made for no certain conditions"


def test_the_model_that_comes_with_pixq(desk: Service) -> None:
    scorer = pixq.load()
    with serving.running(scorer) as found:
        side, flicker = (found.post(serving.files(), task=task).json for task in ("side-by-side", "flicker"))
        about = found.ask("GET", "/api/model").json
    assert about["viewing"] == {**asdict(scorer.viewing), "words": str(scorer.viewing)}
    assert [task["name"] for task in about["tasks"]] == ["flicker", "side-by-side", "detection"]
    ratio = flicker["verdict"]["jnd"] / side["verdict"]["jnd"]
    assert ratio == pytest.approx(2.55 / 2.0)
    expected = scorer.map(*serving.pair())
    assert side["verdict"]["jnd"] == expected.verdict.jnd
    assert side["cuts"]["of"] == "visibility"


def test_the_page_says_it_and_asks_again_when_conditions_change(open_page: Any, desk: Service) -> None:
    shown: Shown = open_page(desk)
    page = shown.page
    assert page.is_hidden("#viewing")
    told = shown.score(serving.files())
    assert page.inner_text("#headline") == told["verdict"]["headline"]
    assert page.inner_text("#viewing-words") == f"Seen at {HERE}"
    numbers = page.inner_text("#numbers")
    assert numbers.startswith(f"JND\n{told['verdict']['jnd']:.2f}")
    assert told["verdict"]["patches"].rstrip(".") in numbers
    page.click("#viewing summary")
    assert [page.input_value(f"#{name}") for name in ("task", "display", "distance", "ppd")] == [
        "side-by-side", "27in-1440p", "70cm", "",
    ]  # fmt: skip
    assert [page.input_value(f"#{name}") for name in ("peak_luminance", "ambient")] == ["200", "100"]
    with page.expect_response("**/api/predict") as found:
        page.fill("#ppd", "19")
        page.press("#ppd", "Enter")
    far = found.value.json()
    assert far["viewing"]["pixels_per_degree"] == 19
    assert page.is_disabled("#display")
    page.wait_for_function(
        "words => words !== document.getElementById('viewing-words').textContent", arg=f"Seen at {HERE}"
    )
    assert page.inner_text("#headline") == far["verdict"]["headline"] != told["verdict"]["headline"]
    # The keys of views and zoom are letters of a text, here.
    with page.expect_response("**/api/predict"):
        page.fill("#ppd", "")
        page.press("#ppd", "Enter")
    page.wait_for_function(
        "words => words === document.getElementById('viewing-words').textContent", arg=f"Seen at {HERE}"
    )
    page.press("#display", "End")
    page.type("#display", "f")
    assert page.is_checked("input[value=map]")
    with page.expect_response("**/api/predict"):
        page.press("#display", "Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert "the display is '27in-1440pf'; give size and resolution" in page.inner_text("#error")
    assert page.inner_text("#headline") == told["verdict"]["headline"], "what is there stays"
    quiet(shown, desk, refused=True)


def test_hovering_says_who_notices_a_patch(open_page: Any, desk: Service) -> None:
    shown: Shown = open_page(desk)
    told = shown.score(serving.files())
    grid, patches = told["grid"], told["patches"]
    for row, column in ((0, 0), (3, 8), (10, 15)):
        number = row * grid["columns"] + column
        shown.hover(grid["xs"][column] + 10, grid["ys"][row] + 10)
        found = shown.page.inner_text("#patch-visibility > span:first-child")
        if patches["identical"][number]:
            assert found == "none: equal to the reference"
        else:
            assert found.startswith(f"{patches['jnd'][number]:.2f} JND: noticed by ")
            share = patches["p_notice"][number]
            assert (
                "less than 1 %" if 0 < share < 0.01 else "more than 99 %" if share > 0.99 else f"{100 * share:.0f} %"
            ) in found
