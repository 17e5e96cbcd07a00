"""Who a participant is, is not kept: names become keyed pseudonyms before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pixq.errors import PixqError

if TYPE_CHECKING:
    # A key and its pseudonyms need no SQLAlchemy.
    from pixq.study.store.store import Store

__all__ = [
    "KEY_FILE",
    "OFFLINE_PLATFORM",
    "Key",
    "check_key",
    "find_pseudonym",
    "hash_token",
    "open_key",
    "open_token",
    "withdraw",
]

#: Beside `study.toml`.
KEY_FILE = "study.key"
#: Of whom a file was sent, as if it were a platform.
OFFLINE_PLATFORM = "offline"
_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A study's secret key.

    Parameters
    ----------
    secret
        32 random bytes.
    """

    secret: bytes = field(repr=False)

    def sign(self, purpose: str, *what: str) -> str:
        """HMAC-SHA256 of texts, as 64 hexadecimal digits; each purpose has its own.

        Examples
        --------
        >>> key = Key(bytes(32))
        >>> key.sign("a", "b", "c") == key.sign("a", "bc"), key.sign("a", "b") == key.sign("b", "b")
        (False, False)
        """
        # Their lengths stand before them, so that no two lists of texts are one message.
        parts = [each.encode() for each in (purpose, *what)]
        message = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
        # In one call of OpenSSL's: a trial names hundreds of images, and each has a seal.
        return hmac.digest(self.secret, message, "sha256").hex()

    def pseudonym(self, platform: str, name: str) -> str:
        """What a person of a platform is called here: 32 hexadecimal digits that nobody turns back without the key."""
        return self.sign("person", platform, name)[:32]

    @property
    def fingerprint(self) -> str:
        """Tells whether it is the same key, and nothing else of it."""
        return self.sign("fingerprint")[:16]


def open_key(path: Path) -> Key:
    """The key of a file; it is made where there is none, readable by its owner alone.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    PixqError
        If it holds no key, others can read it, or it can't be made.
    """
    try:
        secret = bytes.fromhex(_private(path, secrets.token_hex(_BYTES)))
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise PixqError(f"{path}: holds no key of {_BYTES} bytes in hexadecimal; put back the one it had")
    return Key(secret)


def open_token(path: Path) -> str:
    """The experimenter's token of a file; it is made where there is none, readable by its owner alone.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    PixqError
        If it holds no token, others can read it, or it can't be made.
    """
    try:
        token = _private(path, secrets.token_urlsafe(_BYTES))
    except ValueError:
        token = ""
    if re.fullmatch(r"[A-Za-z0-9_-]{32,128}", token) is None:
        raise PixqError(f"{path}: holds no token of 32 letters and digits or more; delete it for a new one")
    return token


def _private(path: Path, text: str) -> str:
    """The line that a file holds which its owner alone can read; `text`, where there was no file."""
    try:
        if not path.exists():
            _make(path, text)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise PixqError(f"{path}: others than its owner can read it; chmod 600 {path.name}")
        return path.read_text("ascii").strip()
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; it must be readable and writable to you") from None


def _make(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, and never replaces one."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        # Fails where another was faster; then that one is the key.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(part)


def check_key(key: Key, store: Store) -> None:
    """See that a database's pseudonyms are of this key.

    Raises
    ------
    PixqError
        If they are of another: nobody would be known again.
    """
    if store.setdefault_fact("key", key.fingerprint) != key.fingerprint:
        raise PixqError(f"{KEY_FILE}: the answers were collected with another key; put that one back")


def hash_token(token: str) -> str:
    """What is stored of a token: it is random enough that a plain hash can't be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


def withdraw(store: Store, key: Key, platform: str, name: str) -> int:
    """Delete all answers of a person.

    Parameters
    ----------
    store
        Where they are.
    key
        The study's.
    platform
        Its kind, such as `prolific`.
    name
        What the person is called there, or the number that the last page of an offline file showed; a pseudonym of this
        study will do too.

    Returns
    -------
    int
        Events deleted.

    Raises
    ------
    PixqError
        If nothing is known of the person. The log is cut in any case, if it can be: it may have kept what was deleted
        before.
    LogNotTruncated
        As `pixq.study.store.store.Store.withdraw` has it.
    """
    check_key(key, store)
    try:
        pseudonym = find_pseudonym(store, key, platform, name)
    except PixqError:
        store.truncate_log()
        raise
    return store.withdraw(pseudonym)


def find_pseudonym(store: Store, key: Key, platform: str, name: str) -> str:
    """The pseudonym of a person who has taken part.

    Parameters
    ----------
    store, key, platform, name
        As `withdraw` has them.

    Raises
    ------
    PixqError
        If nothing is known of the person.
    """
    known = {each.participant for each in store.sessions()}
    for pseudonym in (key.pseudonym(platform, name), key.pseudonym(OFFLINE_PLATFORM, name), name):
        if pseudonym in known:
            return pseudonym
    raise PixqError(f"no participant {name!r} is known; give the ID of {platform}, or one of the export")
