"""Verifies that a platform itself sent a person: its signature of the address, a JSON Web Token (JWT).

Prolific signs addresses if "secure external URL" is switched on for a study. It asks to verify the signature by its
published keys (`pixq.study.design.platforms.PlatformKind.jwks`), when the token expires, whom it is for, and that what
it says is what the address says: https://docs.prolific.com/api-reference/well-known-endpoints/get-study-jwks
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pixq.errors import PixqError, one_line
from pixq.io.json_file import load_json
from pixq.io.optional import require
from pixq.study.design.config import Platform
from pixq.study.design.platforms import PLATFORMS

__all__ = ["KeysUnavailable", "SignatureVerifier"]

#: Seconds for which keys are used before they are loaded again, for which loading may take, and between two attempts.
_LIFESPAN, _TIMEOUT, _PAUSE = 86_400.0, 3.0, 30.0
_ALGORITHMS = ("RS256",)
_LONGEST_TOKEN = 8_192
#: How many seconds the clocks of the platform and of this computer may differ.
_LEEWAY = 60.0


class KeysUnavailable(Exception):
    """The platform's keys can't be loaded at the moment; the message is one line."""


class SignatureVerifier:
    """Verifies the signed addresses of one study. Several threads may call all methods.

    Parameters
    ----------
    platform
        The platform, with `signature` settings.
    folder
        Folder of the study, which a file of keys is relative to.
    clock
        Returns seconds since the epoch.

    Raises
    ------
    PixqError
        If PyJWT is not installed, or the file of keys can't be used.
    """

    def __init__(self, platform: Platform, folder: Path, clock: Callable[[], float] = time.time) -> None:
        settings = platform.signature
        if settings is None:
            raise ValueError("the study's addresses are not signed")
        self._jwt = require("jwt")
        self._kind = PLATFORMS[platform.kind]
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        # When the keys were last loaded, and when the platform was last asked for them.
        self._loaded = self._asked = -math.inf
        self._keys: Any = None
        where = settings.jwks or self._kind.jwks
        self._client = None
        if where.startswith(("https://", "http://")):
            self._client = self._jwt.PyJWKClient(where, cache_jwk_set=False, timeout=_TIMEOUT)
        else:
            self._keys = self._read_keys(folder / where)

    def _read_keys(self, path: Path) -> Any:
        try:
            return self._jwt.PyJWKSet.from_dict(load_json(path))
        except (OSError, ValueError, RecursionError, TypeError, AttributeError, self._jwt.PyJWTError) as error:
            raise PixqError(
                f"{path}: is not a set of keys (JWKS): {one_line(error)}; download it from {self._kind.jwks}"
            ) from None

    def load_keys(self) -> None:
        """Load the platform's keys, if they are not loaded.

        Raises
        ------
        KeysUnavailable
            If the platform does not answer.
        """
        with self._lock:
            self._refresh(force=False)

    def _refresh(self, *, force: bool) -> None:
        # While the platform does not answer, people don't wait for it one after another.
        if self._client is None or time.monotonic() - self._asked < _PAUSE:
            if self._keys is None:
                raise KeysUnavailable(f"the keys of {self._settings.jwks or self._kind.jwks} can't be loaded")
            return
        if not force and time.monotonic() - self._loaded < _LIFESPAN:
            return
        self._asked = time.monotonic()
        try:
            self._keys = self._client.get_jwk_set(refresh=True)
            self._loaded = time.monotonic()
        except (self._jwt.PyJWTError, ValueError, OSError) as error:
            # Old keys are better than none.
            if self._keys is None:
                raise KeysUnavailable(f"the keys of {self._client.uri} can't be loaded: {one_line(error)}") from None

    def verify(self, parameters: Mapping[str, str]) -> tuple[dict[str, str], bool]:
        """The parameters that the platform signed, and whether the signature has expired.

        Parameters
        ----------
        parameters
            The parameters of the address.

        Raises
        ------
        ValueError
            If the signature is missing or wrong; one line for the reader.
        KeysUnavailable
            If the platform's keys can't be loaded.
        """
        token = parameters.get(self._kind.token, "")
        try:
            if len(token) > _LONGEST_TOKEN:
                raise ValueError("the token is too long")
            payload = self._jwt.decode(
                token,
                self._key(self._jwt.get_unverified_header(token).get("kid")),
                algorithms=_ALGORITHMS,
                # Those that matter are checked below: a session that has begun continues after its address has expired,
                # and PyJWT has neither this clock nor patience with one that is a second slow.
                options={
                    "require": ["exp", "aud"],
                    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud"), False),
                },
            )
            if float(payload.get("nbf", 0)) > self._clock() + _LEEWAY:
                raise ValueError("the token is not valid yet")
            return self._signed(payload, parameters), float(payload["exp"]) <= self._clock()
        except (self._jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(self._kind.unsigned) from None

    def _key(self, name: object) -> Any:
        # The platform may have a new key since its keys were loaded.
        for force in (False, True):
            with self._lock:
                self._refresh(force=force)
            for key in self._keys.keys:
                if name and key.key_id == name:
                    return key
        raise KeyError(name)

    def _signed(self, payload: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
        audiences = payload["aud"] if isinstance(payload["aud"], list) else [payload["aud"]]
        if self._settings.domain not in map(_domain, audiences):
            raise ValueError("the token is for another server")
        claims = payload[self._kind.claim]
        if self._settings.workspace is not None and claims["workspace_id"] != self._settings.workspace:
            raise ValueError("the token is from another workspace")
        signed = {name: value for name, value in claims.items() if isinstance(value, str)}
        if any(parameters.get(name, value) != value for name, value in signed.items()):
            raise ValueError("the token does not match the address")
        return signed


def _domain(audience: str) -> str | None:
    return urlsplit(audience if "//" in audience else f"//{audience}").hostname
