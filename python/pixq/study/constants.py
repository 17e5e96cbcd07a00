"""The constants that the server shares with its page: `constants.json`, which the page's TypeScript reads too.

`judgement`
    How a click matches a place of the ground truth (Localization of Just Noticeable Difference, QoMEX 2023): within
    `sigmas` times `sigma` pixels of an image of `reference_size` (width, height); `needed` of at most `max_points`
    points must match.
`flow`
    How often a person may calibrate the screen, how many answers to a training image there are at most, and for how
    many frames of the screen an image must stay.
`steps`, `events`
    The steps of a session, and the kinds of events: a step's own, or one that is only logged.
`languages`
    The languages that the page has texts in.
`limits`
    The largest values that an event may hold.
`offline_answers`
    The format of the files that an offline page saves.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["CONSTANTS"]

CONSTANTS: dict[str, Any] = json.loads((files("pixq.study") / "constants.json").read_text("utf-8"))
