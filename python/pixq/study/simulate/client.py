"""A client of `pixq study serve` that acts as a participant's page: it starts a session, sends events, loads images."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from pixq.study.constants import CONSTANTS

__all__ = ["Connection", "Participant", "UnexpectedResponse", "typical_data"]

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
#: Resolution that a bank card gives, in CSS pixels per centimetre, and the height of the screen in CSS pixels.
PX_PER_CM, SCREEN = 40.0, 1080


class UnexpectedResponse(Exception):
    """The server answered with another status than 200; the message is one line."""


class Connection:
    """A persistent connection to a server on this machine, with as little of HTTP as that takes.

    Parameters
    ----------
    port
        The port on which the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, token: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and give the status and the content of the response.

        Raises
        ------
        OSError, EOFError
            If the server is gone.
        """
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        response = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(response)
        return int(response[9:12]), await reader.readexactly(int(length[1]) if length else 0)

    def close(self) -> None:
        """Close the connection."""
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


class Participant:
    """A person in a session, who remembers the server's last response.

    Parameters
    ----------
    port
        The port on which the server listens, on this machine.
    platform
        Parameters of the address that the person opens.
    language
        Language of the page.
    """

    def __init__(self, port: int, platform: Mapping[str, str], language: str = "en") -> None:
        self._events, self._images = Connection(port), Connection(port)
        self._platform, self._language = dict(platform), language
        #: Token of the session; empty if the person may not begin one.
        self.token = ""
        #: What the page knows about the study.
        self.study: dict[str, Any] = {}
        #: The state of the session.
        self.state: dict[str, Any] = {}
        #: Seconds from sending the last request to having read its response.
        self.waited = 0.0

    @property
    def step(self) -> str:
        """The current step, or how the session ended."""
        return str(self.state["step"])

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return bool(CONSTANTS["steps"][self.step] == "ended")

    async def start(self, *, again: bool = False) -> None:
        """Begin a session, or continue it.

        Parameters
        ----------
        again
            Whether to begin another one if the last one is completed.

        Raises
        ------
        UnexpectedResponse
            If the server refuses.
        """
        body = {"platform": self._platform, "language": self._language, "again": again}
        response = await self._request("POST", "/api/start", body)
        self.token, self.study, self.state = response["token"], response["study"], response["state"]

    async def refresh(self) -> None:
        """Load the state of the session again, as another page may have continued it; raises as `start` does."""
        self.state = (await self._request("GET", "/api/state"))["state"]

    async def send_event(self, data: Mapping[str, Any], *, at: float = 0.0, wall: str = "", kind: str = "") -> None:
        """Send an event, which is stored when this returns, and update `state`.

        Parameters
        ----------
        data
            Data of the event.
        at
            Milliseconds since the page was opened.
        wall
            Time by the page's clock, ISO 8601.
        kind
            Kind of the event; by default the current step.

        Raises
        ------
        UnexpectedResponse
            If the server refuses.
        """
        event = {"number": self.state["next"], "kind": kind or self.step, "at": at, "wall": wall, "data": dict(data)}
        self.state = (await self._request("POST", "/api/events", {"events": [event]}))["state"]

    async def fetch_images(self, *keys: str) -> list[bytes]:
        """Load image files one after another, on a connection apart from that of the events.

        Raises
        ------
        UnexpectedResponse
            If an image can't be loaded.
        """
        files = []
        for key in keys:
            status, content = await self._images.request("GET", f"/api/image/{key}")
            if status != 200:
                raise UnexpectedResponse(f"GET /api/image: {status}")
            files.append(content)
        return files

    def close(self) -> None:
        """Close the connections."""
        self._events.close()
        self._images.close()

    async def _request(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        status, response = await self._events.request(method, path, self.token, content)
        self.waited = time.perf_counter() - began
        if status != 200:
            raise UnexpectedResponse(f"{method} {path}: {status} {response[:160].decode(errors='replace')}")
        return json.loads(response)


def typical_data(study: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Give the data that somebody with an ordinary screen, who agrees to everything, sends at a step without an image.

    Parameters
    ----------
    study
        What the page knows about the study.
    step
        The step, such as `consent`.

    Examples
    --------
    >>> typical_data({}, "consent"), typical_data({"min_screen_cm": 17}, "calibration")
    ({'agreed': True}, {'px_per_cm': 40.0, 'screen_height': 1080})
    """
    if step == "consent":
        return {"agreed": True}
    if step == "check":
        width, height = study["min_window"]
        rate = max(60, CONSTANTS["flow"]["frames_per_image"] * study["hertz"])
        return {"mobile": False, "width": max(width, 1920), "height": max(height, 1000), "rate": rate}
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
