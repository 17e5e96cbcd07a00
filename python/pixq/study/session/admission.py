"""Who may start a session: how often a person may come, which images are left, and for whom places are held."""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cachetools import LRUCache

from pixq.study.design.platforms import PLATFORMS
from pixq.study.design.study_files import OpenedStudy
from pixq.study.session.allocation import Reservation, allocate_images, count_with_reservations
from pixq.study.session.judge import Eligibility, eligibility
from pixq.study.session.participants import completion
from pixq.study.session.session_plan import plan_json
from pixq.study.session.state_machine import State
from pixq.study.session.viewing import FASTEST_SECONDS
from pixq.study.store.keys import Key, hash_token
from pixq.study.store.records import History

__all__ = ["Admission", "session_token"]

#: Number of sessions that a person may start for each one that may be completed.
_STARTS_PER_SESSION = 3
#: Seconds for which a session without an answer reserves its images: many people look in and leave.
_EARLY_SECONDS = 1200.0
#: Seconds for which a session of which nothing was heard reserves its images: a page says at once that it is open.
_SILENT_SECONDS = 60.0
#: Seconds by which a stored time may be ahead of the clock; one further ahead was stored before the clock was set back.
_AHEAD_SECONDS = 60.0
#: Number of sessions whose addresses are in memory.
_ADDRESSES = 20_000


def session_token(key: Key, public: str) -> str:
    """The token of a session: 256 bits that nobody can derive without the key.

    It is the same for a page that is reloaded: unsent events are kept in the browser under the token.
    """
    return key.sign("token", public)


class Admission:
    """Decides who may start a session, and what it shows. Several threads may call all methods.

    Parameters
    ----------
    opened
        The study and its images.
    key
        Secret key of the study.
    clock
        Returns seconds since the epoch.
    rehearsal
        Whether simulated people take part, who all come from one address.
    """

    def __init__(self, opened: OpenedStudy, key: Key, clock: Callable[[], float], *, rehearsal: bool = False) -> None:
        self._opened = opened
        self._study = opened.study
        self._key = key
        self._clock = clock
        platform = opened.study.platform
        # Nobody can make up people who have a link of the study, or a signature of their platform.
        self._trusts_people = rehearsal or PLATFORMS[platform.kind].sealed or platform.signature is not None
        self._addresses: LRUCache[int, str] = LRUCache(_ADDRESSES)
        self._lock = threading.Lock()

    def remember_address(self, session: int, address: str) -> None:
        """Remember the hash of the address that a session comes from; empty if it is unknown."""
        if address:
            with self._lock:
                self._addresses[session] = address

    def draw(self, history: History, participant: str, language: str) -> tuple[Mapping[str, Any] | None, State]:
        """A new session for a person, or the state of a page that says why there is none."""
        eligible = self._eligibility(history)
        if eligible != "welcome":
            return None, self._refusal("screened_out", eligible)
        # Answers of people who were screened out don't count, nor those to images that nobody can have looked at.
        screened_out = {
            other
            for other, (completed, passed) in history.tested.items()
            if eligibility(self._study.quota, completed, passed) == "screened_out"
        }
        answers, reserved = history.answers(screened_out, FASTEST_SECONDS), self._reservations(history)
        chosen = allocate_images(
            self._study, participant, len(history.sessions) + 1,
            count_with_reservations(answers, reserved, None if self._trusts_people else self._study.quota.answers),
            history.seen, count_with_reservations(answers, reserved),
        )  # fmt: skip
        if not chosen:
            if {source.id for source in self._study.source} <= set(history.seen):
                return None, self._refusal("screened_out", "finished")
            # Others may leave places free, so that nobody is sent away for good.
            if allocate_images(self._study, participant, len(history.sessions) + 1, answers, history.seen):
                ends = [item.ends for item in reserved if item.answered or self._trusts_people]
                wait = min(ends, default=0.0) - self._clock()
                return None, {**self._refusal("full", "full"), "minutes": max(1, math.ceil(wait / 60))}
            return None, self._refusal("screened_out", "enough")
        trained = any(session.step in ("trial", "survey", "completed") for session in history.sessions)
        training = [] if trained else [source.id for source in self._study.training]
        images = [(image.source, image.test) for image in chosen]
        return self.new_session(plan_json(self._opened, training, [name for name, _ in images]), images, language), {}

    def new_session(
        self, plan: Mapping[str, Any], images: Sequence[tuple[str, bool]], language: str
    ) -> Mapping[str, Any]:
        """The values that `Store.start` needs for a new session."""
        public = secrets.token_hex(16)
        return {
            "public": public, "token": hash_token(session_token(self._key, public)), "language": language,
            "step": "consent", "plan": json.dumps(plan), "images": images,
        }  # fmt: skip

    def _eligibility(self, history: History) -> Eligibility:
        quota = self._study.quota
        completed = sum(session.step == "completed" for session in history.sessions)
        result = eligibility(quota, completed, history.passed)
        return "finished" if len(history.sessions) >= _STARTS_PER_SESSION * quota.max_sessions else result

    def _refusal(self, step: str, reason: str) -> State:
        ending = completion(self._study.platform, step)
        return {"step": step, "next": 0, "index": 0, "of": 0, "reason": reason, "completion": ending}

    def _reservations(self, history: History) -> list[Reservation]:
        """The sources that unfinished sessions hold: for a while after they began, and after each answer."""
        now, hold = self._clock(), self._study.quota.hold_minutes * 60
        early = min(hold, _EARLY_SECONDS)
        holds = history.holds(
            started=now - early,
            silent=now - _SILENT_SECONDS,
            answered=now - hold,
            until=now + _AHEAD_SECONDS,
            watched=FASTEST_SECONDS,
        )
        with self._lock:
            addresses = {item.session: self._addresses.get(item.session or 0, "") for item in holds}
        return [
            Reservation(item.source, item.started + early, False, "", item.number)
            if item.answered is None
            else Reservation(item.source, item.answered + hold, True, addresses[item.session])
            for item in holds
        ]
