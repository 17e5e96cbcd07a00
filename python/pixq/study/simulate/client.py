"""A participant's side of `pixq study serve`, as its page speaks it: start, events one by one, images."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["Line", "Participant", "Unexpected", "ordinary"]

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
#: CSS pixels per centimetre that a bank card comes to, and a screen's height in them.
PX_PER_CM, SCREEN = 40.0, 1080


class Unexpected(Exception):
    """The server answered otherwise than with 200; one line."""


class Line:
    """A connection to a server of this machine, which is kept; as little of HTTP as it takes.

    Parameters
    ----------
    port
        Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, token: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Status and content of an answer.

        Raises
        ------
        OSError, EOFError
            If the server is not there any more.
        """
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answer)
        return int(answer[9:12]), await reader.readexactly(int(length[1]) if length else 0)

    def close(self) -> None:
        """End the connection."""
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


class Participant:
    """A person in a session: knows what the server said last, and says one thing after another.

    Parameters
    ----------
    port
        Where the server listens, on this machine.
    platform
        Parameters of the address that the person opens.
    language
        Of the page.
    """

    def __init__(self, port: int, platform: Mapping[str, str], language: str = "en") -> None:
        self._line, self._looking = Line(port), Line(port)
        self._platform, self._language = dict(platform), language
        #: Of the session; empty where the person may not begin one.
        self.token = ""
        #: What a page is told of the study.
        self.study: dict[str, Any] = {}
        #: Where the session is.
        self.state: dict[str, Any] = {}
        #: Seconds that the last answer took, from sending to having read it.
        self.waited = 0.0

    @property
    def step(self) -> str:
        """What is asked now, or how it ended."""
        return str(self.state["step"])

    @property
    def ended(self) -> bool:
        """Whether nothing more is asked."""
        return self.step in ("completed", "screened_out", "failed")

    async def start(self, *, again: bool = False) -> None:
        """Begin a session, or go on with it.

        Parameters
        ----------
        again
            Whether another one is to begin where the last one is completed.

        Raises
        ------
        Unexpected
            If the server refuses.
        """
        body = {"platform": self._platform, "language": self._language, "again": again}
        told = await self._ask("POST", "/api/start", body)
        self.token, self.study, self.state = told["token"], told["study"], told["state"]

    async def see(self) -> None:
        """Ask where the session is: another page may have gone on with it. As `start`."""
        self.state = (await self._ask("GET", "/api/state"))["state"]

    async def say(self, data: Mapping[str, Any], *, at: float = 0.0, wall: str = "", kind: str = "") -> None:
        """Say what the step asks for; then `state` is the next one. It is stored when this returns.

        Parameters
        ----------
        data
            Of the event.
        at
            Milliseconds since the page was opened.
        wall
            The page's clock, ISO 8601.
        kind
            Of the event; the step by default.

        Raises
        ------
        Unexpected
            If the server refuses.
        """
        event = {"number": self.state["next"], "kind": kind or self.step, "at": at, "wall": wall, "data": dict(data)}
        self.state = (await self._ask("POST", "/api/events", {"events": [event]}))["state"]

    async def look(self, *keys: str) -> list[bytes]:
        """The files of images, one after another, on a connection of their own.

        Raises
        ------
        Unexpected
            If one can't be had.
        """
        found = []
        for key in keys:
            status, content = await self._looking.ask("GET", f"/api/image/{key}")
            if status != 200:
                raise Unexpected(f"GET /api/image: {status}")
            found.append(content)
        return found

    def close(self) -> None:
        """End the connections."""
        self._line.close()
        self._looking.close()

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        status, told = await self._line.ask(method, path, self.token, content)
        self.waited = time.perf_counter() - began
        if status != 200:
            raise Unexpected(f"{method} {path}: {status} {told[:160].decode(errors='replace')}")
        return json.loads(told)


def ordinary(study: Mapping[str, Any], step: str) -> dict[str, Any]:
    """What somebody with an ordinary screen says who agrees to all: to every step but images.

    Parameters
    ----------
    study
        What a page is told of it.
    step
        Such as `consent`.

    Examples
    --------
    >>> ordinary({}, "consent"), ordinary({"min_screen_cm": 17}, "calibration")
    ({'agreed': True}, {'px_per_cm': 40.0, 'screen_height': 1080})
    """
    if step == "consent":
        return {"agreed": True}
    if step == "check":
        width, height = study["min_window"]
        return {
            "mobile": False, "width": max(width, 1920), "height": max(height, 1000), "rate": max(60, 2 * study["hertz"])
        }  # fmt: skip
    if step == "survey":
        return {question["name"]: _survey_answer(question) for question in study["survey"]}
    if step == "calibration":
        return {"px_per_cm": PX_PER_CM, "screen_height": max(SCREEN, math.ceil(study["min_screen_cm"] * PX_PER_CM))}
    return {}


def _survey_answer(question: Mapping[str, Any]) -> str | float:
    """An answer to a survey question of any kind."""
    if question["kind"] == "choice":
        return str(question["options"][0]["value"])
    if question["kind"] == "scale":
        return int(question["steps"] + 1) // 2
    if question["kind"] == "number":
        return float(min(max(0, question.get("min", 0)), question.get("max", math.inf)))
    return "-" if question["required"] else ""
