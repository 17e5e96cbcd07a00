"""Threads that wait for the database and for files, so that one that is stuck stops none of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from pixq.study.store.records import DatabaseUnavailable

__all__ = ["DATABASE_SECONDS", "Threads"]

_T = TypeVar("_T")
#: Seconds that a request waits for a reader or a writer. A request needs at most one of each, so it is answered within
#: 10 seconds.
DATABASE_SECONDS = 4.0


class Threads:
    """Threads for each kind of work.

    Parameters
    ----------
    seconds
        Seconds that a request waits for a reader or a writer.

    Attributes
    ----------
    writers
        Store what pages send; they wait for other writers of the database.
    readers
        Read from the database, which works while writers wait.
    files
        Read images, which works while the database does not respond.
    statistics
        Computes the statistics of the study.
    """

    def __init__(self, seconds: float = DATABASE_SECONDS) -> None:
        self.seconds = seconds
        self.writers = ThreadPoolExecutor(8, "pixq-writer")
        self.readers = ThreadPoolExecutor(8, "pixq-reader")
        self.files = ThreadPoolExecutor(4, "pixq-file")
        self.statistics = ThreadPoolExecutor(1, "pixq-statistics")

    async def write(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread that writes to the database.

        Raises
        ------
        DatabaseUnavailable
            If it has not ended after `seconds`. It may still end later: pages send again what was not
            confirmed, and it is stored once.
        """
        return await _within(self.seconds, self.writers, job, *arguments)

    async def read(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread that reads from the database; raises as `write` does."""
        return await _within(self.seconds, self.readers, job, *arguments)

    async def read_file(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread that reads files."""
        return await asyncio.get_running_loop().run_in_executor(self.files, job, *arguments)

    async def compute(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in the thread of the statistics."""
        return await asyncio.get_running_loop().run_in_executor(self.statistics, job, *arguments)

    def close(self) -> None:
        """Wait until all work has ended; what has not begun is dropped."""
        for executor in (self.writers, self.readers, self.files, self.statistics):
            executor.shutdown(wait=True, cancel_futures=True)


async def _within(seconds: float, executor: Executor, job: Callable[..., _T], *arguments: Any) -> _T:
    # Work that has not begun is cancelled with the future, so a queue does not grow while all threads are stuck.
    work = asyncio.get_running_loop().run_in_executor(executor, job, *arguments)
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise DatabaseUnavailable("it does not respond") from None
