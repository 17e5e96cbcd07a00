"""What a picture's file says beside the picture: participants receive it with it."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

__all__ = ["notes_in"]

#: What files carry besides their picture: PNG's chunks, and what Pillow finds in others. A colour profile is no note.
_CHUNKS = {b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"eXIf": "EXIF"}
_NOTES = {"comment": "a comment", "exif": "EXIF", "photoshop": "IPTC", "xmp": "XMP"}


def notes_in(path: Path) -> set[str]:
    """Kinds of words within a PNG, JPEG or WebP, such as `EXIF`; colour profiles and JFIF are part of the picture."""
    with Image.open(path) as image:
        if image.format != "PNG":
            return {name for key, name in _NOTES.items() if image.info.get(key)}
    # Pillow sees what comes after the pixels only once it has decoded them again.
    found = set()
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            found |= {_CHUNKS[head[4:]]} if head[4:] in _CHUNKS else set()
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return found
