"""`pixq ladder`: its verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pixq import ranges
from pixq._core import set_num_threads
from pixq.cli.messages import note, print_lines
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, NAMED, ImageOptions
from pixq.cli.progress import progress_bar
from pixq.ladders.make import make_ladders, parse_levels

__all__ = ["ladder"]

ladder = App(name="ladder", help_format="plaintext", result_action="return_value")


@ladder.command
def make(
    *references: Annotated[Path, Parameter(negative="")],
    out: Path,
    codec: str = "jpeg",
    levels: str | None = None,
    chroma: str | None = None,
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Encode images at rising levels, and measure each level.

    Each image gets a folder with its pixels as PNG, its levels in a folder per codec, and ladder.json, which says how
    each level was made and how far it is from the image. pixq pjnd, pixq critical and pixq study new read the levels.
    Images that are done are skipped when you run the command again.

    Parameters
    ----------
    references
        Image files, or folders of them.
    out
        The folder to write to.
    codec
        Codecs with commas between them: jpeg, webp, avif, jpeg2000, jxl, hevc, or a kind of pixq distort, such as
        gaussian_blur.
    levels
        Like 1-100 or 5,10,20; the higher, the stronger the distortion. Default: all of each codec, 1-100, for hevc
        1-51.
    chroma
        4:4:4 or 4:2:0, for codecs that have the choice: jpeg, avif, hevc. Default: 4:2:0.
    threads
        Number of threads. Default: all cores.
    """
    if threads is not None:
        set_num_threads(threads)
    codecs = [name.strip() for name in codec.split(",")]
    with progress_bar() as on_progress:
        made = make_ladders(
            references, out, codecs, None if levels is None else parse_levels(levels),
            chroma=chroma, reading=images.reading, threads=threads, on_progress=on_progress,
        )  # fmt: skip
    for item in made.left_out:
        note(item)
    for rung in made.not_worse[:NAMED]:
        note(f"{rung.source}: {rung.codec} level {rung.level} is not worse than the level below it")
    if len(made.not_worse) > NAMED:
        note(
            f"{len(made.not_worse) - NAMED} more levels are not worse than the level below them; ladder.json lists all"
        )
    before = f", {len(made.before)} of them done before" if made.before else ""
    print_lines(f"{out}: {made.levels:,} levels of {len(made.sources)} images{before}")
    return 1 if made.left_out else 0
