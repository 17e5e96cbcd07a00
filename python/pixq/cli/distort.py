"""`pixq distort`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, ImageOptions
from pixq.distort import DISTORTIONS, LEVELS, find_references, parse_chain, read_references, write_tree, write_triplets
from pixq.errors import PixqError

__all__ = ["distort"]


def distort(
    *references: Path,
    out: Path,
    interpolation: Annotated[bool, Parameter(negative="")] = False,
    count: Annotated[int | None, number_in(ranges.COUNT)] = None,
    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    levels: str | None = None,
    chain: Annotated[list[str] | None, Parameter(negative=())] = None,
    seed: Annotated[int, number_in(ranges.SEED)] = 0,
    max_pixels: Annotated[int, number_in(ranges.MAX_PIXELS)] = 1 << 28,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Distort references, and write them as a dataset with synthetic scores, which don't come from people.

    By default, it writes whole images at levels of distortion, in the layout of jianjin008. With --interpolation, it
    writes 20x20 crops with dead pixels that two methods filled in, in the layout of triplets.

    Parameters
    ----------
    references
        Image files, or folders of them.
    out
        The folder to write.
    interpolation
        Write crops with interpolated dead pixels instead of whole distorted images.
    count
        With --interpolation: crops per reference. Default: 50.
    kinds
        Kinds of distortion. Default: all.
    levels
        Levels of each kind, 1 to 5, separated by commas. Default: 1,2,3,4,5.
    chain
        Kinds one after the other, each with its parameter, like gaussian_blur:2,jpeg:40; may be given several times.
        With it, --kinds has no default.
    seed
        Seed of everything random.
    max_pixels
        Refuse larger images.
    """
    if interpolation:
        for option, value in (("--kinds", kinds), ("--levels", levels), ("--chain", chain)):
            if value is not None:
                raise PixqError(f"{option} is for whole images, and --interpolation makes crops; leave one of them out")
    elif count is not None:
        raise PixqError("--count only has an effect together with --interpolation; add that, or remove --count")
    found = find_references(references)
    for item in found.left_out:
        note(item)
    for copy, original in found.copies.items():
        warn(f"{found.files[copy]}: looks like a copy of {original}; if it is, its images are in the dataset twice")
    pictures = read_references(found.files.values(), max_pixels=max_pixels, reading=images.reading)
    if interpolation:
        crops = 50 if count is None else count
        written = write_triplets(pictures, out, crops, seed)
        made = f"{2 * crops * len(pictures)} pairs of {crops * len(pictures)} crops"
        dataset = "triplets"
    else:
        chains = [parse_chain(text) for text in dict.fromkeys(chain or ())]
        names = [name for item in kinds or ([] if chains else DISTORTIONS) for name in item.split(",")]
        if levels is not None and not names:
            raise PixqError("--levels has no effect on --chain alone; add --kinds, or remove it")
        ladder = _levels(levels)
        written = write_tree(pictures, out, list(dict.fromkeys(names)), ladder, seed, chains)
        made = f"{len(pictures) * (len(set(names)) * len(set(ladder)) + len(chains))} distorted images"
        dataset = "jianjin008"
    print_lines(
        f"{out}: {made} of {len(pictures)} references, {'written' if written else 'there already'}; "
        f"read it with --dataset {dataset}. Its scores are synthetic: no person gave them."
    )
    return 1 if found.left_out else 0


def _levels(text: str | None) -> list[int]:
    """Parse levels separated by commas."""
    if text is None:
        return list(range(1, LEVELS + 1))
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(1 <= level <= LEVELS for level in levels):
        raise PixqError(f"--levels is {text!r}; give numbers from 1 to {LEVELS} separated by commas, like 1,2,3")
    return levels
