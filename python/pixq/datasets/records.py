"""Records of triplets: each describes a clean crop and a distorted one, and is checked when it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pixq import classes
from pixq.datasets.labels import check_text
from pixq.datasets.scores import read_text
from pixq.errors import PixqError
from pixq.io.paths import nfc

__all__ = ["Rectangle", "TripletRecord", "read_records"]

#: Left column, top row, width and height, in pixels.
Rectangle = tuple[int, int, int, int]

METHODS = ("new", "ref")

#: Largest number of digits in the number of a file.
_DIGITS = 9
_NUMBER = re.compile(r"(\d{1,9})(\.png)?", re.ASCII | re.IGNORECASE)
_ATTRIBUTE_LENGTH = 200


@dataclass(frozen=True)
class TripletRecord:
    """A record of a metadata file.

    `clean` and `distorted` are the numbers of the files; `side` is `train` or `test`, or `None` if the file has no
    split; `source` and `roi` say where the crop was cut, if known; `where` names the file and the record.
    """

    where: str
    position: int
    side: Literal["train", "test"] | None
    clean: int
    distorted: int
    method: str
    score: float
    source: str | None
    roi: Rectangle | None
    attributes: Mapping[str, str]


def read_records(path: Path, name: str, side: Literal["train", "test"] | None) -> list[TripletRecord]:
    """Read the records of a metadata file: a JSON list, or a JSON object with a list under `data`.

    Parameters
    ----------
    path
        The file.
    name
        Name of the file in messages for manifests, which don't say where a dataset lies.
    side
        The side of the dataset's own split that the file holds.

    Raises
    ------
    PixqError
        If the file is not such a list, or a record is wrong or contradicts itself.
    """
    try:
        loaded = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); fix the file") from None
    if isinstance(loaded, dict):
        loaded = loaded.get("data")
    if not isinstance(loaded, list):
        raise PixqError(f'{path}: holds no list of records; write it as [...] or {{"data": [...]}}')
    return [_Reader(path, position, item).record(name, side) for position, item in enumerate(loaded, start=1)]


class _Reader:
    """Reads one record; errors name the file and the record, and say how to fix it."""

    def __init__(self, path: Path, position: int, item: object) -> None:
        self._at = f"{path}, record {position}"
        self._position = position
        if not isinstance(item, dict):
            raise PixqError(f"{self._at}: is not an object; write it as {{...}}")
        self._item: dict[str, Any] = item
        sample = item.get("unique_sample_id")
        if isinstance(sample, str | int) and not isinstance(sample, bool):
            self._at += f" (sample {str(sample)[:40]!r})"
        metadata = item.get("metadata")
        if not isinstance(metadata, dict):
            raise self._fault("has no metadata", 'give it "metadata": {...}')
        self._metadata: dict[str, Any] = metadata

    def record(self, name: str, side: Literal["train", "test"] | None) -> TripletRecord:
        score = self._score()
        method = self._metadata.get("method")
        if method not in METHODS:
            raise self._fault(f"the method {_short(method)} is unknown", f"write {' or '.join(METHODS)}")
        source = self._text("image_source") or self._text("source")
        attributes = {
            "method": method,
            "bp_case": self._text("bp_case"),
            "color": _named(score),
            "source": source,
            "crop_id": self._text("crop_id"),
        }
        return TripletRecord(
            where=f"{name}, record {self._position}",
            position=self._position,
            side=side,
            clean=self._number("clean_image"),
            distorted=self._number("distorted_image"),
            method=method,
            score=score,
            source=source,
            roi=self._roi(),
            attributes={key: text for key, text in attributes.items() if text is not None},
        )

    def _fault(self, what: str, fix: str) -> PixqError:
        return PixqError(f"{self._at}: {what}; {fix}")

    def _number(self, key: str) -> int:
        """The number of a file: 12, "12" or "12.png"."""
        value = self._item.get(key)
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise self._fault(
                f"{key} is {_short(value)}, not the number of a file",
                f"write a whole number of at most {_DIGITS} digits",
            )
        return int(match[1])

    def _score(self) -> float:
        """The score, which the colour and the score in the metadata must repeat."""
        score = self._quality(self._item, "score")
        color = self._metadata.get("color")
        if color is not None:
            try:
                number = classes.class_of_label(color if isinstance(color, str) else "")
            except PixqError:
                names = ", ".join(classes.NAMES)
                raise self._fault(f"the color {_short(color)} is unknown", f"write one of {names}") from None
            if classes.CLASSES[number].quality != score:
                raise self._fault(
                    f"score {score:g} is {_named(score)}, but color is {_short(color)}", "fix whichever is wrong"
                )
        if self._metadata.get("score") is not None:
            repeated = self._quality(self._metadata, "score")
            if repeated != score:
                raise self._fault(
                    f"score is {score:g}, but its metadata's score is {repeated:g}", "fix whichever is wrong"
                )
        return score

    def _quality(self, of: Mapping[str, Any], key: str) -> float:
        value = of.get(key)
        names = {patch_class.quality: patch_class.name for patch_class in classes.CLASSES}
        if not isinstance(value, int | float) or isinstance(value, bool) or value not in names:
            classed = ", ".join(f"{quality:g} ({name})" for quality, name in names.items())
            raise self._fault(f"{key} {_short(value)} is not the score of a class", f"write one of {classed}")
        return float(value)

    def _roi(self) -> Rectangle | None:
        """The crop's rectangle in its source."""
        value = self._metadata.get("roi")
        if value is None:
            return None
        whole = isinstance(value, list) and len(value) == 4 and all(_is_whole(part) for part in value)
        if not whole or min(value) < 0 or min(value[2:]) < 1 or max(value) >= 2**31:
            raise self._fault(
                f"the roi {_short(value)} is not a rectangle",
                "write [x, y, width, height] in whole pixels, like [8, 40, 20, 20]",
            )
        x, y, width, height = (int(part) for part in value)
        return x, y, width, height

    def _text(self, key: str) -> str | None:
        """A short text of the metadata, or `None` if it is missing or empty."""
        value = self._metadata.get(key)
        if value is None or value == "":
            return None
        text = nfc(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        if text is None or len(text) > _ATTRIBUTE_LENGTH or not text.isprintable():
            raise self._fault(
                f"{key} is {_short(value)}, not a short text",
                f"write one line of at most {_ATTRIBUTE_LENGTH} characters",
            )
        check_text(text, f"{self._at}: {key}")
        return text


def _named(score: float) -> str:
    """The class that a score stands for."""
    return next(patch_class.name for patch_class in classes.CLASSES if patch_class.quality == score)


def _is_whole(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
