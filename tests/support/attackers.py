"""Small studies with places that can be filled, clocks that tests set, and people who watch images by them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq.study.results.answers import Answer, answers_of
from pixq.study.results.load import load_results
from pixq.study.session.viewing import ViewingRecord
from support.studying import PROLIFIC, TRUTH, Page, Server, make_study, running

_COUNT = itertools.count()
#: The first time that `Clocks.wall` gives.
START = 1_700_000_000.0


@dataclass
class Clocks:
    """The server's clocks: one that can be set, and one that only runs."""

    wall: float = START
    running: float = 0.0

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


@contextmanager
def attacked(
    folder: Path, database: str, clocks: Clocks, *, platform: str = PROLIFIC, answers: int = 1000
) -> Iterator[Server]:
    """A server of a study on Prolific that withholds the code of sessions whose work was not done."""
    if not folder.exists():
        make_study(folder, platform=f"{platform}\n[qualification]\n")
        toml = folder / "study.toml"
        toml.write_text(toml.read_text("utf-8").replace("answers = 50", f"answers = {answers}"), "utf-8")
    record = ViewingRecord(clock=lambda: clocks.running)
    with running(folder, database, proxy=True, clock=lambda: clocks.wall, viewings=record) as server:
        yield server


def prolific(person: str = "", visit: str = "") -> dict[str, str]:
    """Parameters of the address of somebody who comes from Prolific, by default somebody new."""
    number = next(_COUNT)
    return {"PROLIFIC_PID": person or f"person{number:018d}", "SESSION_ID": visit or f"visit{number:019d}"}


class Participant(Page):
    """A page whose person takes as long over an image as the server's clocks are told.

    Parameters
    ----------
    server
        The server.
    clocks
        Its clocks.
    address
        What a proxy says is the client's address.
    """

    def __init__(
        self, server: Server, clocks: Clocks, platform: dict[str, str] | None = None, address: str = "192.0.2.1"
    ) -> None:
        super().__init__(server, platform or prolific())
        self.clocks, self.address = clocks, address

    def ask(self, method: str, path: str, body: Any = None, token: Any = None, headers: Any = None) -> Any:
        return super().ask(method, path, body, token, {"x-forwarded-for": self.address, **(headers or {})})

    def trial(self, *, seconds: float = 10.0, fetch: bool = True, right: bool = True, **more: Any) -> None:
        """Answer the current image after so many seconds; a test image rightly or not."""
        if fetch:
            self.fetch()
        self.clocks.pass_time(seconds)
        session = self.session
        plan = self.server.service.plan(session)
        item = plan.trials[self.state["index"]]
        data = {**self.answer(20, [(0.0, 0.0), (0.5, 0.5), (48.0, 0.0)]), **more}
        if item.truth is not None and right:
            (low, _), points = TRUTH[item.source]
            data |= {"pjnd": low, "points": [list(point) for point in (*points, (0.5, 0.5))]}
        self.say("trial", data)

    def take_part(self, **how: Any) -> None:
        """Take part from the start to the end; `how` is for `trial`."""
        self.start()
        self.go("trial")
        while self.state["step"] == "trial":
            self.trial(**how)
        self.go("completed")
        assert self.state["step"] == "completed"

    @property
    def answers(self) -> list[Answer]:
        """The session's rows of the export."""
        service, name = self.server.service, self.session.public
        results = load_results(service)
        return [row for row in answers_of(service.study, results.sessions, results.events) if row.session == name]

    @property
    def flags(self) -> list[set[str]]:
        """Those flags of the session's answers that the server's clocks decide."""
        decided = {"unseen", "overstated", "server_times"}
        return [decided & set(answer.flags) for answer in self.answers]
