"""Sessions as they are held: who may begin, what is asked next, what is stored. It knows nothing of HTTP."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedStudy, StudyImage
from pixq.study.session.allocation import Reservation, allocate_images, count_with_reservations
from pixq.study.session.cache import Kept
from pixq.study.session.judge import Eligibility, eligibility
from pixq.study.session.platforms import Person, completion, person
from pixq.study.session.session_plan import Item, SessionPlan, parse_plan, plan_json, public_rules, public_study
from pixq.study.session.state_machine import Progress, State, advance, replay
from pixq.study.store.keys import Key, hash_token
from pixq.study.store.records import Event, History, Session, SessionChanges, UnknownSession
from pixq.study.store.store import Store

__all__ = ["MAX_EVENTS", "SessionService", "UnexpectedEvent"]

#: Of a session; no honest one comes near.
MAX_EVENTS = 20_000
#: Sessions that are kept at hand; others are read again.
_AT_HAND = 2_000
#: Sessions that a person may begin, for each that may be finished.
_BEGUN = 3
#: Seconds for which somebody who has not yet calibrated the screen holds places: many look in and leave.
_EARLY = 600.0
_EARLY_STEPS = ("consent", "check", "calibration")

#: A session's public name, a trial's key, a level, and the seal on them.
_IMAGE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})\.([0-9]{1,3})\.([0-9a-f]{32})")


class UnexpectedEvent(Exception):
    """An event does not fit where the session is; `next` is the number that comes next, `number` the event's."""

    def __init__(self, message: str, number: int, next: int) -> None:
        super().__init__(message)
        self.number = number
        self.next = next


class SessionService:
    """Holds the sessions of a study. All methods may be called by several threads.

    Parameters
    ----------
    opened
        The study and its images.
    store
        Where events are kept.
    key
        The study's.
    clock
        Seconds since the epoch.
    """

    def __init__(self, opened: OpenedStudy, store: Store, key: Key, clock: Callable[[], float] = time.time) -> None:
        self.opened = opened
        self.study = opened.study
        self.public = public_study(opened.study)
        self.store = store
        self._key = key
        self._clock = clock
        self._kept = False
        self._progress: Kept[int, Progress] = Kept(_AT_HAND)
        self._plans: Kept[str, SessionPlan] = Kept(_AT_HAND)
        self._trials: Kept[tuple[str, str, int], dict[str, Any]] = Kept(_AT_HAND)

    def check(self) -> None:
        """See that sessions that are not ended can go on with the study as it is now.

        Raises
        ------
        PixqError
            If the study lacks an image that one of them is to show, or people agreed to another text of this version.
        """
        self._keep_consents()
        for session in self.store.sessions():
            if session.ended is not None:
                continue
            plan = self.plan(session)
            for item in (*plan.training, *plan.trials):
                source = self.opened.sources.get(item.source)
                if source is None:
                    raise PixqError(
                        f"study.toml: {item.source!r} is gone, which an unfinished session shows; put it back"
                    )
                for level in item.levels:
                    if level not in source.levels:
                        raise PixqError(
                            f"{source.levels[0].path}: its level {level} is gone, which an unfinished session shows; "
                            "put it back"
                        )

    def start(self, platform: Mapping[str, str], language: str, *, again: bool = False) -> dict[str, Any]:
        """Begin a person's session, or go on with it: `token`, `study` and `state`.

        Parameters
        ----------
        platform
            Parameters of the page's address.
        language
            Of the page; the study's own, if it has no such.
        again
            Whether somebody who has completed a session is to begin another. Without that the last one is given, so
            that a page that is loaded again still has the completion code; where the platform names its visits, a new
            visit is a new session in any case.

        Raises
        ------
        ValueError
            If the platform's parameters say of nobody who it is.
        """
        who = person(self.study.platform.kind, self._key, platform)
        self._keep_consents()
        language = language if language in self.study.languages else self.study.default_language
        reason = ""

        def draw(history: History) -> Mapping[str, Any] | None:
            nonlocal reason
            drawn, reason = self._draw(history, who.id, language)
            return drawn

        session = self.store.start(who.id, who.visit, self._clock(), draw, again=again)
        if session is None:
            state: State = {
                "step": "screened_out", "next": 0, "index": 0, "of": 0, "reason": reason,
                "completion": completion(self.study.platform, "screened_out"),
            }  # fmt: skip
            return {"token": "", "study": self.public, "state": state}
        progress = self._at(session, self.store.events)
        state = self._state(session, progress)
        # By the rules that it began with.
        public = {**self.public, **public_rules(self.plan(session).rules)}
        return {"token": self._token(session.public), "study": public, "state": state}

    def state(self, token: str) -> State:
        """Where a session is.

        Raises
        ------
        UnknownSession
            If no session has this token.
        """
        session = self.store.session_by_token(hash_token(token))
        return self._state(session, self._at(session, self.store.events))

    def append(self, token: str, batch: Sequence[Event]) -> dict[str, Any]:
        """Store events: `stored`, the number up to which all are there (-1: none), and `state`.

        Raises
        ------
        UnexpectedEvent
            If one does not fit where the session is. Nothing was stored, nor with the others:
        UnknownSession, Gap, Conflict, Busy
            As `Store.append`.
        """
        found: list[Progress] = []

        def admit(
            session: Session, first: int, new: Sequence[Event], read: Callable[[int], list[Event]]
        ) -> SessionChanges:
            before = self._at(session, lambda _, number: read(number), first)
            plan, after = self.plan(session), before
            if first + len(new) > MAX_EVENTS:
                raise UnexpectedEvent(f"a session has at most {MAX_EVENTS} events", new[0].number, first)
            for event in new:
                after, wrong = advance(plan, after, event)
                if wrong:
                    raise UnexpectedEvent(wrong, event.number, first)
            found.append(after)
            answered = tuple((each.place, each.passed) for each in after.answers[len(before.answers) :])
            agreed = before.step == "consent" and after.step not in ("consent", "failed")
            said = next((each for each in new if each.kind == "consent"), None)
            consent = self._consent(session, said, first) if agreed and said else None
            return SessionChanges(after.step, after.reason, answered, consent)

        appended = self.store.append(hash_token(token), batch, self._clock(), admit)
        session = appended.session
        if found:
            # Only now is it true.
            self._progress.put(session.id, found[0])
        progress = self._at(session, self.store.events, appended.next)
        return {"stored": appended.next - 1, "state": self._state(session, progress)}

    def import_session(
        self,
        who: Person,
        plan: Mapping[str, Any],
        images: Sequence[tuple[str, bool]],
        language: str,
        events: Sequence[Event],
    ) -> int:
        """Store a session that was held elsewhere; gives how many of its events are new.

        Parameters
        ----------
        who
            Whose it is; the visit tells that it is this session.
        plan
            Of `pixq.study.session.session_plan.plan_json`, and `keys`: the name that its images' keys were made of.
        images
            Its trials: id, and whether it is a test.
        language
            Of the page.
        events
            All of them.

        Raises
        ------
        UnexpectedEvent, Conflict, Busy
            As `append`.
        """
        self._keep_consents()
        session = self.store.start(
            who.id, who.visit, self._clock(), lambda _: self._new(plan, images, language), again=True
        )
        if session is None:
            raise RuntimeError("a session that was drawn was not begun")
        before = len(self.store.events(session.id))
        return max(0, int(self.append(self._token(session.public), events)["stored"]) + 1 - before)

    def image(self, key: str, *, wait: bool = True) -> StudyImage | None:
        """The image that a page knows by a key; `None`, if that takes the database and it is not to `wait`.

        Raises
        ------
        UnknownSession
            If it is no key of this study's sessions.
        """
        parts = _IMAGE.fullmatch(key)
        if parts is None:
            raise UnknownSession
        public, trial, level, seal = parts.groups()
        if not hmac.compare_digest(self._seal(public, trial, level), seal):
            raise UnknownSession
        plan = self._plans.get(public)
        if plan is None and not wait:
            return None
        plan = plan or self.plan(self.store.session_by_public_name(public))
        item = next(each for each in (*plan.training, *plan.trials) if each.key == trial)
        found = self.opened.sources.get(item.source)
        if found is None or int(level) not in found.levels:
            raise UnknownSession
        return found.levels[int(level)]

    def replay(self, session: Session, events: Sequence[Event]) -> Progress:
        """Where a session is after all its events."""
        return replay(self.plan(session), events)

    def _standing(self, history: History) -> Eligibility:
        quota = self.study.quota
        found = eligibility(quota, sum(each.step == "completed" for each in history.sessions), history.passed)
        return "finished" if len(history.sessions) >= _BEGUN * quota.max_sessions else found

    def _draw(self, history: History, participant: str, language: str) -> tuple[Mapping[str, Any] | None, str]:
        """A new session of a person, or why there is none."""
        may = self._standing(history)
        if may != "welcome":
            return None, may
        now, hold = self._clock(), self.study.quota.hold_minutes * 60
        reserved = [
            Reservation(source, heard)
            for source, heard, step in history.reserved
            if step not in _EARLY_STEPS or now - heard < _EARLY
        ]
        # Answers of people who are out are none that the study has.
        out = {
            who
            for who, (sessions, passed) in history.tested.items()
            if eligibility(self.study.quota, sessions, passed) == "screened_out"
        }
        answers = count_with_reservations(history.answers(out), reserved, now, hold)
        planned = allocate_images(self.study, participant, len(history.sessions) + 1, answers, history.seen)
        if not planned:
            every = {each.id for each in self.study.source}
            return None, "finished" if every <= set(history.seen) else "full"
        trained = any(each.step in ("trial", "survey", "completed") for each in history.sessions)
        training = [] if trained else [each.id for each in self.study.training]
        images = [(each.source, each.test) for each in planned]
        return self._new(plan_json(self.opened, training, [name for name, _ in images]), images, language), ""

    def _new(self, plan: Mapping[str, Any], images: Sequence[tuple[str, bool]], language: str) -> Mapping[str, Any]:
        """A new session, as the store takes it."""
        public = secrets.token_hex(16)
        return {
            "public": public, "token": hash_token(self._token(public)), "language": language, "step": "consent",
            "plan": json.dumps(plan), "images": images,
        }  # fmt: skip

    def _token(self, public: str) -> str:
        """A session's token: 256 bits that nobody has who lacks the key, and the same for a page that comes again.

        A page keeps what it has not yet sent under its token; a reload finds it there.
        """
        return self._key.sign("token", public)

    def _seal(self, public: str, trial: str, level: str) -> str:
        return self._key.sign("image", public, trial, level)[:32]

    def plan(self, session: Session) -> SessionPlan:
        """What a session consists of."""
        found = self._plans.get(session.public)
        if found is None:
            plan = json.loads(session.plan)
            # A session that was held offline has its keys of the file, which was made before there was a session.
            found = parse_plan(plan, self._key, plan.get("keys", session.public))
            self._plans.put(session.public, found)
        return found

    def _at(self, session: Session, read: Callable[[int, int], list[Event]], next: int | None = None) -> Progress:
        """Where a session is; what is not at hand is read."""
        start = self._progress.get(session.id) or Progress()
        if next is not None and start.next == next:
            return start
        if next is not None and start.next > next:
            # Another thread is ahead of the transaction that asks: as it was then.
            start = Progress()
        events = read(session.id, start.next)
        found = replay(self.plan(session), [each for each in events if next is None or each.number < next], start)
        if found.next > start.next:
            self._progress.put(session.id, found)
        return found

    def _keep_consents(self) -> None:
        """Write down the texts that pages show, so that what was agreed to is known whenever it comes.

        Raises
        ------
        PixqError
            If somebody agreed to another text of this version.
        """
        if self._kept:
            return
        version = self.study.version
        texts = {(version, language): words for language, words in self.study.consent.items()}
        for _, language in self.store.save_consents(texts):
            raise PixqError(
                f"study.toml: consent.{language}: is not the text of version {version!r} that people agreed to; "
                "give the study another version, or put that text back"
            )
        self._kept = True

    def _consent(self, session: Session, event: Event, first: int) -> str:
        """The digest of what was agreed to, of which the page says the version and the language."""
        said = json.loads(event.data)
        told = said.get("version"), said.get("language")
        version = told[0] if isinstance(told[0], str) else self.study.version
        language = told[1] if isinstance(told[1], str) else session.language
        digest = self.store.consent_digest(version, language)
        if digest is None:
            raise UnexpectedEvent("consent: is of no version and language of this study", event.number, first)
        return digest

    def _state(self, session: Session, progress: Progress) -> State:
        plan = self.plan(session)
        state: State = {"step": progress.step, "next": progress.next, "index": progress.index, "of": 0}
        if progress.step in ("training", "trial"):
            items = plan.training if progress.step == "training" else plan.trials
            state["of"] = len(items)
            state["trial"] = self._trial(session.public, plan, progress.step, progress.index)
        if progress.tries:
            state["tries"] = progress.tries
        if progress.reason:
            state["reason"] = progress.reason
        if progress.feedback is not None:
            state["feedback"] = progress.feedback
        if progress.ended:
            state["completion"] = completion(self.study.platform, progress.step)
        if progress.step == "completed" and session.visit is None:
            with self.store.history(session.participant) as history:
                state["more"] = self._draw(history, session.participant, session.language)[0] is not None
        return state

    def _trial(self, public: str, plan: SessionPlan, step: str, index: int) -> dict[str, Any]:
        found = self._trials.get((public, step, index))
        if found is None:
            every = (*plan.training, *plan.trials)
            place = index + (len(plan.training) if step == "trial" else 0)
            item, later = every[place], every[place + 1 : place + 2]
            found = {
                "key": item.key, "kind": step, "width": item.width, "height": item.height,
                "reference": self._image_key(public, item, 0), "clicks": plan.rules.clicks,
                "levels": [{"level": level, "image": self._image_key(public, item, level)} for level in item.levels],
                "preload": [self._image_key(public, each, level) for each in later for level in (0, *each.levels)],
            }  # fmt: skip
            self._trials.put((public, step, index), found)
        return found

    def _image_key(self, public: str, item: Item, level: int) -> str:
        return f"{public}.{item.key}.{level}.{self._seal(public, item.key, str(level))}"
