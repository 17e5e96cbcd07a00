"""A request that is answered with an error."""

from __future__ import annotations

from typing import Any

__all__ = ["Refused"]


class Refused(Exception):
    """What a client did that can't be done; it becomes `{"error": ..., "image": ...}`.

    Parameters
    ----------
    status
        Of HTTP, 400 to 599.
    message
        One line: what is wrong, and what mends it. It names nothing of the server's.
    image
        Which of the two uploads it is about, `reference` or `distorted`; `None`: neither, or both.
    headers
        What HTTP wants beside the status.
    **more
        What else the answer has.
    """

    def __init__(
        self, status: int, message: str, image: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.image = image
        self.headers = headers or {}
        self.more = more
