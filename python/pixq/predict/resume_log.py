"""Which pairs of a folder are done, so that the same command goes on where it was stopped."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pixq._core import __version__
from pixq.errors import PixqError
from pixq.io.atomic import checksum, explain_os_errors
from pixq.io.images import explained
from pixq.io.paths import text_of
from pixq.predict.json_file import read_prediction
from pixq.predict.outputs import Outputs
from pixq.predict.pairs import Pair
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["LEDGER", "Ledger"]

#: A line a pair, in the folder of the JSON files.
LEDGER = ".pixq-predict.jsonl"


class Ledger:
    """What was made of what: checksums of the files of each pair, what computed, and checksums of its outputs.

    A pair is done if all of that is still so. Lines are added as pairs are done; of a pair the last one counts, and one
    that is cut short counts for nothing.

    Parameters
    ----------
    folder
        Of the JSON files.
    scorer, stride
        What computes.
    """

    def __init__(self, folder: Path, scorer: Scorer, stride: int) -> None:
        self.path = folder / LEDGER
        self._settings = {
            "pixq": __version__,
            "model": scorer.blake3,
            "recipe": scorer.recipe.model.model_dump(mode="json"),
            "size": scorer.size,
            "stride": stride,
            "engine": scorer.engine.name,
            "decision": scorer.decision.digest,
        }
        self._lines: dict[str, dict[str, Any]] = {}
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise PixqError(f"{self.path}: {error.strerror or error}") from None
        for line in text.splitlines():
            try:
                found = json.loads(line)
                self._lines[found["pair"]] = {"made": found["made"], "outputs": dict(found["outputs"])}
            except (ValueError, KeyError, TypeError):
                continue

    def made(self, pair: Pair, outputs: Outputs) -> dict[str, Any]:
        """What a pair's outputs are made of.

        Raises
        ------
        PixqError
            If one of its files can't be read.
        """
        files = {name: getattr(pair, name) for name in ("reference", "distorted")}
        sums = {name: asdict(explained(path, partial(checksum, path))) for name, path in files.items()}
        # The JSON has the names.
        names = [text_of(path) for path in files.values()]
        return {**self._settings, **sums, "names": names, "safe": outputs.safe}

    def known(self, pair: Pair, outputs: Outputs, made: dict[str, Any]) -> QualityMap | None:
        """The map of a pair that is done; `None` if it is not, or any of it is another than it was."""
        line = self._lines.get(pair.name, {})
        if line.get("made") != made or outputs.json is None:
            return None
        try:
            if any(line["outputs"].get(name) != asdict(checksum(path)) for name, path in outputs.files().items()):
                return None
            return read_prediction(outputs.json).map
        except (OSError, PixqError):
            return None

    def add(self, pair: Pair, outputs: Outputs, made: dict[str, Any]) -> None:
        """A pair is done.

        Raises
        ------
        PixqError
            If that can't be written.
        """
        with explain_os_errors(self.path):
            sums = {name: asdict(checksum(path)) for name, path in outputs.files().items()}
            line = json.dumps({"pair": pair.name, "made": made, "outputs": sums}, allow_nan=False)
            with self.path.open("a", encoding="utf-8") as file:
                # After a line that was cut short, another begins.
                file.write(f"\n{line}\n")
