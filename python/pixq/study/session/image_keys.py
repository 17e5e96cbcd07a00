"""Keys of the images that a page asks for: nobody can guess one, and it reveals nothing about its image."""

from __future__ import annotations

import hmac
import re
from typing import Any, NamedTuple

from pixq.study.session.session_plan import Item, SessionPlan
from pixq.study.store.keys import Key
from pixq.study.store.records import UnknownSession

__all__ = ["ImageKey", "image_key", "parse_image_key", "trial_json"]

#: Public name of the session, key of the trial, level, and a seal.
_IMAGE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})\.([0-9]{1,3})\.([0-9a-f]{32})")


class ImageKey(NamedTuple):
    """What the key of an image says: public name of the session, key of the trial, and level."""

    session: str
    trial: str
    level: int


def image_key(key: Key, session: str, item: Item, level: int) -> str:
    """The key of an image, for a page; `session` is the public name of its session, and `key` that of the study."""
    return f"{session}.{item.key}.{level}.{_seal(key, session, item.key, str(level))}"


def parse_image_key(key: Key, text: str) -> ImageKey:
    """Read the key of an image that a page sent.

    Raises
    ------
    UnknownSession
        If this study did not make the key.
    """
    parts = _IMAGE.fullmatch(text)
    if parts is None:
        raise UnknownSession
    session, trial, level, seal = parts.groups()
    if not hmac.compare_digest(_seal(key, session, trial, level), seal):
        raise UnknownSession
    return ImageKey(session, trial, int(level))


def trial_json(key: Key, session: str, plan: SessionPlan, step: str, index: int) -> dict[str, Any]:
    """What a page needs to show an image of its session, and to load the next one meanwhile.

    Parameters
    ----------
    key
        Secret key of the study.
    session
        Public name of the session.
    plan
        Its plan.
    step, index
        `training` or `trial`, and the index of the image there.
    """
    items = (*plan.training, *plan.trials)
    place = index + (len(plan.training) if step == "trial" else 0)
    item, following = items[place], items[place + 1 : place + 2]
    return {
        "key": item.key, "kind": step, "width": item.width, "height": item.height,
        "reference": image_key(key, session, item, 0), "clicks": plan.rules.clicks,
        "levels": [{"level": level, "image": image_key(key, session, item, level)} for level in item.levels],
        "preload": [image_key(key, session, later, level) for later in following for level in (0, *later.levels)],
    }  # fmt: skip


def _seal(key: Key, session: str, trial: str, level: str) -> str:
    return key.sign("image", session, trial, level)[:32]
