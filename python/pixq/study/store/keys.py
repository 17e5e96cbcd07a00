"""Keys and pseudonyms: names of participants are replaced by keyed hashes before anything is stored."""

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
from pixq.io.atomic import explain_os_errors
from pixq.io.text import read_bytes, without_mark
from pixq.study.store.records import is_storable

if TYPE_CHECKING:
    # Keys and pseudonyms don't need SQLAlchemy.
    from pixq.study.store.store import Store

__all__ = [
    "KEY_FILE", "OFFLINE_PLATFORM", "Key", "check_key", "find_pseudonym", "hash_token", "open_key", "open_token",
    "withdraw",
]  # fmt: skip

#: File of the key, beside `study.toml`.
KEY_FILE = "study.key"
#: Platform of participants who sent in an offline file.
OFFLINE_PLATFORM = "offline"
_BYTES = 32


@dataclass(frozen=True)
class Key:
    """The secret key of a study.

    Parameters
    ----------
    secret
        32 random bytes.
    """

    secret: bytes = field(repr=False)

    def sign(self, purpose: str, *texts: str) -> str:
        """HMAC-SHA256 of texts as 64 hexadecimal digits, different for each purpose.

        Examples
        --------
        >>> key = Key(bytes(32))
        >>> key.sign("a", "b", "c") == key.sign("a", "bc"), key.sign("a", "b") == key.sign("b", "b")
        (False, False)
        """
        # Each text is preceded by its length, so that different lists of texts are different messages.
        # A name from the command line may hold bytes that are no UTF-8.
        parts = [text.encode("utf-8", "surrogatepass") for text in (purpose, *texts)]
        message = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
        # A single OpenSSL call, for speed: a trial lists hundreds of images, each with a seal.
        return hmac.digest(self.secret, message, "sha256").hex()

    def pseudonym(self, platform: str, name: str) -> str:
        """The pseudonym of a person: 32 hexadecimal digits that can't be traced back without the key."""
        return self.sign("person", platform, name)[:32]

    @property
    def fingerprint(self) -> str:
        """Identifies the key without revealing it."""
        return self.sign("fingerprint")[:16]


def open_key(path: Path) -> Key:
    """Read the key in a file, which is created if it does not exist, readable only by its owner.

    Raises
    ------
    PixqError
        If the file does not contain a key, others can read it, or it can't be created.
    """
    try:
        secret = bytes.fromhex(_read_private(path, secrets.token_hex(_BYTES)))
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise PixqError(f"{path}: is not a key of {2 * _BYTES} hexadecimal digits; restore the original file")
    return Key(secret)


def open_token(path: Path) -> str:
    """Read the experimenter's token in a file, which is created if it does not exist, readable only by its owner.

    Raises
    ------
    PixqError
        If the file does not contain a token, others can read it, or it can't be created.
    """
    try:
        token = _read_private(path, secrets.token_urlsafe(_BYTES))
    except ValueError:
        token = ""
    if re.fullmatch(r"[A-Za-z0-9_-]{32,128}", token) is None:
        raise PixqError(f"{path}: is not a token of 32 or more letters and digits; delete the file to get a new token")
    return token


def _read_private(path: Path, text: str) -> str:
    """The line in a file that only its owner can read; the file is created with `text` if it does not exist."""
    with explain_os_errors(path, "make sure that you can read and write it"):
        if not path.exists():
            _create_private(path, text)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise PixqError(f"{path}: other users can read it; run `chmod 600 {path.name}`")
        return without_mark(read_bytes(path)).decode("ascii").strip()


def _create_private(path: Path, text: str) -> None:
    """Write a file atomically without replacing an existing one."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        # Fails if another process was faster; then its file is used.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(part)


def check_key(key: Key, store: Store) -> None:
    """Check that the pseudonyms in a database were made with this key.

    Raises
    ------
    PixqError
        If they were made with another key: no participant would be recognized.
    """
    if store.setdefault_fact("key", key.fingerprint) != key.fingerprint:
        raise PixqError(f"{KEY_FILE}: the answers were collected with another key; restore the original file")


def hash_token(token: str) -> str:
    """The hash of a token, which is stored in its place; a random token needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def withdraw(store: Store, key: Key, platform: str, name: str) -> int:
    """Delete all answers of a person.

    Parameters
    ----------
    store
        The database of answers.
    key
        Secret key of the study.
    platform
        Kind of the platform, such as `prolific`.
    name
        ID of the person on the platform, the number on the last page of an offline file, or the person's pseudonym.

    Returns
    -------
    int
        Number of deleted events.

    Raises
    ------
    PixqError
        If the person is unknown. SQLite's log is truncated anyway, as it may contain what was deleted earlier.
    LogNotTruncated
        See `pixq.study.store.store.Store.withdraw`.
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
        See `withdraw`.

    Raises
    ------
    PixqError
        If the person is unknown.
    """
    for pseudonym in (key.pseudonym(platform, name), key.pseudonym(OFFLINE_PLATFORM, name), name):
        if is_storable(pseudonym) and store.has_participant(pseudonym):
            return pseudonym
    raise PixqError(f"participant {name!r} is unknown; pass an ID of the platform {platform}, or one from the export")
