"""What a command does with warnings and with Ctrl-C."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pixq._core import stop_decoding
from pixq.cli.messages import warn
from pixq.errors import DamagedImageWarning

__all__ = ["at_console"]


@contextmanager
def at_console() -> Iterator[None]:
    """Print warnings about images in one line each, and let Ctrl-C stop the decoders of all threads."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def print_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, DamagedImageWarning):
                warn(message)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = print_warning
        usual = signal.getsignal(signal.SIGINT)
        # A handler can be set on the main thread only, and somebody else's is left alone.
        ours = usual is signal.default_int_handler and threading.current_thread() is threading.main_thread()
        if ours:
            signal.signal(signal.SIGINT, _interrupt)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, usual)


def _interrupt(number: int, frame: FrameType | None) -> None:
    stop_decoding()
    signal.default_int_handler(number, frame)
