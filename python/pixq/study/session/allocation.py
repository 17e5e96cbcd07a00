"""Chooses the images of a session and their order, with pure functions.

Random choices sort by keyed hashes, so they are the same on every machine and version of Python, and a part of them
reveals nothing about the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pixq.study.design.config import Study

__all__ = ["PlannedImage", "Reservation", "allocate_images", "count_with_reservations"]

_Hash = Callable[..., bytes]


@dataclass(frozen=True)
class PlannedImage:
    """One image of a session.

    Parameters
    ----------
    source
        Id of a source or a test image.
    test
        Whether it is a test image. This stays on the server.
    """

    source: str
    test: bool


@dataclass(frozen=True)
class Reservation:
    """A source that an unfinished session has yet to answer.

    Parameters
    ----------
    source
        Id of the source.
    last_event
        Time of the last event of the session, in seconds since the epoch.
    """

    source: str
    last_event: float


def count_with_reservations(
    answers: Mapping[str, int], reserved: Iterable[Reservation], now: float, hold_seconds: float
) -> dict[str, int]:
    """Number of answers by source, including those that unfinished sessions have reserved.

    Parameters
    ----------
    answers
        Number of stored answers by source.
    reserved
        Sources that unfinished sessions have yet to answer.
    now
        Current time, in seconds since the epoch.
    hold_seconds
        How long a session reserves its sources after its last event.

    Examples
    --------
    >>> count_with_reservations({"a": 2}, [Reservation("a", 90.0), Reservation("b", 10.0)], 100.0, 60.0)
    {'a': 3}
    """
    held = Counter(item.source for item in reserved if now - item.last_event < hold_seconds)
    return dict(Counter(answers) + held)


def allocate_images(
    study: Study, participant: str, session: int, answers: Mapping[str, int], seen: Collection[str] = ()
) -> tuple[PlannedImage, ...]:
    """Choose the images of a session, in the order in which they are shown.

    Sources with the fewest answers come first, and sources above their quota are left out, so that all sources end
    within one answer of the quota. Nobody sees an image twice, in whichever codec. Test images are repeated only when
    all have been used, the least shown ones first.

    Parameters
    ----------
    study
        The study, with its quota, sources, test images and seed.
    participant
        Pseudonym of the person.
    session
        Number of the person's session, from 1.
    answers
        Number of answers by source; see `count_with_reservations`.
    seen
        Ids that the person's earlier sessions showed; a test image as often as it was shown.

    Returns
    -------
    tuple of PlannedImage
        Empty if no source needs another answer that this person has not seen. Test images are hidden among the
        sources, at every place but the first with the same probability.

    Examples
    --------
    >>> from pixq.study.design.config import Quota, Source
    >>> names = ["a", "b", "c"]
    >>> sources = [Source(id=n, codec="JPEG", reference=f"{n}.png", levels=f"{n}_*.jpg") for n in names]
    >>> study = Study(title="t", contact="c", consent={"en": "?"}, source=sources, quota=Quota(images=2, tests=0))
    >>> sorted(image.source for image in allocate_images(study, "p", 1, {"a": 4, "b": 2, "c": 3}))
    ['b', 'c']
    """

    def hash_of(*parts: object) -> bytes:
        key = json.dumps([study.seed, participant, session, *parts], ensure_ascii=True)
        return hashlib.blake2b(key.encode("ascii"), digest_size=16).digest()

    references = {source.id: source.reference for source in study.everything}
    times_seen = Counter(references[name] for name in seen if name in references)
    # Everybody sees the training images.
    times_seen.update(source.reference for source in study.training)
    excluded = set(times_seen)
    chosen: list[str] = []
    ranked = sorted(study.source, key=lambda source: (answers.get(source.id, 0), hash_of("source", source.id)))
    for source in ranked:
        wanted = len(chosen) < study.quota.images and answers.get(source.id, 0) <= study.quota.answers
        if wanted and source.reference not in excluded:
            chosen.append(source.id)
            excluded.add(source.reference)
    if not any(answers.get(name, 0) < study.quota.answers for name in chosen):
        return ()
    tests = _choose_tests(study, times_seen, {references[name] for name in chosen}, hash_of)
    order = [PlannedImage(name, False) for name in sorted(chosen, key=lambda name: hash_of("order", name))]
    total = len(order) + len(tests)
    places = sorted(sorted(range(1, total), key=lambda place: hash_of("place", place))[: len(tests)])
    for place, name in zip(places, tests, strict=True):
        order.insert(place, PlannedImage(name, True))
    return tuple(order)


def _choose_tests(study: Study, times_seen: Counter[str], used: set[str], hash_of: _Hash) -> list[str]:
    """The test images that the person saw least often, in random order; none with a reference in `used`."""
    tests: list[str] = []
    for source in sorted(study.test, key=lambda source: (times_seen[source.reference], hash_of("test", source.id))):
        if len(tests) < study.quota.tests and source.reference not in used:
            tests.append(source.id)
            used.add(source.reference)
    return sorted(tests, key=lambda name: hash_of("test order", name))
