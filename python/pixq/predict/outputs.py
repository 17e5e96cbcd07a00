"""What a prediction leaves on disk, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.drawing import map_pictures
from pixq.errors import PixqError
from pixq.io.atomic import save_bytes
from pixq.predict.decoding import Opened
from pixq.predict.json_file import prediction, write_prediction
from pixq.predict.pairs import Matched, Pair
from pixq.predict.tables import Predicted, write_table
from pixq.predict.value_files import ENDINGS as VALUES
from pixq.predict.value_files import write_values
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["NO_CALIBRATION", "Outputs", "check_outputs", "write"]

#: What is said of a map whose classes no target domain has set.
NO_CALIBRATION = (
    "there is no calibration: Red, Orange and Green are by quality alone; pixq calibrate sets them for a domain"
)


@dataclass(frozen=True)
class Outputs:
    """Files of a pair, or folders of such of many pairs; `None` is not written.

    Parameters
    ----------
    map, heat, side
        Pictures, PNG: the classes over the distorted image, quality as a heat map, and both images beside the map.
    values
        Quality by pixel: `.npy`, `.tif` or `.tiff`; in a folder `.npy`.
    json
        Everything, as `pixq.predict.json_file.Prediction`. In a folder, pairs that are done are not computed again; see
        `pixq.predict.resume_log`.
    csv
        A line a patch; of many pairs, one file with a line a pair.
    safe
        Whether pictures have the colours for colour-blind readers.
    """

    map: Path | None = None
    heat: Path | None = None
    side: Path | None = None
    values: Path | None = None
    json: Path | None = None
    csv: Path | None = None
    safe: bool = False

    def check(self, matched: Matched, inputs: tuple[Path, Path]) -> None:
        """See to it that everything can be written before anything is computed.

        Raises
        ------
        PixqError
            If a name has another ending than it must have, or is that of an input or another output.
        """
        images = [path for pair in matched.pairs for path in (pair.reference, pair.distorted)] + list(matched.alone)
        if not matched.folder:
            check_outputs(self.files(), {name: endings for name, _, endings in self._given()}, images)
            return
        check_outputs({"csv": self.csv}, {"csv": (".csv",)}, images)
        seen: dict[Path, str] = {}
        for name, path, endings in self._given():
            if name == "csv":
                continue
            if path.exists() and not path.is_dir():
                raise PixqError(f"--{name} {path}: is a file; for folders, give the name of a folder")
            for folder in inputs:
                if folder.is_dir() and path.resolve().is_relative_to(folder.resolve()):
                    raise PixqError(f"--{name} {path}: lies in {folder}, whose images are read; give another folder")
            # Different things may go into one folder if they end differently.
            if (other := seen.setdefault(path.resolve() / endings[0], name)) != name:
                raise PixqError(f"--{name} {path}: is what --{other} writes; give another name")
        read = _same(images)
        for pair in matched.pairs:
            for name, path in self.of(pair).files().items():
                if _same([path]) & read:
                    raise PixqError(f"--{name} {getattr(self, name)}: {path} is one of the images; give another folder")

    def of(self, pair: Pair) -> Outputs:
        """Where the outputs of one of many pairs go."""
        files: dict[str, Any] = {
            name: path / f"{pair.name}{endings[0]}" for name, path, endings in self._given() if name != "csv"
        }
        return replace(self, **files, csv=None)

    def files(self) -> dict[str, Path]:
        """A pair's outputs by name."""
        return {name: path for name, path, _ in self._given()}

    def _given(self) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
        endings = {"map": (".png",), "heat": (".png",), "side": (".png",), "values": VALUES, "json": (".json",)}
        for name in (*endings, "csv"):
            path: Path | None = getattr(self, name)
            if path is not None:
                yield name, path, endings.get(name, (".csv",))


def check_outputs(
    files: Mapping[str, Path | None], endings: Mapping[str, tuple[str, ...]], inputs: Iterable[Path]
) -> None:
    """See to it, before anything is computed, that files can be written, and that none is an input or another output.

    Parameters
    ----------
    files
        By option, without its dashes; `None` is not written.
    endings
        What the name of each may end in, in small letters.
    inputs
        Files that are read; through links, too, none of them may be written.

    Raises
    ------
    PixqError
        If one is a folder, has another ending, or is an input or what another option writes.

    Examples
    --------
    >>> check_outputs({"map": Path("a.jpg"), "csv": None}, {"map": (".png",), "csv": (".csv",)}, [])
    Traceback (most recent call last):
    pixq.errors.PixqError: --map a.jpg: give a name that ends in .png
    """
    read = _same(inputs)
    seen: dict[Path, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if path.is_dir():
            raise PixqError(f"--{name} {path}: is a folder; give the name of a file")
        if path.suffix.lower() not in endings[name]:
            raise PixqError(f"--{name} {path}: give a name that ends in {' or '.join(endings[name])}")
        if _same([path]) & read:
            raise PixqError(f"--{name} {path}: is one of the images; give another name")
        if (other := seen.setdefault(path.resolve(), name)) != name:
            raise PixqError(f"--{name} {path}: is what --{other} writes; give another name")


def _same(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """What tells files apart, whatever they are called; of those that exist."""
    found = set()
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found.add((stat.st_dev, stat.st_ino))
    return found


def write(found: QualityMap, opened: Opened, pair: Pair, scorer: Scorer, outputs: Outputs) -> None:
    """Write the outputs of one pair, each whole or not at all.

    Raises
    ------
    PixqError
        If one can't be written.
    """
    if outputs.map is not None:
        _picture(outputs.map, map_pictures.overlay(found, opened.distorted, safe=outputs.safe))
    if outputs.heat is not None:
        _picture(outputs.heat, map_pictures.heat(found, opened.distorted))
    if outputs.side is not None:
        side = map_pictures.side_by_side(found, opened.reference, opened.distorted, safe=outputs.safe)
        _picture(outputs.side, side)
    opened.release()
    if outputs.values is not None:
        write_values(found, outputs.values)
    if outputs.csv is not None:
        write_table([Predicted(pair.reference, pair.distorted, found)], outputs.csv)
    if outputs.json is not None:
        made = prediction(
            found,
            reference=pair.reference,
            distorted=pair.distorted,
            model=scorer.recipe.model.name,
            blake3=scorer.blake3,
            warnings=[NO_CALIBRATION] if found.calibration is None else [],
        )
        write_prediction(made, outputs.json)


def _picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    save_bytes(path, map_pictures.encode(pixels))
