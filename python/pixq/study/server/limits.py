"""How often a page may ask: a bucket for each session, and one for each address, which is not kept."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["AddressHasher", "Known", "Lately", "RateLimit", "RateLimiter"]

_V = TypeVar("_V")


@dataclass(frozen=True)
class RateLimit:
    """So many a second for long, and `burst` at once."""

    second: float
    burst: float


class RateLimiter:
    """Buckets that fill with time; who takes more than is there is to wait.

    Parameters
    ----------
    rate
        Of each bucket.
    most
        Buckets. When there are more, the full ones are forgotten, which changes nothing; then the one used longest
        ago.
    clock
        Seconds.

    Examples
    --------
    >>> rates = RateLimiter(RateLimit(second=2, burst=3), clock=lambda: 0.0)
    >>> [rates.take("a") for _ in range(4)]
    [0.0, 0.0, 0.0, 0.5]
    """

    def __init__(self, rate: RateLimit, most: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = most
        self._clock = clock
        # How much was there, and when.
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, cost: float = 1.0) -> float:
        """Take from a bucket: 0, or the seconds after which it holds enough; then nothing was taken."""
        rate, now = self._rate, self._clock()
        cost = min(cost, rate.burst)
        with self._lock:
            there, then = self._buckets.pop(name, (rate.burst, now))
            there = min(there + (now - then) * rate.second, rate.burst)
            wait = max(0.0, (cost - there) / rate.second)
            self._buckets[name] = (there if wait else there - cost, now)
            if len(self._buckets) > self._most:
                self._forget(now)
        return wait

    def wait(self, name: str) -> float:
        """Seconds after which `take` gives 0; nothing is taken."""
        rate, now = self._rate, self._clock()
        with self._lock:
            there, then = self._buckets.get(name, (rate.burst, now))
        return max(0.0, (1.0 - there) / rate.second - (now - then))

    def _forget(self, now: float) -> None:
        rate = self._rate
        self._buckets = {
            name: (there, then)
            for name, (there, then) in self._buckets.items()
            if there + (now - then) * rate.second < rate.burst
        }
        while len(self._buckets) > self._most:
            # Taken last is put last.
            del self._buckets[next(iter(self._buckets))]


class Known(Generic[_V]):
    """What is known of the sessions that were asked about last; only one thread uses it.

    Parameters
    ----------
    most
        Sessions; of those that are forgotten the same is found again.

    Examples
    --------
    >>> known = Known(most=1)
    >>> known.put("a", 1), known.put("a", 2), known.put("b", 3), known.get("a")
    (1, 1, 3, None)
    """

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._values: OrderedDict[str, _V] = OrderedDict()

    def get(self, name: str) -> _V | None:
        """What is known of one."""
        if name in self._values:
            self._values.move_to_end(name)
        return self._values.get(name)

    def put(self, name: str, value: _V) -> _V:
        """Keep what was found of one, unless something is known of it by now; gives what is known."""
        value = self._values.setdefault(name, value)
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value

    def forget(self, name: str) -> None:
        """It is known no longer."""
        self._values.pop(name, None)


class Lately(Generic[_V]):
    """What takes long to find, found by one at a time and given again for a while; for one event loop.

    Parameters
    ----------
    find
        Finds it.
    seconds
        For which it is given again.
    clock
        Seconds.
    """

    def __init__(
        self, find: Callable[[], Awaitable[_V]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._clock = clock
        self._found: tuple[_V, float] | None = None
        self._task: asyncio.Task[_V] | None = None

    async def get(self) -> tuple[_V, float]:
        """It, and how many seconds old it is; while it is found anew, others get what there is.

        Raises
        ------
        Exception
            As `find`. The next one tries again.
        """
        found, now = self._found, self._clock()
        if found is not None and (now - found[1] < self._seconds or self._task is not None):
            return found[0], now - found[1]
        if self._task is None:
            self._task = asyncio.create_task(self._anew())
        # Whoever goes away takes nothing from those who wait too.
        return await asyncio.shield(self._task), 0.0

    async def _anew(self) -> _V:
        began = self._clock()
        try:
            value = await self._find()
            self._found = (value, began)
            return value
        finally:
            self._task = None


class AddressHasher:
    """Names for addresses that only this process can give, and that nobody can turn back after it."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def name(self, address: str) -> str:
        """A name of an address; of IPv6 the first half counts, for the rest is the client's to choose.

        Examples
        --------
        >>> names = AddressHasher()
        >>> names.name("2001:db8::1") == names.name("2001:db8::2"), names.name("192.0.2.1") == names.name("192.0.2.2")
        (True, False)
        """
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            part = address.encode("utf-8", "replace")
        else:
            part = found.packed[:8] if found.version == 6 else found.packed
        return hashlib.blake2b(part, key=self._key, digest_size=16).hexdigest()
