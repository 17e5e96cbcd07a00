"""Who may start a session, and that a session stays the same when the study changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from pixq.errors import PixqError
from pixq.study.design.study_files import open_study
from pixq.study.results.answers import answers_of
from pixq.study.results.load import load_results
from pixq.study.results.statistics import study_statistics
from pixq.study.session.service import SessionService
from pixq.study.session.viewing import ViewingRecord
from pixq.study.simulate.client import typical_data
from pixq.study.store.records import Event, UnknownSession
from pixq.study.store.store import open_store
from support.studying import KEY, make_study

#: Number of sources per session, besides its test image.
IMAGES = 2


@dataclass
class Desk:
    """A study with a clock that is set by hand, and people who arrive one after another."""

    folder: Path
    now: float = 1_000_000.0
    service: SessionService = field(init=False)

    def __post_init__(self) -> None:
        self.reopen()

    def reopen(self) -> None:
        """Restart the service with the study as it is now."""
        if hasattr(self, "service"):
            self.service.store.close()
        store = open_store(str(self.folder / "answers.db"))
        # Somebody who takes ten seconds for everything.
        seconds = itertools.count(0.0, 10.0)
        record = ViewingRecord(clock=lambda: next(seconds))
        self.service = SessionService(open_study(self.folder), store, KEY, clock=lambda: self.now, viewings=record)
        self.service.check()

    def change(self, old: str, new: str) -> None:
        toml = self.folder / "study.toml"
        text = toml.read_text("utf-8")
        assert old in text
        toml.write_text(text.replace(old, new), "utf-8")
        self.reopen()

    def come(self, name: str, *, again: bool = False) -> dict[str, Any]:
        return self.service.start({"participant": name}, "en", again=again)

    def go(self, name: str, until: str = "completed", *, right: bool = True, again: bool = False) -> dict[str, Any]:
        """Take part until a step, and return its state."""
        told = self.come(name, again=again)
        token, study, state = told["token"], told["study"], told["state"]
        while state["step"] not in (until, "completed", "failed"):
            data = typical_data(study, state["step"])
            if "trial" in state:
                self.fetch(state)
                data = self._answer(name, state, right)
            event = Event(state["next"], state["step"], 1.0, "", json.dumps(data, sort_keys=True))
            state = self.service.append(token, [event])["state"]
        return state

    def fetch(self, state: dict[str, Any]) -> None:
        """Load all files of the current image."""
        for key in (state["trial"]["reference"], *(level["image"] for level in state["trial"]["levels"])):
            assert self.service.image(key) is not None

    def one_answer(self, name: str) -> None:
        """Answer the first image of a session, and leave."""
        told = self.come(name)
        state = self.go(name, until="trial")
        self.fetch(state)
        event = Event(state["next"], "trial", 1.0, "", json.dumps(self._answer(name, state, True), sort_keys=True))
        assert self.service.append(told["token"], [event])["state"]["index"] == 1

    def _answer(self, name: str, state: dict[str, Any], right: bool) -> dict[str, Any]:
        who = KEY.pseudonym("local", name)
        session = next(each for each in self.service.store.sessions() if each.participant == who and each.ended is None)
        plan = self.service.plan(session)
        item = (plan.training if state["step"] == "training" else plan.trials)[state["index"]]
        level, points = item.levels[0], [(1.0, 1.0), (20.0, 20.0), (40.0, 60.0)]
        if item.truth is not None and (right or state["step"] == "training"):
            low, high = item.truth.pjnd_range
            level = next(each for each in item.levels if low <= each <= high)
            points = [*item.truth.points_yx, (0.5, 0.5)]
        return {
            "key": item.key,
            "pjnd": level,
            "points": [list(each) for each in points],
            "track": [[0, 0], [9, level]],
        }

    @property
    def answers(self) -> int:
        rows, events, _ = load_results(self.service)
        return len(answers_of(self.service.study, rows, events))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(make_study(tmp_path / "study"))
    yield found
    found.service.store.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("min_window = [1000, 700]", "min_window = [5000, 4000]"),
        ('title = "Where is it?"', 'title = "Where is it?"\nclicks = 2'),
        ('title = "Where is it?"', 'title = "Where is it?"\nhertz = 60\nmin_screen_cm = 90'),
        ("pjnd_range = [20, 21]", "pjnd_range = [39, 41]"),
    ],
)
def test_a_session_is_what_it_was_when_it_began(desk: Desk, old: str, new: str) -> None:
    desk.go("anna")
    begun = desk.go("bert", until="trial")
    before = desk.answers
    desk.change(old, new)
    assert desk.answers == before == IMAGES + 1
    state = desk.come("bert")["state"]
    assert (state["step"], state["index"], state["trial"]["clicks"]) == ("trial", begun["index"], 3)
    assert desk.go("bert")["step"] == "completed"
    assert desk.answers == 2 * before


def test_what_an_unfinished_session_shows_must_stay(desk: Desk) -> None:
    state = desk.go("anna", until="trial")
    key = state["trial"]["levels"][-1]["image"]
    image = desk.service.image(key)
    assert image is not None
    image.path.unlink()
    with pytest.raises(PixqError, match="level 40 is missing, but an unfinished session shows it; put it back"):
        desk.reopen()
    # The running server has seen the file; a new one that has not can't find the image.
    desk.service = SessionService(open_study(desk.folder), desk.service.store, KEY)
    with pytest.raises(UnknownSession):
        desk.service.image(key)


def test_who_looks_in_and_leaves_holds_places_for_a_while(desk: Desk) -> None:
    desk.change("answers = 50", "answers = 1")
    for name in ("anna", "bert", "carl"):
        # None of them has answered anything: places are left for all.
        assert desk.come(name)["state"]["step"] == "consent"
    for name in ("anna", "bert"):
        desk.one_answer(name)
    state = desk.come("dora")["state"]
    assert (state["step"], state["reason"], state["completion"], state["minutes"]) == ("full", "full", None, 120)
    desk.now += 3600
    assert desk.come("dora")["state"]["minutes"] == 60
    # What is only logged holds nothing any longer.
    log = Event(desk.come("bert")["state"]["next"], "resumed", 1.0, "", "{}")
    desk.service.append(desk.come("bert")["token"], [log])
    desk.now += 3601
    assert desk.come("dora")["state"]["step"] == "consent"


def test_a_jump_of_the_clock_leaves_no_study_full(desk: Desk) -> None:
    desk.change("answers = 50", "answers = 1")
    desk.now += 86_400 * 365
    for name in ("anna", "bert"):
        desk.one_answer(name)
    assert desk.come("carl")["state"]["step"] == "full"
    desk.now -= 86_400 * 365
    assert desk.come("carl")["state"]["step"] == "consent"
    # Somebody who has begun holds places again with the next answer.
    assert desk.go("anna")["step"] == desk.go("bert")["step"] == "completed"
    state = desk.come("emil")["state"]
    assert (state["step"], state["reason"]) == ("screened_out", "enough")


def test_answers_of_people_who_are_out_are_asked_for_again(desk: Desk) -> None:
    desk.change("answers = 50", "answers = 1\nscreen_after = 1")
    for name in ("anna", "bert"):
        assert desk.go(name, right=False)["step"] == "completed"
    told = study_statistics(desk.service)
    assert (told["stored"], told["standings"]) == (0, {"screened_out": 2})
    assert desk.come("anna", again=True)["state"]["reason"] == "screened_out"
    assert desk.go("carl")["step"] == "completed"
    assert desk.go("dora")["step"] == "completed"
    assert study_statistics(desk.service)["stored"] == len(load_results(desk.service)[0]) == 4
    assert desk.come("emil")["state"]["reason"] == "enough"


def test_a_page_that_is_loaded_again_still_has_its_end(desk: Desk) -> None:
    desk.change("[quota]", '[platform]\ndone = "CODE1"\nscreened_out = "C2"\nfailed = "C3"\n[quota]')
    first = desk.go("anna")
    assert (first["completion"]["code"], first["more"]) == ("CODE1", True)
    told = desk.come("anna")["state"]
    assert (told["step"], told["completion"], told["more"]) == ("completed", first["completion"], True)
    second = desk.go("anna", again=True)
    # All four sources are seen.
    assert (second["completion"]["code"], second["more"]) == ("CODE1", False)
    assert desk.come("anna")["state"]["step"] == "completed"
    assert desk.come("anna", again=True)["state"]["reason"] == "finished"


def test_people_agreed_to_what_they_saw(desk: Desk) -> None:
    # Nobody has agreed yet.
    desk.change('en = "I agree."', 'en = "I do agree."')
    desk.go("anna", until="check")
    with pytest.raises(PixqError, match=r"consent.en: differs from the text of version '1' that people agreed to"):
        desk.change('en = "I do agree."', 'en = "I sell my soul."')
    desk.change('title = "Where is it?"', 'title = "Where is it?"\nversion = "2"')
    desk.go("bert", until="check")
    # A page that was opened before agrees to the old version.
    told = desk.come("carl")
    data = json.dumps({"agreed": True, "language": "en", "version": "1"})
    desk.service.append(told["token"], [Event(0, "consent", 1.0, "", data)])
    texts = desk.service.store.agreed_consents()
    found = [texts[each.consent] for each in desk.service.store.sessions() if each.consent]
    assert found == [("1", "en", "I do agree."), ("2", "en", "I sell my soul."), ("1", "en", "I do agree.")]
