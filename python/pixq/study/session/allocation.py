"""Which images a session shows, and in which order. Everything here is a pure function.

What is drawn is drawn by sorting keyed hashes, so that it is the same on every machine and version of Python, and
knowing a part of it tells nothing of the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pixq.study.design.config import Study

__all__ = ["PlannedImage", "Reservation", "allocate_images", "count_with_reservations"]

_Drawn = Callable[..., bytes]


@dataclass(frozen=True)
class PlannedImage:
    """One image of a session.

    Parameters
    ----------
    source
        Id of a source or a test image.
    test
        Which of them. It stays on the server.
    """

    source: str
    test: bool


@dataclass(frozen=True)
class Reservation:
    """A source that an unfinished session has still to answer.

    Parameters
    ----------
    source
        Its id.
    at
        Seconds since the epoch: when the session was last heard of.
    """

    source: str
    at: float


def count_with_reservations(
    answers: Mapping[str, int], reserved: Iterable[Reservation], now: float, hold_seconds: float
) -> dict[str, int]:
    """Answers by source, those that unfinished sessions still hold counted in.

    Parameters
    ----------
    answers
        Stored, by source.
    reserved
        What unfinished sessions have still to answer.
    now
        Seconds since the epoch.
    hold_seconds
        How long a session holds its sources after it was last heard of.

    Examples
    --------
    >>> count_with_reservations({"a": 2}, [Reservation("a", 90.0), Reservation("b", 10.0)], 100.0, 60.0)
    {'a': 3}
    """
    held = Counter(each.source for each in reserved if now - each.at < hold_seconds)
    return dict(Counter(answers) + held)


def allocate_images(
    study: Study, participant: str, session: int, answers: Mapping[str, int], seen: Collection[str] = ()
) -> tuple[PlannedImage, ...]:
    """The images of a person's session, in the order they are shown.

    Sources with the fewest answers come first, and none that has more than its quota, so that all end within one of it.
    Nothing is shown twice to one person, whatever codec it is in; only when all test images are used up do those come
    again that were met least often.

    Parameters
    ----------
    study
        Its quota, sources, test images and seed.
    participant
        Pseudonym of the person.
    session
        Number of the person's session, from 1.
    answers
        So far, by source; see `count_with_reservations`.
    seen
        Ids that this person's sessions had before; a test image as often as it was shown.

    Returns
    -------
    tuple of PlannedImage
        Empty where no source is left that needs an answer and that this person has not seen. Test images are hidden
        among the sources, at any place but the first with the same probability.

    Examples
    --------
    >>> from pixq.study.design.config import Quota, Source
    >>> names = ["a", "b", "c"]
    >>> sources = [Source(id=n, codec="JPEG", reference=f"{n}.png", levels=f"{n}_*.jpg") for n in names]
    >>> study = Study(title="t", contact="c", consent={"en": "?"}, source=sources, quota=Quota(images=2, tests=0))
    >>> sorted(each.source for each in allocate_images(study, "p", 1, {"a": 4, "b": 2, "c": 3}))
    ['b', 'c']
    """

    def drawn(*what: object) -> bytes:
        key = json.dumps([study.seed, participant, session, *what], ensure_ascii=True)
        return hashlib.blake2b(key.encode("ascii"), digest_size=16).digest()

    pictures = {each.id: each.reference for each in study.everything}
    met = Counter(pictures[name] for name in seen if name in pictures)
    # Everybody meets those.
    met.update(each.reference for each in study.training)
    known = set(met)
    chosen: list[str] = []
    ranked = sorted(study.source, key=lambda each: (answers.get(each.id, 0), drawn("source", each.id)))
    for each in ranked:
        wanted = len(chosen) < study.quota.images and answers.get(each.id, 0) <= study.quota.answers
        if wanted and each.reference not in known:
            chosen.append(each.id)
            known.add(each.reference)
    if not any(answers.get(name, 0) < study.quota.answers for name in chosen):
        return ()
    tests = _tests(study, met, {pictures[name] for name in chosen}, drawn)
    order = [PlannedImage(name, False) for name in sorted(chosen, key=lambda name: drawn("order", name))]
    total = len(order) + len(tests)
    places = sorted(sorted(range(1, total), key=lambda place: drawn("place", place))[: len(tests)])
    for place, name in zip(places, tests, strict=True):
        order.insert(place, PlannedImage(name, True))
    return tuple(order)


def _tests(study: Study, met: Counter[str], shown: set[str], drawn: _Drawn) -> list[str]:
    """Test images of a session, in a drawn order: those met least often, and no picture that is there already."""
    found: list[str] = []
    for each in sorted(study.test, key=lambda each: (met[each.reference], drawn("test", each.id))):
        if len(found) < study.quota.tests and each.reference not in shown:
            found.append(each.id)
            shown.add(each.reference)
    return sorted(found, key=lambda name: drawn("test order", name))
