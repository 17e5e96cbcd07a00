"""Viewing conditions: geometry against an angle that is computed directly, light, text, and JSON."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pixq.cli.options import ViewingOptions
from pixq.errors import PixqError
from pixq.io.json_file import FileModel
from pixq.viewing import DEFAULT_DISPLAY, DEFAULT_DISTANCE, Display, ViewingConditions, parse_distance


@pytest.mark.parametrize(
    ("text", "diagonal_mm", "pixels"),
    [
        ("27in-1440p", 685.8, (2560, 1440)),
        ("24in-1080p", 609.6, (1920, 1080)),
        (' 13.3"-2560X1600 ', 337.82, (2560, 1600)),
        ("68.6cm-4k", 686, (3840, 2160)),
    ],
)
def test_a_display_has_the_pixels_per_degree_of_its_geometry(
    text: str, diagonal_mm: float, pixels: tuple[int, int]
) -> None:
    display = Display.parse(text)
    assert (display.width, display.height) == pixels
    # The angle of one pixel straight ahead.
    width_mm = diagonal_mm * pixels[0] / math.hypot(*pixels)
    pixel = 2 * math.degrees(math.atan(width_mm / pixels[0] / 2 / 600))
    assert display.pixels_per_degree(0.6) == pytest.approx(1 / pixel, rel=1e-6)


def test_distances_have_units() -> None:
    assert [parse_distance(text) for text in ("60cm", "0.6m", "600 mm", "24in", ".5M")] == [0.6, 0.6, 0.6, 0.6096, 0.5]


def test_the_defaults_are_those_that_are_stated() -> None:
    named = ViewingConditions.of()
    assert named == ViewingConditions.of(display=DEFAULT_DISPLAY, distance=DEFAULT_DISTANCE)
    assert ViewingConditions().pixels_per_degree == named.pixels_per_degree == pytest.approx(37.84, abs=0.01)
    assert (named.peak_luminance, named.ambient) == (200.0, 250.0)
    # A distance alone is that of the default display.
    assert ViewingConditions.of(distance="1.2m").pixels_per_degree == pytest.approx(2 * 37.8425, abs=0.001)


def test_black_is_what_the_display_leaks_and_reflects() -> None:
    assert ViewingConditions(peak_luminance=100.0, ambient=0.0).black_luminance == pytest.approx(0.1)
    # A lambertian surface that reflects 0.5 % of 314.16 lux has 0.5 cd/m2.
    lit = ViewingConditions(peak_luminance=100.0, ambient=100 * math.pi)
    assert (lit.reflected_luminance, lit.black_luminance) == (pytest.approx(0.5), pytest.approx(0.6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ppd": 60, "display": "27in-1440p"}, "--ppd and --display both say how large pixels are"),
        ({"ppd": 60, "distance": "60cm"}, "--ppd and --distance both say how large pixels are"),
        ({"ppd": 0.0}, "--ppd is 0; give a number from 5 to 500"),
        ({"display": "27in"}, "--display is '27in'; give size and resolution, like 27in-1440p"),
        ({"display": "27-1440p"}, "--display is '27-1440p'; give size"),
        ({"display": "27in-1600p"}, "--display is '27in-1600p'; give size"),
        ({"display": "0.1in-1440p"}, "--display is '0.1in-1440p'; give a diagonal from 1in to 1000in"),
        ({"display": "27in-20x30"}, "--display is '27in-20x30'; give a width and a height from 100 to 100000"),
        ({"display": "27in-720p", "distance": "5cm"}, "has 1.87 pixels per degree; choose them so that it has from 5"),
        ({"distance": "60"}, "--distance is '60'; give a number with its unit"),
        ({"distance": "-60cm"}, "--distance is '-60cm'; give a number with its unit"),
        ({"distance": "1mm"}, "--distance is '1mm'; give a distance from 5cm to 100m"),
        ({"peak_luminance": math.nan}, "--peak-luminance is nan; give a number from 1 to 10000"),
        ({"ambient": -1.0}, "--ambient is -1; give a number from 0 to 100000"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(PixqError) as error:
        ViewingOptions(**arguments).conditions  # type: ignore[arg-type]  # noqa: B018
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_options_that_were_given_are_known() -> None:
    assert ViewingOptions().named == ()
    assert ViewingOptions(ppd=60, peak_luminance=100).named == ("--ppd", "--peak-luminance")


class _File(FileModel):
    viewing: ViewingConditions


def test_they_are_part_of_files_and_checked_there() -> None:
    whole = _File(viewing=ViewingConditions.of(display="27in-1440p", ambient=10))
    assert _File.model_validate_json(whole.model_dump_json()) == whole
    for key, value in (("pixels_per_degree", "1"), ("ambient", "-1"), ("colour", "1"), ("peak_luminance", '"100"')):
        with pytest.raises(ValidationError):
            _File.model_validate_json(f'{{"viewing": {{"{key}": {value}}}}}')
    limits = _File.model_json_schema()["$defs"]["ViewingConditions"]["properties"]["pixels_per_degree"]
    assert (limits["minimum"], limits["maximum"]) == (5, 500)
