"""Limits for requests: one bucket per session and one per address. Addresses are hashed, and never stored."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pixq.http.connections import network_of

__all__ = ["AddressHasher", "Limits", "RateLimit", "RateLimiter"]


@dataclass(frozen=True)
class RateLimit:
    """Allows `burst` requests at once, and `per_second` requests per second in the long run."""

    per_second: float
    burst: float


@dataclass(frozen=True)
class Limits:
    """Limits of the study's server.

    Parameters
    ----------
    body_bytes
        Maximum size of a request.
    event_bytes
        Maximum size of the data of one event: seven minutes of moving the slider without a pause.
    session_bytes
        Maximum size of the stored events of one session; an honest one needs some hundred KiB.
    statistics_seconds
        Seconds for which the experimenter gets the same statistics.
    session
        Requests of one session; each 16 KiB of a request count as one more.
    address
        Requests from one address, which a whole laboratory may share.
    start
        Sessions started from one address, and requests with an unknown token.
    address_connections
        Connections of one address at a time; behind a proxy, its requests that are handled at a time.
    """

    body_bytes: int = 1 << 20
    event_bytes: int = 256 << 10
    session_bytes: int = 4 << 20
    statistics_seconds: float = 30.0
    session: RateLimit = field(default_factory=lambda: RateLimit(per_second=20, burst=200))
    address: RateLimit = field(default_factory=lambda: RateLimit(per_second=2_000, burst=20_000))
    start: RateLimit = field(default_factory=lambda: RateLimit(per_second=2, burst=300))
    address_connections: int = 750


class RateLimiter:
    """Buckets that fill up over time; a request takes from a bucket, or has to wait.

    Parameters
    ----------
    limit
        Size and rate of each bucket.
    max_buckets
        Maximum number of buckets. Above it, full buckets are dropped, which changes nothing, and then the least
        recently used ones.
    clock
        Returns seconds.

    Examples
    --------
    >>> limiter = RateLimiter(RateLimit(per_second=2, burst=3), clock=lambda: 0.0)
    >>> [limiter.take("a") for _ in range(4)]
    [0.0, 0.0, 0.0, 0.5]
    """

    def __init__(
        self, limit: RateLimit, max_buckets: int = 20_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._max_buckets = max_buckets
        self._clock = clock
        # The content of each bucket, and when it was measured; the most recently used bucket is the last.
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, cost: float = 1.0) -> float:
        """Take `cost` from a bucket and return 0, or take nothing and return the seconds until it holds enough."""
        limit, now = self._limit, self._clock()
        cost = min(cost, limit.burst)
        with self._lock:
            content, measured = self._buckets.pop(name, (limit.burst, now))
            content = min(content + (now - measured) * limit.per_second, limit.burst)
            wait = max(0.0, (cost - content) / limit.per_second)
            self._buckets[name] = (content if wait else content - cost, now)
            if len(self._buckets) > self._max_buckets:
                self._drop_buckets(now)
        return wait

    def wait(self, name: str) -> float:
        """Seconds until `take` returns 0; takes nothing."""
        limit, now = self._limit, self._clock()
        with self._lock:
            content, measured = self._buckets.get(name, (limit.burst, now))
        return max(0.0, (1.0 - content) / limit.per_second - (now - measured))

    def _drop_buckets(self, now: float) -> None:
        limit = self._limit
        self._buckets = {
            name: (content, measured)
            for name, (content, measured) in self._buckets.items()
            if content + (now - measured) * limit.per_second < limit.burst
        }
        while len(self._buckets) > self._max_buckets:
            del self._buckets[next(iter(self._buckets))]


class AddressHasher:
    """Hashes addresses with a key that exists only in this process, so that no hash can be traced back later."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def hash(self, address: str) -> str:
        """The hash of an address; only the first half of an IPv6 address counts, as the client chooses the rest.

        Examples
        --------
        >>> hasher = AddressHasher()
        >>> hasher.hash("2001:db8::1") == hasher.hash("2001:db8::2")
        True
        >>> hasher.hash("192.0.2.1") == hasher.hash("192.0.2.2")
        False
        """
        return hashlib.blake2b(network_of(address), key=self._key, digest_size=16).hexdigest()
