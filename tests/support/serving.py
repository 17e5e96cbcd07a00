"""A service on a free port for the tests of `pixq serve`, a judge that takes no time, and pictures to upload."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from starlette.types import ASGIApp

from pixq.classes import QUALITY_CUTS, classify
from pixq.http.connections import ConnectionLimits
from pixq.http.server import open_socket, server_config
from pixq.io.progress import ProgressCallback
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from pixq.serve.app import Settings, create_app
from pixq.serve.response_json import Mapper
from pixq.serve.service import CONNECTIONS, settings_for
from pixq.viewing import ViewingConditions
from pixq.visibility import Visibility
from support import trees

Bytes = NDArray[np.uint8]
#: Files of a form, by part: name and bytes.
Files = dict[str, tuple[str, bytes]]
BOUNDARY = "a-boundary-of-tests"


class Judge:
    """Quality falls with the mean difference of a patch; patches near a cut are unsure where `sets`.

    With viewing conditions, its JND grow with that difference, and with the pixels per degree of the conditions.
    """

    def __init__(self, *, sets: bool = False, viewing: ViewingConditions | None = None) -> None:
        self.sets = sets
        self.measures = viewing is not None
        self.viewing = viewing or ViewingConditions()
        self.calls = 0

    def with_viewing(self, viewing: ViewingConditions) -> Judge:
        if not self.measures:
            return self
        other = copy(self)
        other.viewing = viewing
        return other

    def map(self, reference: Any, distorted: Any, *, stride: int, on_progress: ProgressCallback) -> QualityMap:
        self.calls += 1
        grid = Grid(*reference.shape[:2], stride=stride)
        difference = np.abs(reference.astype(np.float64) - distorted.astype(np.float64)).mean(axis=2)
        sums = np.zeros((grid.height + 1, grid.width + 1))
        sums[1:, 1:] = difference.cumsum(axis=0).cumsum(axis=1)
        y, x = grid.corners.T
        mean = sums[y + 20, x + 20] - sums[y, x + 20] - sums[y + 20, x] + sums[y, x]
        quality = np.exp(-mean / 400 / 6).astype(np.float32).reshape(grid.shape)
        identical = (mean < 1e-6).reshape(grid.shape)
        quality[identical] = 1
        near = np.abs(quality[..., None] - np.array(QUALITY_CUTS)).min(axis=-1) < 0.03
        score = np.where(identical, np.inf, 4.0 * quality.astype(np.float64) - 2.0)
        pooled = float(quality.mean())
        unsure = near if self.sets else None
        maps = (score, quality, classify(quality), identical, unsure)
        seen = None
        if self.measures:
            jnd = mean.reshape(grid.shape) / 400 / 20 * self.viewing.pixels_per_degree / 38
            seen = Visibility(float(jnd.max()), np.where(identical, 0.0, jnd), self.viewing)
        return QualityMap(grid, *maps, pooled, QUALITY_CUTS, None, seen, cut_scale="quality")


class Waiting(Judge):
    """A judge that waits until it is let go, or nobody waits for it any more."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.ended = threading.Event()

    def map(self, reference: Any, distorted: Any, *, stride: int, on_progress: ProgressCallback) -> QualityMap:
        self.began.release()
        try:
            for _ in range(12_000):
                on_progress("patches", 0, 1)
                if self.go.wait(0.01):
                    return super().map(reference, distorted, stride=stride, on_progress=on_progress)
        finally:
            self.ended.set()
        raise RuntimeError("nobody let it go")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # Nothing but what is given: not even the host, if it is.
            connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(
        self, files: Files, path: str = "/api/predict", headers: dict[str, str] | None = None, **fields: str
    ) -> Answer:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.ask("POST", path, form(files, **fields), {**kind, **(headers or {})})


def form(files: Files, **fields: str) -> bytes:
    """A multipart body."""
    parts = [(name, f'; filename="{filename}"', data) for name, (filename, data) in files.items()]
    parts += [(name, "", value.encode()) for name, value in fields.items()]
    body = b""
    for name, more, data in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def running(
    mapper: Mapper, settings: Settings | None = None, connections: ConnectionLimits = CONNECTIONS
) -> Iterator[Service]:
    """A service of `mapper` on a free port of this machine, in a thread."""
    with running_app(create_app(mapper, settings or settings_for("127.0.0.1")), connections) as service:
        yield service


@contextmanager
def running_app(app: ASGIApp, connections: ConnectionLimits) -> Iterator[Service]:
    """Any application on a free port of this machine, in a thread."""
    with open_socket("127.0.0.1", 0) as socket:
        server = uvicorn.Server(server_config(app, connections, grace=1))
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield Service(socket.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def pair(size: tuple[int, int] = (120, 170), seed: int = 0) -> tuple[Bytes, Bytes]:
    """A photo, and a copy that is worse to the right and as it was at the left."""
    reference = np.ascontiguousarray(trees.photo(seed, size))
    noise = np.random.default_rng(seed).normal(0, 1, reference.shape)
    strength = np.clip(np.linspace(-10, 25, size[1]), 0, None)[None, :, None]
    return reference, np.clip(reference + noise * strength, 0, 255).astype(np.uint8)


def files(size: tuple[int, int] = (120, 170), seed: int = 0) -> Files:
    """`pair` as a form's files."""
    reference, distorted = pair(size, seed)
    return {"reference": ("clean.png", encoded(reference)), "distorted": ("noisy.png", encoded(distorted))}


def replace_limit(size: int) -> Settings:
    """Settings of a service here that takes files of up to `size` bytes."""
    return replace(settings_for("127.0.0.1"), max_upload=size)
