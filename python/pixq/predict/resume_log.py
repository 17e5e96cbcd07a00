"""The log by which `pixq predict` on folders skips pairs that are done when it is started again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixq._version import __version__
from pixq.errors import PixqError
from pixq.io.atomic import checksum, explain_os_errors
from pixq.io.images import AS_SHOWN, Background, ReadOptions, explain_image_errors
from pixq.io.paths import text_of
from pixq.predict.json_file import Prediction, read_prediction
from pixq.predict.outputs import Outputs
from pixq.predict.pairs import Pair
from pixq.scoring.scorer import Scorer

__all__ = ["LOG", "ResumeLog"]

#: The log's file, in the folder of the JSON files: one line per finished pair.
LOG = ".pixq-predict.jsonl"


class ResumeLog:
    """What the outputs of each finished pair were computed from, and the outputs' checksums.

    A pair counts as done while none of this has changed. Finishing a pair appends a line; only the last line of a pair
    counts, and lines that were cut short are ignored.

    Parameters
    ----------
    folder
        The folder of the JSON files.
    scorer, stride, reading, backgrounds
        What the maps are computed with.
    """

    def __init__(
        self,
        folder: Path,
        scorer: Scorer,
        stride: int,
        reading: ReadOptions = AS_SHOWN,
        backgrounds: Sequence[Background] = (),
    ) -> None:
        self.path = folder / LOG
        self._settings = {
            "pixq": __version__,
            "model": scorer.blake3,
            "recipe": scorer.recipe.model.model_dump(mode="json"),
            "size": scorer.size,
            "stride": stride,
            "engine": scorer.engine.name,
            "decision": scorer.decision.digest,
            "viewing": asdict(scorer.viewing),
            "colours": reading.colours,
            "backgrounds": list(backgrounds),
            "frame": reading.frame,
        }
        self._entries: dict[str, dict[str, Any]] = {}
        with explain_os_errors(self.path, "make it readable, or delete it"):
            text = self.path.read_text("utf-8", errors="replace") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._entries[entry["pair"]] = {"made": entry["made"], "outputs": dict(entry["outputs"])}
            except (ValueError, KeyError, TypeError):
                continue

    def inputs(self, pair: Pair, outputs: Outputs) -> dict[str, Any]:
        """Everything that determines a pair's outputs.

        Raises
        ------
        PixqError
            If one of its files can't be read.
        """
        files = {name: getattr(pair, name) for name in ("reference", "distorted")}
        checksums = {}
        for name, path in files.items():
            with explain_image_errors(path):
                checksums[name] = asdict(checksum(path))
        # The JSON holds the names.
        names = [text_of(path) for path in pair.names]
        return {**self._settings, **checksums, "names": names, "safe": outputs.safe}

    def finished(self, pair: Pair, outputs: Outputs, inputs: dict[str, Any]) -> Prediction | None:
        """The JSON of a pair that is done; `None` if it is not, or if its inputs or outputs have changed."""
        entry = self._entries.get(pair.name, {})
        if entry.get("made") != inputs or outputs.json is None:
            return None
        try:
            if any(entry["outputs"].get(name) != asdict(checksum(path)) for name, path in outputs.files().items()):
                return None
            return read_prediction(outputs.json)
        except (OSError, PixqError):
            return None

    def add(self, pair: Pair, outputs: Outputs, inputs: dict[str, Any]) -> None:
        """Record that a pair is done.

        Raises
        ------
        PixqError
            If the log can't be written.
        """
        with explain_os_errors(self.path):
            checksums = {name: asdict(checksum(path)) for name, path in outputs.files().items()}
            line = json.dumps({"pair": pair.name, "made": inputs, "outputs": checksums}, allow_nan=False)
            with self.path.open("a", encoding="utf-8") as file:
                # It begins on a new line even after one that was cut short.
                file.write(f"\n{line}\n")
