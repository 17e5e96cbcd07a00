"""The version of pixq, as the compiled core has it."""

from __future__ import annotations

from pixq._core import __version__

__all__ = ["__version__"]
