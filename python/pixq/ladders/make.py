"""Makes ladders: encodes images at rising levels, and measures each level."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq._core import mse, num_threads
from pixq._version import __version__
from pixq.distort.references import find_references
from pixq.drawing.map_pictures import encode as encode_png
from pixq.errors import PixqError
from pixq.io.atomic import WRITABLE, checksum, explain_os_errors, scratch_path
from pixq.io.folders import LeftOut, check_folder
from pixq.io.images import AS_SHOWN, ReadOptions, explain_image_errors, load_pixels, to_8_bits
from pixq.io.json_file import write_model
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.codecs import CODECS, LEVELS, Codec, choose_codec
from pixq.ladders.ladder_file import LADDER, CodecEntry, LadderFile, LevelEntry, SourceEntry, read_ladder_file

__all__ = ["MadeLadders", "NotWorse", "make_ladders", "parse_levels"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class NotWorse:
    """A level whose error is not above that of the level below it."""

    source: str
    codec: str
    level: int


@dataclass(frozen=True)
class MadeLadders:
    """What `make_ladders` made.

    Parameters
    ----------
    sources
        The names of all sources, each a folder.
    before
        Those that were made before.
    levels
        The number of levels of all sources and codecs.
    not_worse
        Levels that are not worse than the level below, or than the reference.
    left_out
        What folders of references hold besides and can't be read.
    """

    sources: tuple[str, ...]
    before: tuple[str, ...]
    levels: int
    not_worse: tuple[NotWorse, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class _Ladder:
    """What to make of one source with one codec."""

    codec: str
    chroma: str
    levels: tuple[int, ...]


def parse_levels(text: str) -> tuple[int, ...]:
    """Parse levels, such as `1-100`, `5,10,20` or `1-10,20`; they rise in the result.

    Raises
    ------
    PixqError
        If the text is something else, or a level is not from 1 to 100.

    Examples
    --------
    >>> parse_levels("20,1-3")
    (1, 2, 3, 20)
    """
    levels: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= LEVELS:
            raise PixqError(f"--levels is {text!r}; give numbers from 1 to {LEVELS}, like 1-100 or 5,10,20")
        levels.update(range(low, high + 1))
    return tuple(sorted(levels))


def make_ladders(
    references: Sequence[Path],
    out: Path,
    codecs: Sequence[str] = ("jpeg",),
    levels: Sequence[int] | None = None,
    *,
    chroma: str | None = None,
    reading: ReadOptions = AS_SHOWN,
    threads: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> MadeLadders:
    """Make ladders of images: encode each at rising levels of one codec or more, and measure each level.

    A source gets the folder `out/SOURCE`, which appears when all of it is made: the reference as `SOURCE.png`, each
    level in a folder `CODEC` as `SOURCE_CODEC_LEVEL`, and `ladder.json`. Of files that browsers don't show, the folder
    `CODEC` has PNG files of the same pixels, and the folder `encoded/CODEC` the files themselves. Sources that are made
    already are not made again. The bytes don't depend on the number of threads.

    Parameters
    ----------
    references
        Image files, and folders of them.
    out
        The folder to write to.
    codecs
        Names of `pixq.ladders.codecs.CODECS`.
    levels
        From 1 to 100, rising; `None`: all levels of each codec. Levels that a codec doesn't have are an error.
    chroma
        `4:4:4` or `4:2:0`, for codecs that have the choice; `None`: what is usual for each.
    reading
        How references are read; the levels are of their pixels at 8 bits.
    threads
        How many levels are encoded at a time; `None`: one per core. JPEG 2000 is encoded one at a time.
    on_progress
        Called with the stage `encoding` and the number of levels.

    Raises
    ------
    PixqError
        If a reference can't be read, a codec is unknown or not installed, or a folder is there already that was made in
        another way.
    """
    check_folder(out)
    found = find_references(references)
    ladders = [_plan(choose_codec(name), levels, chroma) for name in dict.fromkeys(codecs)]
    if not ladders:
        raise PixqError(f"no codec is named; choose {', '.join(CODECS)}")
    sources = _sources(found.files.values())
    if threads is not None:
        ranges.THREADS.check(threads, "--threads")
    done: dict[str, LadderFile] = {}
    for name, file in sources.items():
        if (made := _made_before(out / name, file, ladders, reading)) is not None:
            done[name] = made
    count = sum(len(ladder.levels) for ladder in ladders)
    total, before = count * len(sources), count * len(done)
    on_progress("encoding", before, total)
    left = {name: file for name, file in sources.items() if name not in done}
    before_names = tuple(done)
    if left:
        with ThreadPoolExecutor(threads or num_threads(), "pixq-encode") as pool:
            finished = before
            for name, file in left.items():
                for step in _make_source(pool, file, out / name, ladders, reading):
                    if isinstance(step, LadderFile):
                        done[name] = step
                    else:
                        finished += step
                        on_progress("encoding", finished, total)
    return MadeLadders(
        tuple(sources),
        before_names,
        total,
        tuple(
            NotWorse(name, entry.codec, level)
            for name in sources
            for entry in done[name].codecs
            for level in entry.not_worse
        ),
        found.left_out,
    )


def _plan(codec: Codec, levels: Sequence[int] | None, chroma: str | None) -> _Ladder:
    chosen = tuple(range(1, codec.levels + 1)) if levels is None else tuple(levels)
    if chosen[-1] > codec.levels:
        raise PixqError(f"--levels: {codec.title} has levels 1 to {codec.levels}, and {chosen[-1]} was asked for")
    return _Ladder(codec.name, codec.check_chroma(chroma), chosen)


def _sources(files: Iterable[Path]) -> dict[str, Path]:
    sources: dict[str, Path] = {}
    for file in files:
        if (other := sources.setdefault(file.stem, file)) != file:
            raise PixqError(f"{file}: {other} would have the same folder {file.stem}; rename one of them")
    return sources


def _made_before(folder: Path, file: Path, ladders: Sequence[_Ladder], reading: ReadOptions) -> LadderFile | None:
    """The `ladder.json` of a source that is complete; `None` if nothing is there.

    Raises
    ------
    PixqError
        If the folder holds something else.
    """
    if not folder.exists():
        return None
    if not (folder / LADDER).is_file():
        raise PixqError(f"{folder}: is there, and has no {LADDER}; choose another --out, or remove it")
    made = read_ladder_file(folder)
    with explain_image_errors(file):
        source = checksum(file)
    asked = [(ladder.codec, CODECS[ladder.codec].encoder(), ladder.chroma or None, ladder.levels) for ladder in ladders]
    there = [
        (entry.codec, entry.encoder, entry.chroma, tuple(level.level for level in entry.levels))
        for entry in made.codecs
    ]
    if (source.blake3, reading.colours, __version__, asked) != (
        made.source.blake3,
        made.source.colours,
        made.pixq,
        there,
    ):
        raise PixqError(
            f"{folder}: was made of another image, with other options, or with other versions of the encoders; choose "
            "another --out, or remove it"
        )
    for entry in made.codecs:
        for level in entry.levels:
            with explain_os_errors(folder / level.file, "remove the folder, so that it is made again"):
                same = checksum(folder / level.file).blake3 == level.blake3
            if not same or (level.shown is not None and not (folder / level.shown).is_file()):
                raise PixqError(f"{folder / level.file}: has changed; remove {folder}, so that it is made again")
    return made


def _make_source(
    pool: ThreadPoolExecutor, file: Path, folder: Path, ladders: Sequence[_Ladder], reading: ReadOptions
) -> Iterator[int | LadderFile]:
    """Make the folder of a source; give the number of levels that were made, again and again, and `ladder.json`."""
    name = folder.name
    scratch = scratch_path(folder)
    with explain_os_errors(folder, WRITABLE, scratch=scratch):
        _remove_stale(folder)
        try:
            pixels = to_8_bits(load_pixels(file, reading))
            height, width = pixels.shape[:2]
            scratch.mkdir(parents=True)
            (scratch / f"{name}.png").write_bytes(encode_png(pixels))
            with explain_image_errors(file):
                source = SourceEntry(
                    file=file.name, blake3=checksum(file).blake3, width=width, height=height, colours=reading.colours
                )
            for ladder in ladders:
                codec = CODECS[ladder.codec]
                (scratch / codec.name).mkdir()
                if not codec.is_shown:
                    (scratch / "encoded" / codec.name).mkdir(parents=True)
            work = partial(_make_level, pixels, name, scratch)
            waiting = [(ladder, pool.submit(work, ladder, level)) for ladder in ladders for level in ladder.levels]
            made: dict[str, list[LevelEntry]] = {ladder.codec: [] for ladder in ladders}
            try:
                for ladder, level in waiting:
                    made[ladder.codec].append(level.result())
                    yield 1
            finally:
                for _, level in waiting:
                    level.cancel()
                wait([level for _, level in waiting])
            described = LadderFile(
                pixq=__version__,
                source=source,
                reference=f"{name}.png",
                codecs=[_describe(ladder, made[ladder.codec]) for ladder in ladders],
            )
            write_model(described, scratch / LADDER)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    yield described


def _remove_stale(folder: Path) -> None:
    """Remove what processes that were killed left of this folder."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        number = left.name.rpartition("-")[2]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":
        # There, signal 0 is Ctrl-C.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _describe(ladder: _Ladder, levels: list[LevelEntry]) -> CodecEntry:
    codec = CODECS[ladder.codec]
    below = [0.0, *(entry.mse for entry in levels)]
    return CodecEntry(
        codec=codec.name,
        encoder=codec.encoder(),
        parameter=codec.parameter,
        chroma=ladder.chroma or None,
        levels=levels,
        not_worse=[entry.level for entry, lower in zip(levels, below, strict=False) if entry.mse <= lower],
    )


def _make_level(pixels: Pixels, name: str, folder: Path, ladder: _Ladder, level: int) -> LevelEntry:
    """Encode one level, write its files, and measure it."""
    codec = CODECS[ladder.codec]
    value = codec.value(level)
    data = codec.encode(pixels, value, ladder.chroma, name)
    decoded = codec.decode(data)
    error = float(mse(pixels, decoded))
    stem = f"{name}_{codec.name}_{level:03}"
    place = codec.name if codec.is_shown else f"encoded/{codec.name}"
    file, shown = f"{place}/{stem}{codec.ending}", None if codec.is_shown else f"{codec.name}/{stem}.png"
    (folder / file).write_bytes(data)
    if shown is not None:
        (folder / shown).write_bytes(encode_png(decoded))
    return LevelEntry(
        level=level,
        parameter=value,
        file=file,
        bytes=len(data),
        bits_per_pixel=round(8 * len(data) / (pixels.shape[0] * pixels.shape[1]), 6),
        blake3=checksum(folder / file).blake3,
        shown=shown,
        mse=round(error, 6),
        psnr=None if error == 0.0 else round(10.0 * math.log10(255.0**2 / error), 4),
    )
