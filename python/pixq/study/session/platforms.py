"""Where participants come from: who is who, and where they go in the end."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pixq.errors import PixqError
from pixq.study.design.config import Platform
from pixq.study.store.keys import Key

__all__ = ["Person", "check_url", "completion", "links", "person"]

#: What Prolific calls people and their visits: 24 hexadecimal digits today.
_PROLIFIC = re.compile(r"[A-Za-z0-9]{8,64}")
_LINK = re.compile(r"([0-9a-f]{24})([0-9a-f]{24})")
_LOCAL = re.compile(r"[A-Za-z0-9._-]{1,64}")

Kind = Literal["prolific", "link", "local"]


@dataclass(frozen=True)
class Person:
    """A participant, by pseudonyms.

    Parameters
    ----------
    id
        Of the person.
    visit
        Of the platform's session, where it has such.
    """

    id: str
    visit: str | None = None


def person(kind: Kind, key: Key, given: Mapping[str, str]) -> Person:
    """Who a page's address says that its reader is.

    Parameters
    ----------
    kind
        Of the platform.
    key
        The study's.
    given
        Parameters of the address: `PROLIFIC_PID` and `SESSION_ID`; `token` of a link; for `local` a `participant`, or
        nothing for somebody new.

    Raises
    ------
    ValueError
        If it does not say so; one line for the reader.
    """
    if kind == "prolific":
        name, visit = given.get("PROLIFIC_PID", ""), given.get("SESSION_ID", "")
        if not _PROLIFIC.fullmatch(name) or not _PROLIFIC.fullmatch(visit):
            raise ValueError(
                "open the study from Prolific's page: this address has no PROLIFIC_PID and SESSION_ID of 8 to 64 "
                "letters and digits"
            )
        return Person(key.pseudonym(kind, name), key.sign("visit", kind, visit)[:32])
    if kind == "link":
        found = _LINK.fullmatch(given.get("token", ""))
        if found is None or not secrets.compare_digest(_seal(key, found[1]), found[2]):
            raise ValueError("this link is not one of the study's; open it as it was sent to you")
        return Person(key.pseudonym(kind, found[0]))
    name = given.get("participant") or secrets.token_hex(12)
    if not _LOCAL.fullmatch(name):
        raise ValueError("participant: must be 1 to 64 letters, digits, dots, dashes or underscores")
    return Person(key.pseudonym(kind, name))


def check_url(url: str) -> None:
    """See that participants can open an address.

    Raises
    ------
    PixqError
        If it is none of the web.

    Examples
    --------
    >>> check_url("https://study.example.org")
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise PixqError(f"--url {url}: must be like https://study.example.org")


def links(key: Key, count: int, draw: Callable[[int], str] = secrets.token_hex) -> list[str]:
    """New tokens for links, each for one person; nothing needs to be kept of them to know them again.

    Parameters
    ----------
    key
        The study's.
    count
        How many.
    draw
        Gives so many bytes, in hexadecimal: random ones.
    """
    return [f"{name}{_seal(key, name)}" for name in (draw(12) for _ in range(count))]


def _seal(key: Key, name: str) -> str:
    return key.sign("link", name)[:24]


def completion(platform: Platform, step: str) -> dict[str, str | None] | None:
    """Code and address that end a session, or `None` before its end.

    Examples
    --------
    >>> completion(Platform(done="C1", screened_out="C2", failed="C3", url="https://a.example/?cc={code}"), "failed")
    {'code': 'C3', 'url': 'https://a.example/?cc=C3'}
    >>> completion(Platform(), "trial")
    """
    codes = {"completed": platform.done, "screened_out": platform.screened_out, "failed": platform.failed}
    if step not in codes:
        return None
    code = codes[step]
    url = platform.url.replace("{code}", code) if platform.url and code else None
    if url is None and platform.kind == "prolific":
        url = f"https://app.prolific.com/submissions/complete?cc={code}"
    return {"code": code, "url": url}
