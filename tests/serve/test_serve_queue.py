"""Who waits, what ends work, that nothing is left behind, and the socket."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import ClientDisconnect

from pixq.errors import PixqError
from pixq.http.server import open_socket
from pixq.serve.app import _Queue
from pixq.serve.service import settings_for
from support import serving
from support.serve_requests import head, refused
from support.serving import Service, encoded, form


def test_the_rest_is_sent_away_when_many_wait() -> None:
    judge = serving.Waiting()
    settings = replace(settings_for("127.0.0.1"), workers=1, waiting=1)
    answers: queue.SimpleQueue[serving.Answer] = queue.SimpleQueue()
    with serving.running(judge, settings) as service:
        clients = [
            threading.Thread(target=lambda: answers.put(service.post(serving.files((40, 40))))) for _ in range(5)
        ]
        for client in clients:
            client.start()
        assert judge.began.acquire(timeout=30)
        # One is at work and one waits, whichever those are.
        for busy in [answers.get(timeout=30) for _ in range(3)]:
            refused(busy, 503, "too many requests are waiting")
            assert busy.headers["retry-after"] == "5"
        # The page is there all the same.
        assert service.ask("GET", "/").status == 200
        assert not judge.began.acquire(blocking=False), "one at a time"
        judge.go.set()
        for client in clients:
            client.join(30)
        assert [answers.get(timeout=30).status for _ in range(2)] == [200, 200]
        assert answers.empty()
        assert service.post(serving.files((40, 40))).status == 200, "places are given back"


def test_a_client_that_goes_away_ends_its_work() -> None:
    judge = serving.Waiting()
    with serving.running(judge, replace(settings_for("127.0.0.1"), workers=1, waiting=0)) as service:
        body = form(serving.files((40, 40)))
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head(service, f"Content-Length: {len(body)}") + body)
            assert judge.began.acquire(timeout=30)
        assert judge.ended.wait(30)
        judge.go.set()
        for _ in range(500):
            if (answer := service.post(serving.files((40, 40)))).status == 200:
                break
            time.sleep(0.01)
        assert answer.status == 200


@pytest.mark.slow
def test_an_interruption_gives_up_what_is_scored_and_is_quiet() -> None:
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        from support import serving
        from pixq.cli import app, main
        from pixq.serve.service import serve
        class Told(serving.Waiting):
            def map(self, *images, **options):
                print("began", flush=True)
                return super().map(*images, **options)
        app.command(lambda: serve(Told(), port=0), name="test")
        sys.exit(main(["test"]))
    """
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
        found: list[serving.Answer] = []
        client = threading.Thread(target=lambda: found.append(Service(port).post(serving.files((40, 40)))))
        client.start()
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        client.join(30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert err == "pixq: press Ctrl-C to stop\npixq: interrupted\n"
    assert [answer.status for answer in found] == [503]
    assert "shutting down" in found[0].json["error"]


@pytest.mark.slow
def test_the_end_of_the_service_ends_its_work() -> None:
    judge = serving.Waiting()
    with serving.running(judge) as service:
        body = form(serving.files((40, 40)))
        client = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        client.sendall(head(service, f"Content-Length: {len(body)}") + body)
        assert judge.began.acquire(timeout=30)
    assert judge.ended.wait(10)
    client.close()


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what is beyond a megabyte, and not when half of it came."""
    opened: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = os.open

    def counting(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append(str(path))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", counting)
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    large = encoded(noise, compress_level=0)
    assert len(large) > 1 << 20
    with serving.running(serving.Judge()) as service:
        assert service.post({"reference": ("a", large), "distorted": ("b", large)}).status == 200
        assert service.post({"image": ("a", large)}, "/api/picture").status == 200
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head(service, "Content-Length: 5000000") + form({"reference": ("a", large)})[: 1 << 21])
    assert opened == []
    assert list(tmp_path.iterdir()) == []


class Failing(serving.Judge):
    def map(self, *_: Any, **__: Any) -> Any:
        raise ValueError("secret: /home/someone/run")


class Refusing(serving.Judge):
    def map(self, *_: Any, **__: Any) -> Any:
        raise PixqError("this model wants other patches")


def test_a_defect_tells_nothing_of_our_insides() -> None:
    with serving.running(Failing()) as service:
        found = service.post(serving.files((40, 40)))
        assert found.status == 500
        assert found.json == {"error": "pixq failed; see its terminal for the reason", "image": None}
        assert service.post(serving.files((40, 40))).status == 500, "and the place is given back"
    with serving.running(Refusing()) as service:
        refused(service.post(serving.files((40, 40))), 422, "this model wants other patches")


def test_a_taken_port_is_one_line() -> None:
    with open_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PixqError, match=rf"^127\.0\.0\.1:{port}: Address already in use; choose another --port"):
            open_socket("127.0.0.1", port)


def test_other_hosts_are_warned_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import uvicorn

    from pixq.serve import service as listening

    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    opened: list[str] = []
    monkeypatch.setattr(listening.webbrowser, "open", opened.append)
    for host, warned in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)):
        listening.serve(serving.Judge(), host=host, port=0, open_page=host == "0.0.0.0")
        told = capsys.readouterr()
        assert ("other machines can reach" in told.err) == warned
        assert told.out.startswith("http://")
    assert opened == [told.out.strip()]
    assert opened[0].startswith("http://localhost:")


class Client:
    """A request of which one knows alone whether its client is still there."""

    def __init__(self, *, left: bool) -> None:
        self.left = left

    async def receive(self) -> dict[str, str]:
        if not self.left:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


def test_uploads_of_who_left_do_not_wait_for_their_turn() -> None:
    desk, began, go = _Queue(1, 4), threading.Event(), threading.Event()

    def busy(on_progress: Any) -> bool:
        began.set()
        return go.wait(60)

    async def leave(job: Any) -> None:
        with suppress(ClientDisconnect):
            await desk.work(Client(left=True), job)  # type: ignore[arg-type]
            raise AssertionError("nobody left")

    async def main() -> None:
        first = asyncio.create_task(desk.work(Client(left=False), busy))  # type: ignore[arg-type]
        await asyncio.to_thread(began.wait, 60)

        class Job:
            def __call__(self, on_progress: Any) -> None:
                raise AssertionError("nobody waits for it")

        job = Job()
        kept = weakref.ref(job)
        await leave(job)
        del job
        gc.collect()
        assert kept() is None
        assert not first.done()
        go.set()
        assert await first
        # Whoever comes next is served.
        assert await desk.work(Client(left=False), lambda on_progress: 7) == 7  # type: ignore[arg-type]

    asyncio.run(main())
