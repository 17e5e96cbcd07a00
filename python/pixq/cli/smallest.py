"""`pixq smallest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq._core import set_num_threads
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, AT_A_DESK, ImageOptions, ViewingOptions
from pixq.cli.progress import progress_bar
from pixq.errors import printable
from pixq.ladders.smallest import MARGIN, choose_limit
from pixq.ladders.smallest_files import CSV, SMALLEST, SmallestEntry, make_smallest
from pixq.scoring.scorer import load

__all__ = ["smallest"]


def smallest(
    *photos: Annotated[Path, Parameter(negative="")],
    out: Path,
    codec: str = "jpeg",
    margin: Annotated[float, number_in(ranges.MARGIN)] = MARGIN,
    max_share: Annotated[float | None, number_in(ranges.PROBABILITY)] = None,
    chroma: str | None = None,
    run: Path | None = None,
    calibration: str | None = None,
    stride: Annotated[int | None, number_in(ranges.STRIDE)] = None,
    device: str = "cpu",
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    viewing: ViewingOptions = AT_A_DESK,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Write the smallest file of each photograph whose difference from it nobody notices.

    The strongest level of each codec is found by bisection, with at most nine files encoded and compared with the
    photograph. Sizes are compared with JPEG of quality 90. Files have no metadata, and are in sRGB. Photographs that
    are done are skipped when you run the command again.

    Parameters
    ----------
    photos
        Image files, or folders of them.
    out
        The folder to write to: a file per photograph and codec, smallest.json and smallest.csv.
    codec
        Codecs with commas between them: jpeg, webp, avif, jpeg2000, jxl, hevc.
    margin
        How far below what half of the people notice a file must stay, 0 to 1. The default means 0.75 JND: at most 23 %
        of people notice.
    max_share
        The largest share of patches, 0 to 1, that may be other than Green. Default: any.
    chroma
        4:4:4 or 4:2:0, for codecs that have the choice.
    run
        Directory of a run whose model to use. Default: the model that comes with pixq.
    calibration
        Name of the run's calibration to use.
    stride
        Pixels between neighbouring patches.
    device
        cpu, cuda, cuda:0, or auto.
    threads
        Number of threads. Default: all cores.
    """
    if threads is not None:
        set_num_threads(threads)
    if run is not None:
        viewing.check_run(run)
    scorer = load(run, device, calibration=calibration, viewing=viewing.conditions)
    limit = choose_limit(scorer, margin=margin, max_share=max_share, stride=stride, warn=warn)
    codecs = [name.strip() for name in codec.split(",")]
    with progress_bar() as on_progress:
        made = make_smallest(
            limit, photos, out, codecs,
            chroma=chroma, reading=images.reading, threads=threads, on_progress=on_progress,
        )  # fmt: skip
    print_lines(f"seen {scorer.viewing}")
    names = [printable(entry.photo) for entry in made.entries]
    width = max(map(len, names))
    heads = ("codec", "level", "bytes", "JPEG 90", "saving", "JND", "noticed by")
    print_lines(" " * width + "".join(f"{head:>12}" for head in heads))
    for name, entry in zip(names, made.entries, strict=True):
        print_lines(name.ljust(width) + "".join(f"{cell:>12}" for cell in _cells(entry)))
    for item in made.left_out:
        note(item)
    noticed = [entry for entry in made.entries if entry.file is None]
    for entry in noticed:
        chosen = " of chroma 4:2:0; try --chroma 4:4:4" if entry.chroma == "4:2:0" and entry.codec != "webp" else ""
        note(f"{entry.photo}: people would notice even the mildest level of {entry.codec}{chosen}; no file was written")
    before = f", {made.before} of them done before" if made.before else ""
    print_lines(f"{out}: {len(made.entries) - len(noticed)} files{before}; {SMALLEST} and {CSV} list them")
    return 1 if noticed or made.left_out else 0


def _cells(entry: SmallestEntry) -> tuple[str, ...]:
    compared = f"{entry.bytes_of_jpeg_90:,}"
    if entry.bytes is None or entry.saving is None or entry.jnd is None or entry.p_notice is None:
        return (entry.codec, "-", "-", compared, "-", "-", "-")
    return (
        entry.codec, f"{entry.level}", f"{entry.bytes:,}", compared, f"{entry.saving:.0%}", f"{entry.jnd:.2f}",
        f"{entry.p_notice:.0%}",
    )  # fmt: skip
