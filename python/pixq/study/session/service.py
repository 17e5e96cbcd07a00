"""Starts and continues sessions: who may take part, what a page asks next, and what is stored; no HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from cachetools import LRUCache, cachedmethod

from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedStudy, StudyImage
from pixq.study.session.admission import Admission, session_token
from pixq.study.session.image_keys import parse_image_key, trial_json
from pixq.study.session.participants import Person, completion, person
from pixq.study.session.qualification import qualifies
from pixq.study.session.session_plan import SessionPlan, parse_plan, public_rules, public_study
from pixq.study.session.signatures import SignatureVerifier
from pixq.study.session.state_machine import SessionProgress, State, advance, replay
from pixq.study.session.viewing import UNKNOWN, ViewingRecord
from pixq.study.store.keys import Key, hash_token
from pixq.study.store.records import AnsweredImage, Event, History, Session, SessionChanges, UnknownSession, is_storable
from pixq.study.store.store import Store

__all__ = ["MAX_EVENTS", "SessionService", "UnexpectedEvent"]

#: Maximum number of events per session; no honest page comes near it.
MAX_EVENTS = 20_000
#: Number of sessions in memory; others are read from the database again.
_CACHED = 2_000


class UnexpectedEvent(Exception):
    """An event does not fit the state of its session.

    `number` is the number of the event, and `next` the number that the session expects.
    """

    def __init__(self, message: str, number: int, next: int) -> None:
        super().__init__(message)
        self.number = number
        self.next = next


class SessionService:
    """Runs the sessions of a study. Several threads may call all methods.

    Parameters
    ----------
    opened
        The study and its images.
    store
        The database of answers.
    key
        Secret key of the study.
    clock
        Returns seconds since the epoch.
    viewings
        The record of the images that were sent; by default a new one.
    rehearsal
        Whether simulated people take part. Their clocks are made up and they share an address, so nothing is concluded
        from either.
    """

    def __init__(
        self,
        opened: OpenedStudy,
        store: Store,
        key: Key,
        clock: Callable[[], float] = time.time,
        *,
        viewings: ViewingRecord | None = None,
        rehearsal: bool = False,
    ) -> None:
        self.opened = opened
        self.study = opened.study
        self.public = public_study(opened.study)
        self.store = store
        self._key = key
        self._clock = clock
        self._rehearsal = rehearsal
        self._viewings = None if rehearsal else viewings or ViewingRecord()
        self._admission = Admission(opened, key, clock, rehearsal=rehearsal)
        self._consents_saved = False
        # The caches are shared by threads.
        self._lock = threading.Lock()
        self._progress: LRUCache[int, SessionProgress] = LRUCache(_CACHED)
        self._plans: LRUCache[str, SessionPlan] = LRUCache(_CACHED)
        self._trials: LRUCache[tuple[str, str, int], dict[str, Any]] = LRUCache(_CACHED)
        self._qualified: LRUCache[int, bool] = LRUCache(_CACHED)

    @cached_property
    def verifier(self) -> SignatureVerifier | None:
        """Verifies the addresses at which people come, if their platform signs them."""
        if self._rehearsal or self.study.platform.signature is None:
            return None
        return SignatureVerifier(self.study.platform, self.study.folder, self._clock)

    def check(self) -> None:
        """Check that unfinished sessions can continue with the study as it is now.

        Raises
        ------
        PixqError
            If an image that an unfinished session shows is missing, people agreed to another consent text of this
            version, or signatures can't be verified.
        """
        _ = self.verifier
        self._save_consents()
        checked: set[str] = set()
        for text in self.store.unfinished_plans(self._clock()):
            plan = json.loads(text)
            for item in (*plan["training"], *plan["trials"]):
                # Most sessions show the same images.
                if (known := f"{item['source']} {item['levels']}") not in checked:
                    self._check_levels(item["source"], item["levels"])
                    checked.add(known)

    def _check_levels(self, name: str, levels: Sequence[int]) -> None:
        source = self.opened.sources.get(name)
        if source is None:
            raise PixqError(f"study.toml: {name!r} is missing, but an unfinished session shows it; put it back")
        for level in levels:
            if level not in source.levels:
                fix = "is missing, but an unfinished session shows it; put it back"
                raise PixqError(f"{source.levels[0].path}: level {level} {fix}")

    def start(
        self, platform: Mapping[str, str], language: str, *, again: bool = False, address: str = ""
    ) -> dict[str, Any]:
        """Start a session for a person, or resume the unfinished one; return `token`, `study` and `state`.

        Parameters
        ----------
        platform
            Query parameters of the page's address.
        language
            Language of the page; an unknown one is replaced by the study's default.
        again
            Whether a person who has completed a session starts another one. By default they get the completed one, so
            that reloading the last page still shows the completion code. On platforms that identify visits, a new
            visit always starts a new session.
        address
            Hash of the client's address; it stays in memory.

        Raises
        ------
        ValueError
            If the platform's parameters don't identify a person.
        KeysUnavailable
            If the platform's keys, by which its parameters are verified, can't be loaded.
        """
        participant = person(self.study.platform.kind, self._key, platform, self.verifier)
        self._save_consents()
        language = language if language in self.study.languages else self.study.default_language
        refused: State = {}
        new: list[str] = []

        def draw(history: History) -> Mapping[str, Any] | None:
            if participant.expired:
                raise ValueError("this address has expired; open the study again from where you found it")
            drawn, state = self._admission.draw(history, participant.id, language)
            refused.update(state)
            new.extend([drawn["public"]] if drawn else [])
            return drawn

        session = self.store.start(
            participant.id, participant.visit, self._clock(), draw, again=again,
            proven=participant.proven and not participant.expired,
        )  # fmt: skip
        if session is None:
            return {"token": "", "study": self.public, "state": refused}
        self._admission.remember_address(session.id, address)
        if session.public in new and self._viewings is not None:
            self._viewings.begin(session.public)
        state = self._page_state(session, self._load_progress(session, self.store.events))
        # A session keeps the rules that it started with.
        public = {**self.public, **public_rules(self.plan(session).rules)}
        return {"token": session_token(self._key, session.public), "study": public, "state": state}

    def state(self, token: str) -> State:
        """The state of a session, as its page gets it.

        Raises
        ------
        UnknownSession
            If no session has this token.
        """
        session = self.store.session_by_token(hash_token(token))
        return self._page_state(session, self._load_progress(session, self.store.events))

    def append(self, token: str, batch: Sequence[Event], *, address: str = "", live: bool = True) -> dict[str, Any]:
        """Store events; return `stored`, the number of the last event stored so far (-1: none), and `state`.

        Events after the end of a session are dropped.

        Parameters
        ----------
        token
            Token of the session.
        batch
            Events in the order of their numbers, without gaps.
        address
            Hash of the client's address; it stays in memory.
        live
            Whether the page sends the events as they happen, so that the server's own clock can judge them.

        Raises
        ------
        UnexpectedEvent
            If an event does not fit the state of the session. Nothing was stored, nor with the others:
        UnknownSession, MissingEvents, EventConflict, DatabaseUnavailable
            As in `Store.append`.
        """
        viewings = self._viewings if live else None
        now = 0.0 if viewings is None else viewings.now()
        admitted: list[tuple[SessionProgress, list[tuple[int, int]]]] = []

        def admit(
            session: Session, first: int, new: Sequence[Event], read: Callable[[int], list[Event]]
        ) -> SessionChanges:
            before = self._load_progress(session, lambda _, number: read(number), first)
            plan, after = self.plan(session), before
            if first + len(new) > MAX_EVENTS:
                raise UnexpectedEvent(f"a session has at most {MAX_EVENTS} events", new[0].number, first)
            for event in new:
                if after.ended:
                    break
                after, refusal = advance(plan, after, event)
                if refusal:
                    raise UnexpectedEvent(refusal, event.number, first)
            # Nothing that comes after the end is stored: pages say that they are closed, or were opened again.
            new = new[: after.next - first]
            levels = {event.number: event for event in new}
            places = _answered_places(plan, before, after)
            chosen = [(place, json.loads(levels[number].data)["pjnd"]) for place, number in places]
            seen = viewings.view(session.public, chosen, now) if viewings else [UNKNOWN] * len(chosen)
            answers = after.answers[len(before.answers) :]
            answered = tuple(
                AnsweredImage(answer.place, answer.passed, *viewing)
                for answer, viewing in zip(answers, seen[len(seen) - len(answers) :], strict=True)
            )
            admitted.append((after, chosen))
            agreed = before.step == "consent" and after.step not in ("consent", "failed")
            agreement = next((event for event in new if event.kind == "consent"), None)
            consent = self._consent_digest(session, agreement, first) if agreed and agreement else None
            return SessionChanges(after.step, after.reason, answered, consent, len(new))

        appended = self.store.append(hash_token(token), batch, self._clock(), admit)
        session = appended.session
        self._admission.remember_address(session.id, address)
        for after, chosen in admitted:
            # True only now that the transaction is committed.
            self._cache_progress(session, after)
            if viewings:
                viewings.store(session.public, [place for place, _ in chosen], now)
        progress = self._load_progress(session, self.store.events, appended.next)
        return {"stored": appended.next - 1, "state": self._page_state(session, progress)}

    def import_session(
        self,
        participant: Person,
        plan: Mapping[str, Any],
        images: Sequence[tuple[str, bool]],
        language: str,
        events: Sequence[Event],
    ) -> int:
        """Store a session that took place offline; return how many of its events are new.

        Parameters
        ----------
        participant
            The person; the visit identifies the session.
        plan
            Result of `pixq.study.session.session_plan.plan_json`, and `keys`: the name that the keys of its images
            are derived from.
        images
            Its trials: id, and whether it is a test image.
        language
            Language of the page.
        events
            All events of the session.

        Raises
        ------
        UnexpectedEvent, EventConflict, DatabaseUnavailable
            As in `append`.
        """
        self._save_consents()
        session = self.store.start(
            participant.id,
            participant.visit,
            self._clock(),
            lambda _: self._admission.new_session(plan, images, language),
            again=True,
        )
        if session is None:
            raise RuntimeError("a session that was drawn was not started")
        before = len(self.store.events(session.id))
        appended = self.append(session_token(self._key, session.public), events, live=False)
        return max(0, int(appended["stored"]) + 1 - before)

    def image(self, key: str, *, wait: bool = True, sent: bool = True) -> StudyImage | None:
        """The image of a key that a page sent; `None` if this needs the database and `wait` is false.

        Parameters
        ----------
        key
            The key of the image.
        wait
            Whether to wait for the database.
        sent
            Whether the image is sent to the page, so that the session's record says so.

        Raises
        ------
        UnknownSession
            If the key does not belong to a session of this study.
        """
        public, trial, level = parse_image_key(self._key, key)
        with self._lock:
            plan = self._plans.get(public)
        if plan is None and not wait:
            return None
        plan = plan or self.plan(self.store.session_by_public_name(public))
        place, item = next(
            (place, item) for place, item in enumerate((*plan.training, *plan.trials)) if item.key == trial
        )
        source = self.opened.sources.get(item.source)
        if source is None or level not in source.levels:
            raise UnknownSession
        if sent and self._viewings is not None:
            self._viewings.send(public, place, level)
        return source.levels[level]

    def forget_images(self) -> None:
        """Let the next request for an image ask the database whether its session still exists."""
        with self._lock:
            self._plans.clear()

    def replay(self, session: Session, events: Sequence[Event]) -> SessionProgress:
        """The progress of a session after all its events."""
        return replay(self.plan(session), events)

    @cachedmethod(lambda self: self._plans, lambda self, session: session.public, lambda self: self._lock)
    def plan(self, session: Session) -> SessionPlan:
        """The plan of a session: the images that it shows, and the rules that it follows."""
        return self.read_plan(session)

    def read_plan(self, session: Session) -> SessionPlan:
        """The same as `plan`, but the plan is not kept in memory."""
        plan = json.loads(session.plan)
        # The keys of an offline session come from its file, which was made before the session existed.
        return parse_plan(plan, self._key, plan.get("keys", session.public))

    def _load_progress(
        self, session: Session, read: Callable[[int, int], list[Event]], next: int | None = None
    ) -> SessionProgress:
        """The progress of a session before event `next`, or after all events; what is not cached is read."""
        with self._lock:
            start = self._progress.get(session.id) or SessionProgress()
        if next is not None and start.next == next:
            return start
        if next is not None and start.next > next:
            # Another thread is ahead of this transaction: replay up to where it stands.
            start = SessionProgress()
        events = read(session.id, start.next)
        progress = replay(self.plan(session), [event for event in events if next is None or event.number < next], start)
        if progress.next > start.next:
            self._cache_progress(session, progress)
        return progress

    def _cache_progress(self, session: Session, progress: SessionProgress) -> None:
        with self._lock:
            self._progress[session.id] = progress

    def _save_consents(self) -> None:
        """Store the consent texts that pages show, so that every agreement refers to a stored text.

        Raises
        ------
        PixqError
            If people agreed to another text of this version.
        """
        if self._consents_saved:
            return
        version = self.study.version
        texts = {(version, language): text for language, text in self.study.consent.items()}
        for _, language in self.store.save_consents(texts):
            raise PixqError(
                f"study.toml: consent.{language}: differs from the text of version {version!r} that people agreed to; "
                "give the study a new version, or restore that text"
            )
        self._consents_saved = True

    def _consent_digest(self, session: Session, event: Event, first: int) -> str:
        """The digest of the text that was agreed to; the page sends its version and language."""
        data = json.loads(event.data)
        version, language = data.get("version"), data.get("language")
        version = version if isinstance(version, str) else self.study.version
        language = language if isinstance(language, str) else session.language
        storable = is_storable(version) and is_storable(language)
        digest = self.store.consent_digest(version, language) if storable else None
        if digest is None:
            message = "consent: this version and language are not part of the study; reload the page"
            raise UnexpectedEvent(message, event.number, first)
        return digest

    def _page_state(self, session: Session, progress: SessionProgress) -> State:
        plan = self.plan(session)
        state: State = {"step": progress.step, "next": progress.next, "index": progress.index, "of": 0}
        if progress.step in ("training", "trial"):
            state["of"] = len(plan.training if progress.step == "training" else plan.trials)
            state["trial"] = self._trial(session.public, plan, progress.step, progress.index)
        if progress.tries:
            state["tries"] = progress.tries
        if progress.reason:
            state["reason"] = progress.reason
        if progress.feedback is not None:
            state["feedback"] = progress.feedback
        if progress.ended:
            unqualified = None
            if progress.step == "completed" and not self._qualifies(session, progress):
                unqualified = self.study.qualification
                if unqualified is not None and unqualified.code is None:
                    state["reason"] = "unqualified"
            state["completion"] = completion(self.study.platform, progress.step, unqualified)
        if progress.step == "completed" and session.visit is None:
            with self.store.history(session.participant) as history:
                state["more"] = self._admission.draw(history, session.participant, session.language)[0] is not None
        return state

    @cachedmethod(lambda self: self._qualified, lambda self, session, _: session.id, lambda self: self._lock)
    def _qualifies(self, session: Session, progress: SessionProgress) -> bool:
        """Whether a completed session gets the usual completion code."""
        rules = self.study.qualification
        if rules is None:
            return True
        first = progress.answers[0].number if progress.answers else 0
        watched = {image.place: image.watched for image in self.store.assignments(session.id)}
        return qualifies(rules, progress, self.store.events(session.id, first), watched)

    @cachedmethod(
        lambda self: self._trials,
        lambda self, public, plan, step, index: (public, step, index),
        lambda self: self._lock,
    )
    def _trial(self, public: str, plan: SessionPlan, step: str, index: int) -> dict[str, Any]:
        return trial_json(self._key, public, plan, step, index)


def _answered_places(plan: SessionPlan, before: SessionProgress, after: SessionProgress) -> list[tuple[int, int]]:
    """The places of the images that new events answer, training images first, and the numbers of these events."""
    trained = [(answer.place, answer.number) for answer in after.trained[len(before.trained) :]]
    answers = after.answers[len(before.answers) :]
    return [*trained, *((len(plan.training) + answer.place, answer.number) for answer in answers)]
