"""Metadata in image files, such as EXIF, which participants of a study would download with the pictures."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

__all__ = ["metadata_kinds"]

#: PNG chunks that hold metadata.
_PNG_CHUNKS = {b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"eXIf": "EXIF"}
#: Keys under which Pillow gives the metadata of other formats. A colour profile belongs to the picture.
_PILLOW_KEYS = {"comment": "a comment", "exif": "EXIF", "photoshop": "IPTC", "xmp": "XMP"}


def metadata_kinds(path: Path) -> set[str]:
    """List the kinds of metadata in a PNG, JPEG or WebP file, such as `EXIF`; colour profiles and JFIF don't count."""
    with Image.open(path) as image:
        if image.format != "PNG":
            return {kind for key, kind in _PILLOW_KEYS.items() if image.info.get(key)}
    # Pillow finds chunks behind the pixels only by decoding them.
    kinds = set()
    with path.open("rb") as file:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            if kind := _PNG_CHUNKS.get(header[4:]):
                kinds.add(kind)
            file.seek(int.from_bytes(header[:4], "big") + 4, os.SEEK_CUR)
    return kinds
