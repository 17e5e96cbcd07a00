"""What a page never learns: which images are tests, their correct answers, and images of other sessions."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from support.studying import SOURCES, TRUTH, Page, Server


def test_the_whole_log_of_a_session_holds_no_truth(server: Server) -> None:
    before = len(server.log)
    for _ in range(3):
        page = Page(server)
        page.start()
        page.go("training")
        page.one()
        # The page knows the truth of the training image from here on, so the search leaves it out.
        while page.state["step"] != "completed":
            if page.state["step"] == "trial":
                trial = page.state["trial"]
                page.ask("GET", f"/api/image/{trial['reference']}")
                page.ask("GET", f"/api/image/{trial['levels'][0]['image']}")
            page.one()
        page.ask("GET", "/api/state", token=page.token)
    log = server.log[before:]
    secrets = [*SOURCES, *TRUTH, 'pjnd_range": [30', "points_yx", 'passed": null', "is_test", '"test"']
    for name, ((low, high), points) in TRUTH.items():
        if name != "TRAIN_1":
            secrets += [str(number) for point in points for number in point]
            secrets += [f"[{low},{high}]", f"[{low}, {high}]"]
    assert len(log) > 30
    for method, path, headers, body in log:
        for secret in secrets:
            assert secret.encode() not in headers + body + path.encode(), (method, path)


def test_a_test_looks_like_any_other_image(server: Server) -> None:
    shapes, tests = [], 0
    for n in range(6):
        page = Page(server, seed=n)
        page.start()
        page.go("trial")
        for item in server.service.plan(page.session).trials:
            trial = page.state["trial"]
            tests += item.kind == "test"
            told = page.say("trial", page.answer())
            state = {
                key: value for key, value in told["state"].items() if key not in ("next", "index", "step", "trial")
            }
            shapes.append(
                (sorted(trial), trial["kind"], [len(each["image"]) for each in trial["levels"]], state.keys() - {"of"})
            )
    assert tests == 6
    assert len(shapes) == 18
    assert all(each == shapes[0] for each in shapes)


def test_keys_of_images_are_of_one_session(server: Server) -> None:
    keys: list[set[str]] = []
    for _ in range(2):
        page = Page(server)
        page.start()
        page.go("training")
        keys.append({page.state["trial"]["reference"], *(each["image"] for each in page.state["trial"]["levels"])})
    assert not keys[0] & keys[1]
    # A seal is only valid for its session, trial and level.
    one, other = (sorted(each)[0].split(".") for each in keys)
    for place in range(3):
        mixed = [*one]
        mixed[place] = other[place] if place < 2 else "999"
        assert server.ask("GET", f"/api/image/{'.'.join(mixed)}")[0] == 404
