"""The smallest files of photographs that nobody can tell from them: finding, writing and listing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pixq import ranges
from pixq._core import num_threads
from pixq._version import __version__
from pixq.distort.references import find_references
from pixq.errors import PixqError
from pixq.io.atomic import checksum, save_bytes
from pixq.io.csv import csv_writer, name_cell
from pixq.io.folders import LeftOut, check_folder
from pixq.io.images import AS_SHOWN, Colours, ReadOptions, explain_image_errors, load_pixels, to_8_bits
from pixq.io.json_file import FileModel, HexDigest, Share, read_model, write_model
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.codecs import CODECS, Codec, choose_codec
from pixq.ladders.smallest import Limit, Smallest, find_smallest
from pixq.viewing import ViewingConditions

__all__ = ["CSV", "SMALLEST", "MadeSmallest", "SmallestEntry", "SmallestFile", "make_smallest"]

#: The names of the lists, in the folder of the files.
SMALLEST = "smallest.json"
CSV = "smallest.csv"

#: The level of JPEG to which sizes are compared: quality 90.
_COMPARED = 11

FORMAT: Literal["pixq smallest"] = "pixq smallest"


class SmallestEntry(FileModel):
    """What was found for a photograph and a codec; where even the mildest level is noticed, there is no file."""

    photo: Annotated[str, Field(description="name of the file, as given by the user")]
    photo_blake3: HexDigest
    codec: str
    encoder: str
    chroma: str | None
    file: Annotated[str | None, Field(description="name of the file that was written")]
    blake3: HexDigest | None
    level: Annotated[int, Field(ge=1)] | None
    parameter: float | None
    bytes: Annotated[int, Field(ge=1)] | None
    bytes_of_jpeg_90: Annotated[int, Field(ge=1, description="the photograph as JPEG of quality 90, 4:2:0")]
    jnd: Annotated[float, Field(ge=0.0)] | None
    p_notice: Share | None
    tried: Annotated[list[int], Field(min_length=1, description="the levels that were encoded and scored, in order")]

    @property
    def saving(self) -> float | None:
        """The share of bytes saved against JPEG of quality 90; negative if the file is larger."""
        return None if self.bytes is None else 1.0 - self.bytes / self.bytes_of_jpeg_90


class SmallestSettings(FileModel):
    """Everything but the photographs that the result depends on."""

    pixq: str
    model: str
    model_blake3: HexDigest
    calibration: str | None
    cut: Annotated[float, Field(description="what a level must reach; of a run of visibility, minus the highest JND")]
    max_share: Share | None
    stride: Annotated[int, Field(ge=1)]
    viewing: ViewingConditions
    colours: Colours


class SmallestFile(FileModel):
    """The content of `smallest.json`."""

    format: Literal["pixq smallest"] = FORMAT
    schema_version: Literal[1] = 1
    settings: SmallestSettings
    files: list[SmallestEntry]


@dataclass(frozen=True)
class MadeSmallest:
    """What `make_smallest` found, in the order of the photographs; `before` were found before."""

    entries: tuple[SmallestEntry, ...]
    before: int
    left_out: tuple[LeftOut, ...] = ()


def make_smallest(
    limit: Limit,
    photos: Sequence[Path],
    out: Path,
    codecs: Sequence[str] = ("jpeg",),
    *,
    chroma: str | None = None,
    reading: ReadOptions = AS_SHOWN,
    threads: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
    found: Callable[[SmallestEntry], None] | None = None,
) -> MadeSmallest:
    """Write the smallest file of each photograph and codec that is within the limit, and lists of them.

    A file is called like its photograph, with the codec's ending. `smallest.json` and `smallest.csv` list all of them,
    and are written again after each photograph, so that work that was interrupted goes on where it was.

    Parameters
    ----------
    limit
        What counts as noticed; see `pixq.ladders.smallest.choose_limit`.
    photos
        Image files, and folders of them.
    out
        The folder to write to.
    codecs, chroma
        As for `pixq.ladders.make.make_ladders`.
    reading
        How photographs are read; files have their pixels at 8 bits, in sRGB, and no metadata.
    threads
        How many codecs encode at a time; `None`: as many as there are cores.
    on_progress
        Called with the stage `searching` and the number of files.
    found
        Called with each entry, those that were found before included.

    Raises
    ------
    PixqError
        If a photograph can't be read, a codec is unknown or not installed, a file would overwrite another one, or the
        folder holds files that were made with other options.
    """
    if threads is not None:
        ranges.THREADS.check(threads, "--threads")
    chosen = [choose_codec(name) for name in dict.fromkeys(codecs)]
    chromas = {codec.name: codec.check_chroma(chroma) for codec in chosen}
    check_folder(out)
    references = find_references(photos)
    targets = _targets(list(references.files.values()), out, chosen)
    settings = _settings(limit, reading)
    known = _known(out, settings)
    entries: list[SmallestEntry] = []
    before, total = 0, len(targets) * len(chosen)
    with ThreadPoolExecutor(min(threads or num_threads(), len(chosen)), "pixq-encode") as pool:
        for photo, files in targets.items():
            on_progress("searching", len(entries), total)
            with explain_image_errors(photo):
                digest = checksum(photo).blake3
            done = {
                codec.name: entry
                for codec in chosen
                if (entry := known.get((digest, photo.name, codec.name))) is not None
                and (entry.encoder, entry.chroma) == (codec.encoder(), chromas[codec.name] or None)
                and (entry.file is None or _is_there(out / entry.file, entry.blake3))
            }
            before += len(done)
            missing = [codec for codec in chosen if codec.name not in done]
            ours = {entry.file for entry in known.values()}
            for codec in missing:
                if files[codec.name].exists() and files[codec.name].name not in ours:
                    raise PixqError(f"{files[codec.name]}: is there already; choose another --out, or remove it")
            if missing:
                pixels = to_8_bits(load_pixels(photo, reading))
                size = limit.scorer.size
                if min(pixels.shape[:2]) < size:
                    raise PixqError(
                        f"{photo}: has {pixels.shape[1]}x{pixels.shape[0]} pixels, and a patch takes {size}x{size}; "
                        "leave it out, or give a larger image"
                    )
                compared = len(CODECS["jpeg"].encode(pixels, CODECS["jpeg"].value(_COMPARED), "4:2:0", ""))
                searches = [
                    pool.submit(find_smallest, limit, pixels, codec, chromas[codec.name], photo.stem)
                    for codec in missing
                ]
                for codec, search in zip(missing, searches, strict=True):
                    smallest = search.result()
                    if smallest.trial is not None:
                        save_bytes(files[codec.name], smallest.trial.data)
                    done[codec.name] = _entry(photo, digest, codec, chromas[codec.name], smallest, compared, files)
            for codec in chosen:
                entries.append(done[codec.name])
                if found is not None:
                    found(done[codec.name])
            if missing:
                kept = {(entry.photo_blake3, entry.photo, entry.codec): entry for entry in entries}
                known = {**known, **kept}
                _write_lists(out, settings, list(known.values()))
    on_progress("searching", total, total)
    return MadeSmallest(tuple(entries), before, references.left_out)


def _targets(photos: Sequence[Path], out: Path, codecs: Sequence[Codec]) -> dict[Path, dict[str, Path]]:
    """The files of each photograph, by codec.

    Raises
    ------
    PixqError
        If two would have the same name, or one is a photograph.
    """
    targets: dict[Path, dict[str, Path]] = {}
    owners: dict[Path, tuple[Path, str]] = {}
    for photo in photos:
        targets[photo] = {codec.name: out / f"{photo.stem}{codec.ending}" for codec in codecs}
        for codec in codecs:
            file = targets[photo][codec.name]
            other, name = owners.setdefault(file, (photo, codec.name))
            if other != photo:
                raise PixqError(f"{photo}: its file {file.name} would also be that of {other}; rename one of them")
            if name != codec.name:
                raise PixqError(
                    f"--codec {name},{codec.name}: both would write {file.name}; give one of them at a time"
                )
            if file.exists() and any(file.samefile(photo) for photo in photos):
                raise PixqError(f"{file}: is one of the photographs, which are never overwritten; choose another --out")
    return targets


def _settings(limit: Limit, reading: ReadOptions) -> SmallestSettings:
    scorer = limit.scorer
    return SmallestSettings(
        pixq=__version__,
        model=scorer.recipe.model.name,
        model_blake3=scorer.blake3,
        calibration=limit.rule.name,
        cut=limit.cut,
        max_share=limit.max_share if limit.max_share is not None else limit.rule.share,
        stride=limit.rule.stride,
        viewing=scorer.viewing,
        colours=reading.colours,
    )


def _known(out: Path, settings: SmallestSettings) -> dict[tuple[str, str, str], SmallestEntry]:
    """What the folder's `smallest.json` lists, if it has one.

    Raises
    ------
    PixqError
        If it was made with other options.
    """
    if not (out / SMALLEST).exists():
        return {}
    made = read_model(SmallestFile, out / SMALLEST, "pixq smallest")
    if made.settings != settings:
        raise PixqError(f"{out / SMALLEST}: was made with other options or another model; choose another --out")
    return {(entry.photo_blake3, entry.photo, entry.codec): entry for entry in made.files}


def _is_there(file: Path, blake3: str | None) -> bool:
    try:
        return checksum(file).blake3 == blake3
    except OSError:
        return False


def _entry(
    photo: Path, digest: str, codec: Codec, chroma: str, smallest: Smallest, compared: int, files: dict[str, Path]
) -> SmallestEntry:
    trial = smallest.trial
    file = files[codec.name]
    return SmallestEntry(
        photo=photo.name,
        photo_blake3=digest,
        codec=codec.name,
        encoder=codec.encoder(),
        chroma=chroma or None,
        file=None if trial is None else file.name,
        blake3=None if trial is None else checksum(file).blake3,
        level=None if trial is None else trial.level,
        parameter=None if trial is None else trial.parameter,
        bytes=None if trial is None else len(trial.data),
        bytes_of_jpeg_90=compared,
        jnd=None if trial is None else trial.jnd,
        p_notice=None if trial is None else trial.p_notice,
        tried=[one.level for one in smallest.trials],
    )


def _write_lists(out: Path, settings: SmallestSettings, entries: Sequence[SmallestEntry]) -> None:
    columns = ("photo", "codec", "file", "level", "parameter", "bytes", "saving", "jnd", "p_notice")
    with csv_writer(out / CSV, columns) as add:
        for entry in entries:
            cells = (entry.level, entry.parameter, entry.bytes, entry.saving, entry.jnd, entry.p_notice)
            file = "" if entry.file is None else name_cell(entry.file)
            add([(name_cell(entry.photo), entry.codec, file, *("" if cell is None else cell for cell in cells))])
    # Last, since it says what is done.
    write_model(SmallestFile(settings=settings, files=list(entries)), out / SMALLEST)
