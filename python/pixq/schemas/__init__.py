"""JSON Schemas (draft 2020-12) of a patch set's files, and of a prediction."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Literal

__all__ = ["schema"]


def schema(name: Literal["manifest", "image", "record", "prediction"]) -> dict[str, Any]:
    """The schema of `manifest.json`, of a line of `images.jsonl`, of a line of a shard's records, or of a prediction.

    Examples
    --------
    >>> schema("record")["properties"]["quality"]["maximum"]
    1
    """
    text = resources.files("pixq.schemas").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
