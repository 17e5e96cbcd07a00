"""`ladder.json`: how the levels beside it were made, and how far each is from its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pixq.io.images import Colours
from pixq.io.json_file import FileModel, HexDigest, read_model

__all__ = ["FORMAT", "LADDER", "CodecEntry", "LadderFile", "LevelEntry", "SourceEntry", "read_ladder_file"]

FORMAT: Literal["pixq ladder"] = "pixq ladder"

#: Name of the file, in the folder of its source.
LADDER = "ladder.json"

Bytes = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1)]


class SourceEntry(FileModel):
    """The image that levels were made of."""

    file: Annotated[str, Field(description="name of the file that was read")]
    blake3: Annotated[HexDigest, Field(description="BLAKE3 of that file")]
    width: Side
    height: Side
    colours: Colours


class LevelEntry(FileModel):
    """A level of a ladder."""

    level: Annotated[int, Field(ge=1)]
    parameter: Annotated[float, Field(description="what the encoder was given")]
    file: Annotated[str, Field(description="what was encoded, relative to the folder of ladder.json")]
    bytes: Bytes
    bits_per_pixel: Annotated[float, Field(gt=0.0)]
    blake3: HexDigest
    shown: Annotated[
        str | None,
        Field(description="PNG file of the same pixels, where browsers can't show the file itself; null otherwise"),
    ]
    mse: Annotated[float, Field(ge=0.0, description="of its pixels and the reference's, 8 bits, RGB")]
    psnr: Annotated[float | None, Field(description="in dB; null if its pixels equal the reference's")]


class CodecEntry(FileModel):
    """The levels of one codec, rising."""

    codec: str
    encoder: Annotated[str, Field(description="name and version of the software")]
    parameter: Annotated[str, Field(description="meaning and range of the parameter")]
    chroma: Annotated[str | None, Field(description="4:4:4 or 4:2:0; null if the codec has no such choice")]
    levels: Annotated[list[LevelEntry], Field(min_length=1)]
    not_worse: Annotated[
        list[int], Field(description="levels whose MSE is not above that of the level below, or not above 0")
    ]


class LadderFile(FileModel):
    """The content of `ladder.json`."""

    # There is no time in it: the same input gives the same bytes.
    format: Literal["pixq ladder"] = FORMAT
    schema_version: Literal[1] = 1
    pixq: str
    source: SourceEntry
    reference: Annotated[str, Field(description="PNG file of the reference's pixels")]
    codecs: Annotated[list[CodecEntry], Field(min_length=1)]


def read_ladder_file(folder: Path) -> LadderFile:
    """Read the `ladder.json` of a folder.

    Raises
    ------
    PixqError
        If it is missing or damaged.
    """
    return read_model(LadderFile, folder / LADDER, "pixq ladder make")
