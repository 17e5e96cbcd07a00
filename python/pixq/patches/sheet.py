"""Contact sheets: a picture of patches from a set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq.patches.store import PatchSet
from pixq.ranges import whole

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["contact_sheet"]

BACKGROUND, INK, FAINT, OUTLINE = (250, 250, 248), (30, 30, 30), (110, 110, 110), (0, 114, 178)
GAP, MARGIN, LINE = 4, 16, 15

#: How many records to draw, how many side by side, and screen pixels per patch pixel.
RECORDS, COLUMNS, SCALE = whole(1, 10_000), whole(1, 100), whole(1, 32)

#: Differences are amplified by this factor, to make small ones visible.
DIFFERENCE_GAIN = 4


def contact_sheet(patches: PatchSet, *, count: int = 48, columns: int = 4, scale: int = 4, seed: int = 0) -> Image:
    """Draw `count` records: the reference, the fused patch and their difference, with a caption.

    Records are chosen evenly over the range of quality and go from worst to best. The RoI is only outlined on the
    reference, so that nothing covers the pixels of the fused patch.

    Parameters
    ----------
    patches
        A patch set or a selection of one.
    count
        Number of records to draw; fewer if the set has fewer.
    columns
        Number of records side by side.
    scale
        Screen pixels per patch pixel.
    seed
        Seed of the choice.

    Raises
    ------
    PixqError
        If no record is selected, or a number is out of range.
    """
    from PIL import Image, ImageDraw, ImageFont

    RECORDS.check(count, "--count")
    COLUMNS.check(columns, "--columns")
    SCALE.check(scale, "--scale")
    ranges.SEED.check(seed, "--seed")
    patches.check_not_empty()
    rows = _spread(patches.records.quality, count, seed)
    chosen = patches[rows]
    records = chosen.records
    reference, fused = chosen.reference[records.reference_row], chosen.fused()
    difference = np.abs(reference.astype(np.int16) - fused)
    amplified = np.minimum(difference * DIFFERENCE_GAIN, 255).astype(np.uint8)

    side = patches.geometry.size * scale
    cell_width, cell_height = 3 * side + 2 * GAP + MARGIN, side + 3 * LINE + MARGIN
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, lines * cell_height + 3 * LINE + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(13), ImageFont.load_default(11)
    dataset = patches.manifest["dataset"]["name"]
    synthetic = ", labels are synthetic" if patches.manifest["label_contract"]["synthetic"] else ""
    title = f"{dataset}: {len(rows)} of {len(patches)} records{synthetic}"
    draw.text((MARGIN, MARGIN - 6), title, INK, font)
    legend = f"reference (RoI outlined) | fused patch | difference x{DIFFERENCE_GAIN}; from worst to best quality"
    draw.text((MARGIN, MARGIN + LINE - 4), legend, FAINT, small)
    y0, x0, height, width = patches.geometry.roi_box
    for number in range(len(rows)):
        left = MARGIN + number % columns * cell_width
        top = 3 * LINE + MARGIN + number // columns * cell_height
        for place, patch in enumerate((reference[number], fused[number], amplified[number])):
            picture = Image.fromarray(patch).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (left + place * (side + GAP), top))
        roi = (left + x0 * scale - 1, top + y0 * scale - 1, left + (x0 + width) * scale, top + (y0 + height) * scale)
        draw.rectangle(roi, outline=OUTLINE)
        image = patches.images[records.image[number]]
        psnr = "identical" if records.identical[number] else f"{records.psnr[number]:.1f} dB"
        fusion = patches.fusions[records.fusion[number]]
        draw.text((left, top + side + 2), f"q {records.quality[number]:.2f}   {psnr}   {fusion}", INK, small)
        origin = f"{image['image_id']}  x {records.x[number]}, y {records.y[number]}"
        draw.text((left, top + side + 2 + LINE), _fit(origin, 3 * side + 2 * GAP, small), FAINT, small)
    return sheet


def _fit(text: str, width: int, font: object) -> str:
    """Shorten `text` in the middle to a width of `width` pixels."""
    length = font.getlength  # type: ignore[attr-defined]
    if length(text) <= width:
        return text
    keep = len(text)
    while keep > 4 and length(f"{text[: keep // 2]}…{text[-keep // 2 :]}") > width:
        keep -= 1
    return f"{text[: keep // 2]}…{text[-keep // 2 :]}"


def _spread(quality: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    """Choose `count` rows evenly from all rows in order of quality, from worst to best."""
    # Without the shuffle, rows of equal quality would come in the order of the file, all from one image.
    shuffled = np.random.default_rng(seed).permutation(len(quality))
    ordered = shuffled[np.argsort(quality[shuffled], kind="stable")]
    count = min(count, len(ordered))
    edges = np.linspace(0, len(ordered), count + 1).astype(np.int64)
    middles: NDArray[np.int64] = ordered[(edges[:-1] + edges[1:]) // 2]
    return middles
