"""JSON Schemas (draft 2020-12) of the files of a patch set, and of a prediction."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from pixq.patches.schema import ImageLine, Manifest, RecordLine
from pixq.predict.json_file import Prediction

__all__ = ["schema"]

_TYPES: dict[str, type] = {"manifest": Manifest, "image": ImageLine, "record": RecordLine, "prediction": Prediction}


def schema(name: Literal["manifest", "image", "record", "prediction"]) -> dict[str, Any]:
    """The schema of `manifest.json`, of a line of `images.jsonl`, of a line of a shard's records, or of a prediction.

    It is generated from the types with which pixq checks these files.

    Examples
    --------
    >>> schema("record")["properties"]["quality"]["maximum"]
    1.0
    """
    generated = TypeAdapter(_TYPES[name]).json_schema(schema_generator=_Published)
    return {"$schema": GenerateJsonSchema.schema_dialect, **generated}


class _Published(GenerateJsonSchema):
    """Describes what pixq writes: every key of a model, also one with a default, and no titles made of names.

    A key whose default is `None` was added later, so that older files lack it.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        if field["type"] == "model-field":
            return field["schema"].get("default", ...) is not None
        return super().field_is_required(field, total)

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])
