"""The page of `pixq serve` in a real browser: upload, look, zoom, and the keyboard."""

from __future__ import annotations

import numpy as np

from pixq._core import decode
from pixq.classes import CLASSES
from pixq.scoring.grid import Grid
from support import icc, serving, trees
from support.serve_page import Shown, quiet
from support.serving import Service


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


def test_images_are_shown_as_they_were_scored(shown: Shown, service: Service) -> None:
    """On the background that counts, and converted to sRGB."""
    size = (120, 170)
    glass = np.full((*size, 4), 255, np.uint8)
    glass[..., 3] = 128
    thin = glass.copy()
    thin[..., 3] = 60
    told = shown.score({"reference": ("a.png", serving.encoded(glass)), "distorted": ("b.png", serving.encoded(thin))})
    assert told["pixels"]["background"] == "black"
    for key, grey in (("1", 128), ("2", 60)):
        shown.page.keyboard.press(key)
        shown.settle()
        assert np.abs(np.array(shown.pixel(80, 60)) - grey).max() <= 1
    photo = trees.photo(1, size)
    profile = icc.rgb_profile(icc.P3, 2.2)
    wide = serving.encoded(photo, icc_profile=profile)
    told = shown.score({"reference": ("a.png", wide), "distorted": ("b.png", serving.encoded(photo))})
    assert told["pixels"]["reference_profile"] == "by hand"
    shown.page.keyboard.press("1")
    shown.settle()
    pixels = decode(wide)
    for y, x in ((10, 20), (60, 80), (100, 150)):
        assert np.abs(np.array(shown.pixel(x, y)) - pixels[y, x]).max() <= 2
    quiet(shown, service)
