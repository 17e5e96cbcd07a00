"""Searches all traffic of a session for what must stay on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import taking_part
from support.taking_part import HIDDEN, SOURCES, TRAINING, TRUTH, until


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with taking_part.chromium() as opened:
        yield opened


def shape(value: Any) -> Any:
    """The shape of a value: names, types and lengths, without its letters and digits."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    # Levels are integers of one or two digits.
    return re.sub(r"[0-9a-f]", "x", value) if isinstance(value, str) else value


def test_a_session_tells_nothing_of_what_is_hidden(chromium: Any, tmp_path: Path) -> None:
    quota = {"answers": 50, "images": 3, "tests": 1}
    folder = taking_part.make_study(tmp_path / "study", tmp_path / "images", quota=quota)
    said: list[tuple[str, bytes]] = []

    def through(route: Any) -> None:
        reply = route.fetch(max_redirects=0)
        asked = json.dumps([route.request.url, route.request.post_data])
        said.append((route.request.url, asked.encode()))
        said.append((route.request.url, json.dumps(reply.headers).encode() + b"\n" + reply.body()))
        route.fulfill(response=reply)

    def loaded() -> int:
        return len({url for url, body in said if "/api/image/" in url and b"PNG" in body[:1000]})

    with taking_part.running(folder, tmp_path / "answers.db") as server, taking_part.seats(chromium) as seat:
        person = seat(server)
        person.page.context.route("**/*", through)
        # A person whose test image is not the last one: nothing is preloaded after the last one.
        for name in ("a", "b", "c", "d", "e", "f"):
            person.arrive(f"{server.url}{name}")
            person.page.wait_for_selector("#agree")
            kinds = [item.kind for item in server.service.plan(server.sessions[-1]).trials]
            if kinds[-1] != "test":
                break
        assert kinds[-1] == "source"
        person.reach("trial")
        for number in range(1, 5):
            person.until_picture(number)
            # All levels of this picture and of the next one.
            pictures = 1 + min(number + 1, 4)
            assert until(person.page, lambda wanted=pictures * (1 + taking_part.LEVELS): loaded() >= wanted)
            person.answer(8)
        person.page.wait_for_selector("textarea")
        person.page.click(".main")
        person.page.wait_for_selector("text=All your answers are stored")
        [hidden] = [answer for answer in server.exported() if answer.kind == "test"]
        assert hidden.passed is True
    images = [body for url, body in said if "/api/image/" in url and b"PNG" in body[:1000]]
    assert len(images) >= 4 * taking_part.LEVELS
    secrets = [HIDDEN, TRAINING, *SOURCES, str(tmp_path), "study.toml", "JPEG", "pjnd_range = "]
    secrets += [f"{number}" for point in TRUTH[HIDDEN]["points_yx"] for number in point]
    for url, body in said:
        for secret in secrets:
            assert secret.lower().encode() not in body.lower(), (url, secret)
    told = [
        json.loads(body.partition(b"\n")[2])
        for url, body in said
        if "/api/" in url and "/api/image/" not in url and not body.startswith(b"[")
    ]
    assert len(told) > 10
    for each in told:
        state = each["state"]
        # The truth of a training image is sent after its answer; nothing about test images ever is.
        assert "test" not in json.dumps(state).lower()
        if feedback := state.get("feedback"):
            assert feedback["pjnd_range"] == TRUTH[TRAINING]["pjnd_range"]
    trials = {each["state"]["index"]: each["state"]["trial"] for each in told if each["state"]["step"] == "trial"}
    place = kinds.index("test")
    assert kinds[0] == "source"
    assert shape(trials[place]) == shape(trials[0])
    assert set(server.service.public) & {"test", "training", "source", "quota", "platform", "seed"} == set()
