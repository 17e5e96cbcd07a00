"""Sessions as they are held: who may begin, what is asked next, what is stored. It knows nothing of HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pixq.errors import PixqError
from pixq.study.config import Study, TruthSource
from pixq.study.files import OpenedStudy, StudyImage
from pixq.study.flow import Course, Item, Progress, State, advance, replay
from pixq.study.judge import Standing, standing
from pixq.study.plan import Reservation, answers_with_held, plan_session
from pixq.study.platforms import Person, completion, person
from pixq.study.privacy import Key, hashed
from pixq.study.rows import Changes, Event, History, Session, Unknown
from pixq.study.store import Store

__all__ = ["MOST_EVENTS", "Conductor", "Misplaced", "course_of", "public_study"]

#: Of a session; no honest one comes near.
MOST_EVENTS = 20_000
#: Sessions that are kept at hand; others are read again.
_AT_HAND = 2_000
#: Sessions that a person may begin, for each that may be finished.
_BEGUN = 3

#: A session's public name, a trial's key, a level, and the seal on them.
_IMAGE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})\.([0-9]{1,3})\.([0-9a-f]{32})")

_K = TypeVar("_K")
_V = TypeVar("_V")


class Misplaced(Exception):
    """An event does not fit where the session is; `next` is the number that comes next, `number` the event's."""

    def __init__(self, message: str, number: int, next: int) -> None:
        super().__init__(message)
        self.number = number
        self.next = next


class _Kept(Generic[_K, _V]):
    """The values used last, for several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[_K, _V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _K) -> _V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: _K, value: _V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)


def public_study(study: Study) -> dict[str, Any]:
    """What a page is told of a study: nothing of what is asked about, nor of what is known of it."""
    names = (
        "title", "version", "contact", "languages", "default_language", "consent", "scaling", "width_cm", "height_cm",
        "distance_cm", "min_screen_cm", "min_window", "hertz", "clicks",
    )  # fmt: skip
    return study.model_dump(mode="json", include=set(names))


def course_of(opened: OpenedStudy, key: Key, name: str, plan: Mapping[str, Sequence[str]]) -> Course:
    """What a session consists of.

    Parameters
    ----------
    opened
        The study and its images.
    key
        The study's.
    name
        That the keys of its images are made of.
    plan
        Ids by `training` and `trials`, in order.
    """

    def item(kind: str, place: int, id: str) -> Item:
        source = opened.sources[id]
        truth = source.source if isinstance(source.source, TruthSource) else None
        levels = tuple(level for level in source.levels if level > 0)
        own = key.sign("trial", name, kind, str(place))[:16]
        return Item(own, id, source.kind, source.width, source.height, levels, truth)

    training, trials = (
        tuple(item(kind, place, id) for place, id in enumerate(plan[kind])) for kind in ("training", "trials")
    )
    return Course(opened.study, training, trials)


class Conductor:
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
        self._progress: _Kept[int, Progress] = _Kept(_AT_HAND)
        self._courses: _Kept[str, Course] = _Kept(_AT_HAND)
        self._trials: _Kept[tuple[str, str, int], dict[str, Any]] = _Kept(_AT_HAND)

    def check(self) -> None:
        """See that sessions that are not ended can go on with the study as it is now.

        Raises
        ------
        PixqError
            If the study lacks an image that one of them is to show.
        """
        for session in self.store.sessions():
            plan = json.loads(session.plan)
            for name in (*plan["training"], *plan["trials"]):
                if session.ended is None and name not in self.opened.sources:
                    raise PixqError(f"study.toml: {name!r} is gone, which an unfinished session shows; put it back")

    def start(self, platform: Mapping[str, str], language: str) -> dict[str, Any]:
        """Begin a person's session, or go on with it: `token`, `study` and `state`.

        Raises
        ------
        ValueError
            If the platform's parameters say of nobody who it is.
        """
        who = person(self.study.platform.kind, self._key, platform)
        language = language if language in self.study.languages else self.study.default_language
        reason = ""

        def draw(history: History) -> Mapping[str, Any] | None:
            nonlocal reason
            may = self._standing(history)
            if may != "welcome":
                reason = may
                return None
            drawn = self._draw(history, who.id, language)
            reason = "" if drawn else "full"
            return drawn

        session = self.store.start(who.id, who.visit, self._clock(), draw)
        if session is None:
            state: State = {
                "step": "screened_out", "next": 0, "index": 0, "of": 0, "reason": reason,
                "completion": completion(self.study.platform, "screened_out"),
            }  # fmt: skip
            return {"token": "", "study": self.public, "state": state}
        progress = self._at(session, self.store.events)
        return {"token": self._token(session.public), "study": self.public, "state": self._state(session, progress)}

    def state(self, token: str) -> State:
        """Where a session is.

        Raises
        ------
        Unknown
            If no session has this token.
        """
        session = self.store.find(hashed(token))
        return self._state(session, self._at(session, self.store.events))

    def append(self, token: str, batch: Sequence[Event]) -> dict[str, Any]:
        """Store events: `stored`, the number up to which all are there (-1: none), and `state`.

        Raises
        ------
        Misplaced
            If one does not fit where the session is. Nothing was stored, nor with the others:
        Unknown, Gap, Conflict, Busy
            As `Store.append`.
        """
        found: list[Progress] = []

        def admit(session: Session, first: int, new: Sequence[Event], read: Callable[[int], list[Event]]) -> Changes:
            before = self._at(session, lambda _, number: read(number), first)
            course, after = self.course(session), before
            if first + len(new) > MOST_EVENTS:
                raise Misplaced(f"a session has at most {MOST_EVENTS} events", new[0].number, first)
            for event in new:
                after, wrong = advance(course, after, event)
                if wrong:
                    raise Misplaced(wrong, event.number, first)
            found.append(after)
            answered = tuple((each.place, each.passed) for each in after.answers[len(before.answers) :])
            agreed = before.step == "consent" and after.step not in ("consent", "failed")
            consent = self._consent(session, next(each for each in new if each.kind == "consent")) if agreed else None
            return Changes(after.step, after.reason, answered, consent)

        appended = self.store.append(hashed(token), batch, self._clock(), admit)
        session = appended.session
        if found:
            # Only now is it true.
            self._progress.put(session.id, found[0])
        progress = self._at(session, self.store.events, appended.next)
        return {"stored": appended.next - 1, "state": self._state(session, progress)}

    def adopt(
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
            `version`, `training`, `trials`, and `keys`: the name that its images' keys were made of.
        images
            Its trials: id, and whether it is a test.
        language
            Of the page.
        events
            All of them.

        Raises
        ------
        Misplaced, Conflict, Busy
            As `append`.
        """
        session = self.store.start(who.id, who.visit, self._clock(), lambda _: self._new(plan, images, language))
        if session is None:
            raise RuntimeError("a session that was drawn was not begun")
        before = len(self.store.events(session.id))
        return max(0, int(self.append(self._token(session.public), events)["stored"]) + 1 - before)

    def image(self, key: str, *, wait: bool = True) -> StudyImage | None:
        """The image that a page knows by a key; `None`, if that takes the database and it is not to `wait`.

        Raises
        ------
        Unknown
            If it is no key of this study's sessions.
        """
        parts = _IMAGE.fullmatch(key)
        if parts is None:
            raise Unknown
        public, trial, level, seal = parts.groups()
        if not hmac.compare_digest(self._seal(public, trial, level), seal):
            raise Unknown
        course = self._courses.get(public)
        if course is None and not wait:
            return None
        course = course or self.course(self.store.public(public))
        item = next(each for each in (*course.training, *course.trials) if each.key == trial)
        return self.opened.sources[item.source].levels[int(level)]

    def replayed(self, session: Session, events: Sequence[Event]) -> Progress:
        """Where a session is after all its events."""
        return replay(self.course(session), events)

    def _standing(self, history: History) -> Standing:
        quota = self.study.quota
        found = standing(quota, sum(each.step == "completed" for each in history.sessions), history.passed)
        return "finished" if len(history.sessions) >= _BEGUN * quota.max_sessions else found

    def _draw(self, history: History, participant: str, language: str) -> Mapping[str, Any] | None:
        reserved = [Reservation(source, heard) for source, heard in history.reserved]
        answers = answers_with_held(history.answers, reserved, self._clock(), self.study.quota.hold_minutes * 60)
        planned = plan_session(self.study, participant, len(history.sessions) + 1, answers, history.seen)
        if not planned:
            return None
        trained = any(each.step in ("trial", "survey", "completed") for each in history.sessions)
        training = [] if trained else [each.id for each in self.study.training]
        images = [(each.source, each.test) for each in planned]
        plan = {"version": self.study.version, "training": training, "trials": [source for source, _ in images]}
        return self._new(plan, images, language)

    def _new(self, plan: Mapping[str, Any], images: Sequence[tuple[str, bool]], language: str) -> Mapping[str, Any]:
        """A new session, as the store takes it."""
        public = secrets.token_hex(16)
        return {
            "public": public, "token": hashed(self._token(public)), "language": language, "step": "consent",
            "plan": json.dumps(plan), "images": images,
        }  # fmt: skip

    def _token(self, public: str) -> str:
        """A session's token: 256 bits that nobody has who lacks the key, and the same for a page that comes again.

        A page keeps what it has not yet sent under its token; a reload finds it there.
        """
        return self._key.sign("token", public)

    def _seal(self, public: str, trial: str, level: str) -> str:
        return self._key.sign("image", public, trial, level)[:32]

    def course(self, session: Session) -> Course:
        """What a session consists of."""
        found = self._courses.get(session.public)
        if found is None:
            plan = json.loads(session.plan)
            # A session that was held offline has its keys of the file, which was made before there was a session.
            found = course_of(self.opened, self._key, plan.get("keys", session.public), plan)
            self._courses.put(session.public, found)
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
        found = replay(self.course(session), [each for each in events if next is None or each.number < next], start)
        if found.next > start.next:
            self._progress.put(session.id, found)
        return found

    def _consent(self, session: Session, event: Event) -> tuple[str, str, str, str]:
        """What was agreed to: the text in the language that the page showed it in."""
        said = json.loads(event.data).get("language")
        version, language = self.study.version, said if said in self.study.languages else session.language
        words = self.study.consent[language]
        digest = hashlib.sha256(json.dumps([version, language, words]).encode()).hexdigest()
        return (digest, version, language, words)

    def _state(self, session: Session, progress: Progress) -> State:
        course = self.course(session)
        state: State = {"step": progress.step, "next": progress.next, "index": progress.index, "of": 0}
        if progress.step in ("training", "trial"):
            items = course.training if progress.step == "training" else course.trials
            state["of"] = len(items)
            state["trial"] = self._trial(session.public, course, progress.step, progress.index)
        if progress.tries:
            state["tries"] = progress.tries
        if progress.reason:
            state["reason"] = progress.reason
        if progress.feedback is not None:
            state["feedback"] = progress.feedback
        if progress.ended:
            state["completion"] = completion(self.study.platform, progress.step)
        return state

    def _trial(self, public: str, course: Course, step: str, index: int) -> dict[str, Any]:
        found = self._trials.get((public, step, index))
        if found is None:
            every = (*course.training, *course.trials)
            place = index + (len(course.training) if step == "trial" else 0)
            item, later = every[place], every[place + 1 : place + 2]
            found = {
                "key": item.key, "kind": step, "width": item.width, "height": item.height,
                "reference": self._image_key(public, item, 0), "clicks": self.study.clicks,
                "levels": [{"level": level, "image": self._image_key(public, item, level)} for level in item.levels],
                "preload": [self._image_key(public, each, level) for each in later for level in (0, *each.levels)],
            }  # fmt: skip
            self._trials.put((public, step, index), found)
        return found

    def _image_key(self, public: str, item: Item, level: int) -> str:
        return f"{public}.{item.key}.{level}.{self._seal(public, item.key, str(level))}"
