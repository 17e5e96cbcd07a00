"""A server that stands in for `pixq study serve` in tests of its page: the protocol, and nothing that lasts."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image, ImageFilter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import trees
from pixq.serve.guard import Guard
from pixq.serve.service import listen

PAGE = Path(__file__).parents[1] / "python" / "pixq" / "study" / "page"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
TOKEN = "a-token-of-tests"
#: Of all images, in pixels.
WIDTH, HEIGHT = 320, 240
LEVELS = 20
PUBLIC: dict[str, Any] = {
    "title": "Where does it flicker?",
    "version": "1",
    "contact": "study@example.org",
    "languages": ["en", "de"],
    "default_language": "en",
    "consent": {
        "en": "We study which changes of pictures people notice.\n\nIt takes about ten minutes. You may stop at any "
        "time by closing the page. We keep your answers under a pseudonym, and nothing else of you.",
        "de": "Wir untersuchen, welche Veränderungen von Bildern Menschen bemerken.\n\nEs dauert etwa zehn Minuten. "
        "Sie können jederzeit aufhören. Wir behalten Ihre Antworten unter einem Pseudonym.",
    },
    "scaling": "physical",
    "width_cm": 13.797,
    "height_cm": 10.347,
    "distance_cm": 30,
    "min_screen_cm": 17,
    "min_window": [1360, 760],
    "hertz": 8,
    "clicks": 3,
}


@cache
def picture(level: int) -> bytes:
    """A photo; from level 1 on, its corners get worse."""
    pixels = np.ascontiguousarray(trees.photo(3, (HEIGHT, WIDTH)))
    if level:
        worse = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(level / 4)))
        pixels[:90, :110] = worse[:90, :110]
        pixels[140:, 200:] = worse[140:, 200:]
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@dataclass
class Server:
    """What it was told, and what it is to do wrong.

    Parameters
    ----------
    trials
        Images asked about after the one of training.
    broken
        Levels whose image is no image.
    down
        Whether it answers nothing but 503.
    """

    trials: int = 2
    public: dict[str, Any] = field(default_factory=lambda: dict(PUBLIC))
    broken: set[int] = field(default_factory=set)
    down: bool = False
    port: int = 0
    url_of_platform: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    asked: list[int] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    step: str = "consent"
    index: int = 0
    tries: int = 0
    feedback: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def kinds(self, *, but: tuple[str, ...] = ("opened",)) -> list[str]:
        return [event["kind"] for event in self.events if event["kind"] not in but]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["kind"] == kind]

    def key(self) -> str:
        return f"{self.step}-{self.index}"

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"step": self.step, "next": len(self.events), "index": self.index, "of": 1}
        if self.step == "trial":
            state["of"] = self.trials
        if self.step in ("training", "trial"):
            levels = [{"level": level, "image": f"{self.key()}-{level}"} for level in range(1, LEVELS + 1)]
            state["trial"] = {
                "key": self.key(), "kind": self.step, "width": WIDTH, "height": HEIGHT, "levels": levels,
                "reference": f"{self.key()}-0", "clicks": self.public["clicks"], "preload": [],
            }  # fmt: skip
        if self.feedback:
            state["feedback"] = self.feedback
        if self.step in ("completed", "failed"):
            state["completion"] = {"code": "C0DE" if self.step == "completed" else None, "url": self.url_of_platform}
        return state

    def take(self, event: dict[str, Any]) -> None:
        """One event; what does not fit changes nothing."""
        self.events.append(event)
        kind, data = event["kind"], event["data"]
        if kind != self.step:
            return
        self.feedback = None
        if kind == "consent":
            self.step = "check" if data["agreed"] else "failed"
        elif kind == "check":
            fits = data["width"] >= self.public["min_window"][0] and data["height"] >= self.public["min_window"][1]
            self.step = "failed" if data["mobile"] else "calibration" if fits else "check"
        elif kind == "calibration":
            if data["screen_height"] / data["px_per_cm"] >= self.public["min_screen_cm"]:
                self.step = "instructions"
            else:
                self.tries += 1
                self.step = "failed" if self.tries == 3 else "calibration"
        elif kind == "instructions":
            self.step = "training"
        elif kind == "training":
            passed = 4 <= data["pjnd"] <= 8
            self.feedback = {
                "key": data["key"], "passed": passed, "in_range": passed, "matched": [0, 1] if passed else [],
                "pjnd_range": [4, 8], "points": [[45, 55], [190, 260], [30, 90]], "radius": [35, 35],
            }  # fmt: skip
            self.step = "trial" if passed else "training"
        elif kind == "trial":
            self.index += 1
            if self.index == self.trials:
                self.step, self.index = "survey", 0
        elif kind == "survey":
            self.step = "completed"


def create_app(server: Server) -> Starlette:
    """The stand-in as an ASGI application."""

    def wrong(status: int, message: str, **more: Any) -> Response:
        return JSONResponse({"error": message, **more}, status)

    def known(request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {TOKEN}"

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        path = PAGE / name
        return Response(path.read_bytes(), media_type=KINDS[path.suffix])

    async def start(request: Request) -> Response:
        if server.down:
            return wrong(503, "down")
        server.starts.append(await request.json())
        return JSONResponse({"token": TOKEN, "study": server.public, "state": server.state()})

    async def events(request: Request) -> Response:
        if server.down:
            return wrong(503, "down")
        if not known(request):
            return wrong(401, "no such session")
        server.sent += 1
        for event in (await request.json())["events"]:
            number, stored = event["number"], len(server.events) - 1
            if number > stored + 1:
                return wrong(409, "a gap", stored=stored)
            if number <= stored:
                if server.events[number] != event:
                    return wrong(409, "other content", stored=stored)
                continue
            server.take(event)
        return JSONResponse({"stored": len(server.events) - 1, "state": server.state()})

    async def image(request: Request) -> Response:
        if not known(request):
            return wrong(401, "no such session")
        level = int(request.path_params["key"].rpartition("-")[2])
        server.asked.append(level)
        data = b"nothing" if level in server.broken else picture(level)
        return Response(data, media_type="image/png")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/page/{name}", page),
            Route("/api/start", start, methods=["POST"]),
            Route("/api/events", events, methods=["POST"]),
            Route("/api/image/{key}", image),
        ],
        middleware=[Middleware(Guard, hosts=("127.0.0.1",))],
    )


@contextmanager
def running(**options: Any) -> Iterator[Server]:
    """The stand-in on a free port of this machine, in a thread."""
    server = Server(**options)
    with listen("127.0.0.1", 0) as socket:
        server.port = socket.getsockname()[1]
        config = uvicorn.Config(create_app(server), http="h11", ws="none", lifespan="off", log_level="critical")
        runner = uvicorn.Server(config)
        thread = threading.Thread(target=runner.run, args=([socket],))
        thread.start()
        try:
            while not runner.started and thread.is_alive():
                time.sleep(0.01)
            yield server
        finally:
            runner.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
