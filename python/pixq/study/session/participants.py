"""Who participants are, how they reach the study, and where they go at the end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pixq import ranges
from pixq.errors import PixqError
from pixq.study.design.config import Platform, Qualification
from pixq.study.design.platforms import PLATFORMS
from pixq.study.session.signatures import SignatureVerifier
from pixq.study.store.keys import Key

__all__ = ["Person", "check_url", "completion", "links", "person", "rehearsal_address"]

#: Hexadecimal digits of a link's token: its name, and the seal after it.
_NAME, _SEAL = 24, 24


@dataclass(frozen=True)
class Person:
    """A participant, by pseudonyms.

    Parameters
    ----------
    id
        The person's pseudonym.
    visit
        The pseudonym of the platform's own session, where it has such.
    proven
        Whether the address proves who the person is, and does not just say so.
    expired
        Whether that proof has expired, so that it continues a session but starts none.
    """

    id: str
    visit: str | None = None
    proven: bool = False
    expired: bool = False


def person(kind: str, key: Key, parameters: Mapping[str, str], verifier: SignatureVerifier | None = None) -> Person:
    """Tell from the page's address who its reader is.

    Parameters
    ----------
    kind
        The platform; see `pixq.study.design.platforms.PLATFORMS`.
    key
        The study's key.
    parameters
        The parameters of the address.
    verifier
        Verifies the platform's signature of the address, if it must have one.

    Raises
    ------
    ValueError
        If the address does not say so; one line for the reader.
    KeysUnavailable
        If the platform's keys can't be loaded.
    """
    platform, expired = PLATFORMS[kind], False
    if verifier is not None:
        parameters, expired = verifier.verify(parameters)
    name = parameters.get(platform.person, "")
    if platform.anonymous and not name:
        name = secrets.token_hex(12)
    visit = parameters.get(platform.visit, "") if platform.visit else None
    if not all(platform.pattern.fullmatch(value) for value in (name, visit) if value is not None):
        raise ValueError(platform.refusal)
    if platform.sealed and not secrets.compare_digest(_seal(key, name[:_NAME]), name[_NAME:]):
        raise ValueError(platform.refusal)
    pseudonym = None if visit is None else key.sign("visit", kind, visit)[:32]
    return Person(key.pseudonym(kind, name), pseudonym, platform.sealed or verifier is not None, expired)


def rehearsal_address(kind: str, key: Key, name: str, visit: str) -> dict[str, str]:
    """Make the parameters of the address at which a platform would send a person to a session.

    Parameters
    ----------
    kind
        The platform.
    key
        The study's key.
    name, visit
        Names of the person and of the visit.
    """
    platform = PLATFORMS[kind]
    token = links(key, 1, lambda _: name)[0] if platform.sealed else name
    return {platform.person: token, **dict(platform.constant), **({platform.visit: visit} if platform.visit else {})}


def check_url(url: str) -> None:
    """Check that participants can open an address, and that the study's page works there.

    Raises
    ------
    PixqError
        If it is not an address of a web page, or anything follows the host: the page is at the root of its host.

    Examples
    --------
    >>> check_url("https://study.example.org")
    >>> check_url("https://example.org/flicker")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixq.errors.PixqError: --url https://example.org/flicker: has the path /flicker, but the page ...
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        good = good and url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\^`{|}")
    except ValueError:
        good = False
    if not good:
        raise PixqError(f"--url {url}: must be like https://study.example.org")
    if parts.username is not None or parts.password is not None:
        host = parts.netloc.rpartition("@")[2]
        raise PixqError(
            f"--url: contains a name or a password, which participants would see; pass {parts.scheme}://{host}"
        )
    if "?" in url or "#" in url:
        raise PixqError(f"--url {url}: has a query or a fragment; remove everything from the ? or # on")
    if parts.path not in ("", "/"):
        raise PixqError(
            f"--url {url}: has the path {parts.path}, but the page only works at the root of a host; give the study a "
            "host of its own, like https://study.example.org"
        )


def links(key: Key, count: int, draw: Callable[[int], str] = secrets.token_hex) -> list[str]:
    """Make new tokens for links, one per person. They need not be stored: their seal shows that the study made them.

    Parameters
    ----------
    key
        The study's key.
    count
        The number of tokens.
    draw
        Gives that many random bytes, in hexadecimal.

    Raises
    ------
    PixqError
        If the number is out of range.
    """
    ranges.COUNT.check(count, "--count")
    return [f"{name}{_seal(key, name)}" for name in (draw(_NAME // 2) for _ in range(count))]


def _seal(key: Key, name: str) -> str:
    return key.sign("link", name)[:_SEAL]


def completion(platform: Platform, step: str, unqualified: Qualification | None = None) -> dict[str, str | None] | None:
    """Give the code and the address that end a session, or `None` before its end.

    Parameters
    ----------
    platform
        The study's platform.
    step
        The step of the session.
    unqualified
        The rules by which a completed session gets another code or none, or `None` if it gets the usual one.

    Examples
    --------
    >>> completion(Platform(done="C1", screened_out="C2", failed="C3", url="https://a.example/?cc={code}"), "failed")
    {'code': 'C3', 'url': 'https://a.example/?cc=C3'}
    >>> completion(Platform(), "trial")
    """
    done = platform.done if unqualified is None else unqualified.code
    codes = {"completed": done, "screened_out": platform.screened_out, "failed": platform.failed}
    if step not in codes:
        return None
    code, url = codes[step], platform.url or PLATFORMS[platform.kind].url
    return {"code": code, "url": url.replace("{code}", code) if url and code else None}
