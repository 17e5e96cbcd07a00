"""Threads: the same bits for any number of them, forks that do not hang, calls that compute without the GIL."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from pixq import _core

RNG = np.random.default_rng(7)
SHAPE = (700, 401, 3)


def images(dtype: str) -> list[np.ndarray[Any, Any]]:
    """Two images, one upside down, each above the threshold for threads."""
    made = [(RNG.random(SHAPE) * {"uint8": 256, "uint16": 65536, "float32": 1}[dtype]).astype(dtype) for _ in range(2)]
    assert made[0].size > _core.PARALLEL_SAMPLES
    return [made[0], made[1][::-1]]


def results(dtype: str, pair: list[np.ndarray[Any, Any]]) -> list[Any]:
    """What every kernel gives."""
    coords = _core.grid(*SHAPE[:2], stride=13)
    fusions: Any = [("none", 0), ("copy", 0), ("blend", 0.5), ("blend", 0.3), ("paste", 0)]
    fused, *measured = _core.fuse_at(*pair, coords, fusions=fusions)
    patches, other = _core.tile(pair[0], stride=13), _core.tile(pair[1], stride=13)
    rows = np.arange(len(coords))
    return [
        *fused,
        *measured,
        patches,
        _core.untile(patches, coords, *SHAPE[:2]),
        _core.fuse(patches, other),
        _core.fuse_rows(patches, other, rows, rows[::-1], fusions=fusions, which=(rows % 5).astype(np.uint8)),
        _core.mse(*pair),
        _core.psnr(*pair, roi=(1, 2, 690, 390)),
        _core.psnr(patches, other),
        _core.equal_at(*pair, coords),
        _core.local_variance(pair[0]),
        _core.sample_texture(pair[0], 99, seed=1, key="I01"),
    ]


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_number_of_threads_changes_no_bit(dtype: str) -> None:
    pair = images(dtype)
    seen = []
    for threads in (1, 2, 3, 7):
        _core.set_num_threads(threads)
        assert _core.num_threads() == threads
        seen.append([np.asarray(result).tobytes() for result in results(dtype, pair)])
    assert seen[1:] == seen[:1] * 3


def run(script: str, **environment: str) -> str:
    """Run a script in a Python of its own; what it printed. A hang is a failure."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FORK = """
    import os, signal, threading
    import numpy as np
    from pixq import _core

    _core.set_num_threads(2)
    image = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    assert image.size > _core.PARALLEL_SAMPLES
    expected = _core.local_variance(image).sum()

    def computes_alone():
        signal.alarm(60)  # ends a child that hangs
        return _core.local_variance(image).sum() == expected

    def ends_well(child):
        return os.waitpid(child, 0)[1] == 0

    def child_finishes():
        child = os.fork()
        if child == 0:
            right = computes_alone() and _core.mse(image, image) == 0.0
            grandchild = os.fork()  # a child's child has a pool of its own as well
            if grandchild == 0:
                os._exit(0 if computes_alone() else 1)
            os._exit(0 if right and ends_well(grandchild) else 1)
        return ends_well(child)
"""


def test_a_child_forked_after_a_parallel_call_does_not_hang() -> None:
    assert run(FORK + "\n    print(child_finishes())") == "True"


@pytest.mark.slow
def test_a_child_forked_during_a_parallel_call_does_not_hang() -> None:
    script = (
        FORK
        + """
    stop = threading.Event()
    def compute():
        while not stop.is_set():
            _core.local_variance(image)
    others = [threading.Thread(target=compute) for _ in range(2)]
    for other in others:
        other.start()
    print(all(child_finishes() for _ in range(10)))
    stop.set()
    for other in others:
        other.join()
    """
    )
    assert run(script) == "True"


def test_import_starts_no_thread_and_the_environment_sets_their_number() -> None:
    script = """
        import os
        from pixq import _core
        tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
        print(tasks, _core.num_threads())
    """
    # NumPy's own BLAS threads are none of ours.
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert run(script, PIXQ_NUM_THREADS="3", **quiet) == "1 3"
    assert run(script, PIXQ_NUM_THREADS="none", **quiet) == f"1 {len(os.sched_getaffinity(0))}"


def test_small_calls_start_no_thread() -> None:
    script = """
        import os
        import numpy as np
        from pixq import _core
        _core.set_num_threads(4)
        small = np.zeros((64, 64), np.uint8)
        count = lambda: len(os.listdir("/proc/self/task"))
        before = count()
        _core.fuse_at(small, small, _core.grid(64, 64)), _core.mse(small, small)
        print(count() - before, end=" ")
        large = np.zeros((1024, 1024), np.uint8)
        _core.mse(large, large)
        print(count() - before)
    """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc, which this system has not")
    assert run(script) == "0 4"


SMALL = RNG.integers(0, 256, (20, 20, 3), np.uint8)
FLOATS = RNG.random((1200, 1200)).astype(np.float32)
# A stride of 0 makes much work of little memory.
TALL = np.broadcast_to(RNG.integers(0, 256, (1, 4000, 3), np.uint8), (100_000, 4000, 3))
MANY = np.broadcast_to(SMALL, (60_000, 20, 20, 3))
CORNERS = np.zeros((60_000, 2), np.int64)
HALF = np.full((20, 20), 0.3)


def score_at(image: np.ndarray[Any, Any], coords: np.ndarray[Any, Any]) -> None:
    """Scores of patches of an image and itself."""
    parameters, scores, weights = np.ones(4417, np.float32), *np.empty((2, len(coords)), np.float32)
    arrays = {"scale": [1.0] * 9, "shift": [0.0] * 9, "scores": scores, "weights": weights}
    _core.score_at("tiny", parameters, image, image, coords, options={"norm": True}, **arrays)


CALLS: dict[str, Callable[[], Any]] = {
    "tile": lambda: _core.tile(TALL, coords=CORNERS),
    "untile": lambda: _core.untile(np.broadcast_to(SMALL, (600_000, 20, 20, 3)), np.tile(CORNERS, (10, 1)), 20, 20),
    "fuse": lambda: _core.fuse(MANY, MANY, mask=HALF),
    "fuse_rows": lambda: _core.fuse_rows(MANY, MANY, CORNERS[:, 0], CORNERS[:, 1], fusions=[("blend", 0.3)]),
    "fuse_at": lambda: _core.fuse_at(TALL, TALL, CORNERS),
    "equal_at": lambda: _core.equal_at(TALL, TALL, np.tile(CORNERS, (10, 1))),
    "score_at": lambda: score_at(TALL, CORNERS[:20_000]),
    "mse": lambda: _core.mse(TALL, TALL),
    "psnr": lambda: _core.psnr(MANY, MANY, roi=(1, 1, 17, 17)),
    "local_variance": lambda: _core.local_variance(FLOATS, size=60),
    "sample_texture": lambda: _core.sample_texture(FLOATS, 1000, seed=0, key=""),
}


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("name", CALLS)
def test_calls_compute_without_the_gil(name: str) -> None:
    _core.set_num_threads(1)
    with no_forced_switches():
        assert Observer().sees(CALLS[name], seconds=60)


@pytest.mark.slow
def test_work_that_keeps_the_gil_is_not_taken_for_work_without_it() -> None:
    """The test above proves something only if this holds, also for work that gives up the GIL and only waits.

    Allocating zeros would not do as that work: NumPy clears memory without the GIL, which is computing without it.
    """
    with no_forced_switches():
        for work in (lambda: sum(range(3_000_000)), lambda: [(time.sleep(0), sum(range(9))) for _ in range(50)]):
            assert not Observer().sees(work, seconds=0.5)


@contextmanager
def no_forced_switches() -> Iterator[None]:
    """A thread keeps the GIL until it gives it up by itself."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


class Observer:
    """Sees whether the main thread computes while another holds the GIL, so that it computes without it."""

    def __init__(self) -> None:
        self.within = self.seen = self.done = False
        self.main = time.pthread_getcpuclockid(threading.get_ident())

    def sees(self, work: Callable[[], Any], seconds: float) -> bool:
        """Repeat `work` until it was seen to compute without the GIL, or for some seconds and at least once."""
        other = threading.Thread(target=self._watch)
        other.start()
        limit = time.monotonic() + seconds
        while True:
            # Between these two lines the other thread runs only while `work` has given up the GIL.
            self.within = True
            work()
            self.within = False
            if self.seen or time.monotonic() >= limit:
                self.done = True
                other.join()
                return self.seen

    def _watch(self) -> None:
        while not (self.seen or self.done):
            if self.within:
                # Nothing here gives up the GIL. A thread that waits for it uses no processor time.
                before, limit = time.clock_gettime(self.main), time.thread_time() + 0.02
                while not self.seen and time.thread_time() < limit:
                    self.seen = time.clock_gettime(self.main) - before > 0.001
            time.sleep(0.0005)  # Gives it up, for the main thread to go on.
