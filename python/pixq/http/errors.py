"""The error of a request that can't be fulfilled."""

from __future__ import annotations

from typing import Any

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request that is refused; the response is `{"error": ..., "image": ...}`.

    Parameters
    ----------
    status
        HTTP status, 400 to 599.
    message
        One line: what is wrong, and how to fix it. It reveals nothing about the server.
    image
        The upload that is at fault, `reference` or `distorted`; `None` for neither or both.
    headers
        Further headers of the response.
    **more
        Further fields of the response.
    """

    def __init__(
        self, status: int, message: str, image: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.image = image
        self.headers = headers or {}
        self.more = more
