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
    ends
        When the source becomes free again, in seconds since the epoch.
    answered
        Whether the session has an answer that somebody looked for; many people look in and leave.
    address
        Hash of the address that the session comes from; sessions of unknown addresses share one.
    number
        Number of sessions that reserve it.
    """

    source: str
    ends: float
    answered: bool = False
    address: str = ""
    number: int = 1


def count_with_reservations(
    answers: Mapping[str, int], reserved: Iterable[Reservation], quota: int | None = None
) -> dict[str, int]:
    """Number of answers by source, including those that unfinished sessions have reserved.

    Parameters
    ----------
    answers
        Number of stored answers by source.
    reserved
        Sources that unfinished sessions have yet to answer.
    quota
        Wanted answers per source, if anybody may start sessions: then nobody can reserve everything. Sessions without
        an answer count for at most half of the answers that are still missing, and those of one address, with an
        answer, for at most half of them, or one.

    Examples
    --------
    >>> reserved = [Reservation("a", 90.0, number=100)]
    >>> count_with_reservations({"a": 2}, reserved), count_with_reservations({"a": 2}, reserved, quota=10)
    ({'a': 102}, {'a': 6})
    """
    if quota is None:
        counts = Counter(answers)
        for item in reserved:
            counts[item.source] += item.number
        return dict(counts)
    by_address: Counter[tuple[str, str]] = Counter()
    early: Counter[str] = Counter()
    for item in reserved:
        if item.answered:
            by_address[item.source, item.address] += item.number
        else:
            early[item.source] += item.number
    counts = Counter(answers)
    for (source, _), number in by_address.items():
        counts[source] += min(number, max(1, (quota - answers.get(source, 0)) // 2))
    for source, number in early.items():
        counts[source] += min(number, max(0, (quota - counts[source]) // 2))
    return dict(counts)


def allocate_images(
    study: Study,
    participant: str,
    session: int,
    answers: Mapping[str, int],
    seen: Collection[str] = (),
    order: Mapping[str, int] | None = None,
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
    order
        The counts by which sources are ordered; by default `answers`.

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
    order = answers if order is None else order
    ranked = sorted(study.source, key=lambda source: (order.get(source.id, 0), hash_of("source", source.id)))
    for source in ranked:
        wanted = len(chosen) < study.quota.images and answers.get(source.id, 0) <= study.quota.answers
        if wanted and source.reference not in excluded:
            chosen.append(source.id)
            excluded.add(source.reference)
    if not any(answers.get(name, 0) < study.quota.answers for name in chosen):
        return ()
    tests = _choose_tests(study, times_seen, {references[name] for name in chosen}, hash_of)
    images = [PlannedImage(name, False) for name in sorted(chosen, key=lambda name: hash_of("order", name))]
    total = len(images) + len(tests)
    places = sorted(sorted(range(1, total), key=lambda place: hash_of("place", place))[: len(tests)])
    for place, name in zip(places, tests, strict=True):
        images.insert(place, PlannedImage(name, True))
    return tuple(images)


def _choose_tests(study: Study, times_seen: Counter[str], used: set[str], hash_of: _Hash) -> list[str]:
    """The test images that the person saw least often, in random order; none with a reference in `used`."""
    tests: list[str] = []
    for source in sorted(study.test, key=lambda source: (times_seen[source.reference], hash_of("test", source.id))):
        if len(tests) < study.quota.tests and source.reference not in used:
            tests.append(source.id)
            used.add(source.reference)
    return sorted(tests, key=lambda name: hash_of("test order", name))
