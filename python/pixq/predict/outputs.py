"""The files that `pixq predict` writes: where they go, and writing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.drawing import map_pictures
from pixq.errors import PixqError
from pixq.io.atomic import NAME_BYTES, save_bytes
from pixq.predict.decoding import Opened
from pixq.predict.json_file import PixelsEntry, prediction, write_prediction
from pixq.predict.pairs import Matched, Pair
from pixq.predict.tables import Predicted, write_table
from pixq.predict.value_files import ENDINGS as VALUES
from pixq.predict.value_files import JND_ENDINGS, write_jnd, write_values
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["NO_CALIBRATION", "Outputs", "check_outputs", "write"]

#: The warning about a map whose classes no target domain has set.
NO_CALIBRATION = (
    "there is no calibration: Red, Orange and Green follow from quality alone; pixq calibrate sets them for a domain"
)


@dataclass(frozen=True)
class Outputs:
    """The files to write for a pair, or the folders to write them to for many pairs; `None` is not written.

    Parameters
    ----------
    map, heat, side
        PNG pictures: the classes over the distorted image, how many people notice as a heat map, and both images beside
        the map.
    values
        Quality per pixel: `.npy`, `.tif` or `.tiff`; in a folder `.npy`.
    jnd
        JND per pixel: `.npy`.
    json
        Everything, as `pixq.predict.json_file.Prediction`. In a folder, pairs that are done are skipped; see
        `pixq.predict.resume_log`.
    csv
        One row per patch; for many pairs, one file with one row per pair.
    safe
        Whether pictures use the colours for colour-blind readers.
    """

    map: Path | None = None
    heat: Path | None = None
    side: Path | None = None
    values: Path | None = None
    json: Path | None = None
    csv: Path | None = None
    safe: bool = False
    jnd: Path | None = None

    def check(self, matched: Matched, inputs: tuple[Path, ...]) -> None:
        """Check that everything can be written, before anything is computed.

        Raises
        ------
        PixqError
            If a name has the wrong ending, or is that of an input or of another output.
        """
        images = [path for pair in matched.pairs for path in (pair.reference, pair.distorted)] + list(matched.unpaired)
        if not matched.folder:
            check_outputs(self.files(), {name: endings for name, _, endings in self._requested()}, images)
            return
        check_outputs({"csv": self.csv}, {"csv": (".csv",)}, images)
        seen: dict[Path, str] = {}
        for name, path, endings in self._requested():
            if name == "csv":
                continue
            if path.exists() and not path.is_dir():
                raise PixqError(f"--{name} {path}: is a file; give the name of a folder, as the images are in folders")
            for folder in inputs:
                if folder.is_dir() and path.resolve().is_relative_to(folder.resolve()):
                    raise PixqError(
                        f"--{name} {path}: is inside {folder}, whose images are read; choose another folder"
                    )
            # Different outputs may share a folder if their endings differ.
            if (other := seen.setdefault(path.resolve() / endings[0], name)) != name:
                raise PixqError(f"--{name} {path}: is also what --{other} writes; choose another name")
        read = _identities(images)
        for pair in matched.pairs:
            for name, path in self.of(pair).files().items():
                if _identities([path]) & read:
                    raise PixqError(
                        f"--{name} {getattr(self, name)}: {path} is one of the images; choose another folder"
                    )

    def of(self, pair: Pair) -> Outputs:
        """The files of one of many pairs."""
        files: dict[str, Any] = {
            name: path / f"{pair.name}{endings[0]}" for name, path, endings in self._requested() if name != "csv"
        }
        return replace(self, **files, csv=None)

    def check_names(self, pair: Pair) -> None:
        """Check that the files of a pair can have the names that follow from the image's.

        Raises
        ------
        PixqError
            If one is too long.
        """
        for path in self.files().values():
            if len(os.fsencode(path.name)) > NAME_BYTES:
                raise PixqError(
                    f"{pair.distorted}: its output {path.name} would have a name of more than {NAME_BYTES} bytes; "
                    "rename the image"
                )

    def files(self) -> dict[str, Path]:
        """The files of a pair, by option."""
        return {name: path for name, path, _ in self._requested()}

    def _requested(self) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
        endings = {
            "map": (".png",), "heat": (".png",), "side": (".png",), "values": VALUES, "json": (".json",),
            "jnd": JND_ENDINGS,
        }  # fmt: skip
        for name in (*endings, "csv"):
            path: Path | None = getattr(self, name)
            if path is not None:
                yield name, path, endings.get(name, (".csv",))


def check_outputs(
    files: Mapping[str, Path | None], endings: Mapping[str, tuple[str, ...]], inputs: Iterable[Path]
) -> None:
    """Check, before any work, that output files have valid names and overwrite neither inputs nor each other.

    Parameters
    ----------
    files
        By option, without its dashes; `None` is not written.
    endings
        The endings that each may have, in lower case.
    inputs
        Files that are read; none of them may be written to, not even through a link.

    Raises
    ------
    PixqError
        If one is a folder, has the wrong ending, or is an input or the file of another option.

    Examples
    --------
    >>> check_outputs({"map": Path("a.jpg"), "csv": None}, {"map": (".png",), "csv": (".csv",)}, [])
    Traceback (most recent call last):
    pixq.errors.PixqError: --map a.jpg: give a name that ends in .png
    """
    read = _identities(inputs)
    seen: dict[Path, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if path.is_dir():
            raise PixqError(f"--{name} {path}: is a folder; give the name of a file")
        if path.suffix.lower() not in endings[name]:
            raise PixqError(f"--{name} {path}: give a name that ends in {' or '.join(endings[name])}")
        if _identities([path]) & read:
            raise PixqError(f"--{name} {path}: is one of the images; choose another name")
        if (other := seen.setdefault(path.resolve(), name)) != name:
            raise PixqError(f"--{name} {path}: is also what --{other} writes; choose another name")


def _identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Device and inode of each file that exists: the same for all its names."""
    identities = set()
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            identities.add((stat.st_dev, stat.st_ino))
    return identities


def write(
    quality_map: QualityMap,
    opened: Opened,
    pair: Pair,
    scorer: Scorer,
    outputs: Outputs,
    pixels: PixelsEntry | None = None,
) -> None:
    """Write the outputs of one pair.

    Raises
    ------
    PixqError
        If one can't be written.
    """
    if outputs.map is not None:
        _picture(outputs.map, map_pictures.overlay(quality_map, opened.distorted, safe=outputs.safe))
    if outputs.heat is not None:
        _picture(outputs.heat, map_pictures.heat(quality_map, opened.distorted))
    if outputs.side is not None:
        side = map_pictures.side_by_side(quality_map, opened.reference, opened.distorted, safe=outputs.safe)
        _picture(outputs.side, side)
    opened.release()
    if outputs.values is not None:
        write_values(quality_map, outputs.values)
    if outputs.jnd is not None:
        write_jnd(quality_map, outputs.jnd)
    if outputs.csv is not None:
        write_table([Predicted(*pair.names, quality_map)], outputs.csv)
    if outputs.json is not None:
        made = prediction(
            quality_map,
            reference=pair.names[0],
            distorted=pair.names[1],
            model=scorer.recipe.model.name,
            blake3=scorer.blake3,
            warnings=[NO_CALIBRATION] if quality_map.cut_scale == "quality" else [],
            pixels=pixels,
        )
        write_prediction(made, outputs.json)


def _picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    save_bytes(path, map_pictures.encode(pixels))
