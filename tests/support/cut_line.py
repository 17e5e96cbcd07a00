"""A connection between a browser and a server that tests can cut at any byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal

#: The state of the line: open; down; or it loses the request or the reply of a call that stores events, or holds the
#: reply back.
How = Literal["open", "down", "request lost", "reply lost", "reply held"]
_EVENTS = b"POST /api/events"


class Line:
    """Forwards connections to a port of this machine, in threads, and counts the requests that it disturbed.

    Parameters
    ----------
    port
        The server's port.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.how: How = "open"
        #: Number of requests that store events and were lost, or whose reply was lost or held back.
        self.hit = 0
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._whole = threading.Event()
        self._whole.set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def be(self, how: How) -> None:
        """Change the state of the line; `down` also cuts open connections."""
        self.how = how
        if how == "reply held":
            self._whole.clear()
        else:
            self._whole.set()
        if how == "down":
            self._cut()

    def close(self) -> None:
        self.be("down")
        # Closing alone would not wake the thread that accepts.
        _end(self._listening)
        self._accepting.join()
        self._listening.close()

    def _cut(self) -> None:
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            _end(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to)) if self.how != "down" else None
            except OSError:
                far = None
            if far is None:
                near.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            caught = threading.Event()
            for job in (self._up, self._down):
                threading.Thread(target=job, args=(near, far, caught), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket, caught: threading.Event) -> None:
        with self._pair(near, far):
            while data := near.recv(1 << 16):
                if data.startswith(_EVENTS) and self.how in ("request lost", "reply lost", "reply held"):
                    self.hit += self.how != "reply held"
                    if self.how == "request lost":
                        return
                    caught.set()
                far.sendall(data)

    def _down(self, near: socket.socket, far: socket.socket, caught: threading.Event) -> None:
        with self._pair(near, far):
            while data := far.recv(1 << 16):
                if caught.is_set():
                    # The events are stored by now; the reply is lost, or only late, depending on the line.
                    if self.how != "reply held":
                        return
                    self.hit += 1
                    self._whole.wait()
                    caught.clear()
                near.sendall(data)

    @contextlib.contextmanager
    def _pair(self, near: socket.socket, far: socket.socket) -> Iterator[None]:
        try:
            with contextlib.suppress(OSError):
                yield
        finally:
            for end in (near, far):
                _end(end)
            with self._lock:
                last = near not in self._ends
                self._ends -= {near, far}
            if last:
                # The other thread reads from them no more.
                near.close()
                far.close()


def _end(end: socket.socket) -> None:
    """Both directions; whoever reads from it is woken."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def laid(port: int) -> Iterator[Line]:
    """A line to a port of this machine."""
    line = Line(port)
    try:
        yield line
    finally:
        line.close()
