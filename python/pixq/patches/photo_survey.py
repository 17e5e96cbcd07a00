"""Compares the references of a dataset before it is split, to find equal photos and photos that look alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixq.datasets import photos, splits
from pixq.datasets.base import DatasetIndex, Problem
from pixq.patches.plan import files_of

__all__ = ["NEAR_SIDE", "PhotoSurvey", "survey_photos"]

#: References with a shorter side than this are not compared: any two smooth crops of 20x20 pixels look alike.
NEAR_SIDE = 32


@dataclass(frozen=True)
class PhotoSurvey:
    """The groups that follow from the references' pixels.

    `groups` gives the group of each reference_id, after merging groups that share a photo; `problems` names the
    references that could not be compared.
    """

    groups: Mapping[str, str]
    notes: tuple[str, ...]
    near: tuple[photos.NearDuplicate, ...]
    fingerprints: Mapping[str, photos.Photo]
    problems: tuple[Problem, ...] = ()

    def check(self, sides: Mapping[str, str]) -> None:
        """Make sure that no photo is in two splits; `sides` gives the split of each group that is built.

        Raises
        ------
        PixqError
            If one is; the message names the two references.
        """
        splits.check_photos(
            (reference_id, photo.sha256, sides[self.groups[reference_id]])
            for reference_id, photo in sorted(self.fingerprints.items())
            if self.groups[reference_id] in sides
        )

    def warnings(self, sides: Mapping[str, str]) -> tuple[str, ...]:
        """Warn of merged groups and of references that look alike."""
        by_reference = {reference_id: sides[group] for reference_id, group in self.groups.items() if group in sides}
        near = [pair for pair in self.near if pair.first in by_reference and pair.second in by_reference]
        return (*self.notes, *photos.near_warnings(near, by_reference))

    def to_json(self) -> dict[str, Any]:
        """The survey as the manifest has it."""
        return {
            "sha256": {reference_id: photo.sha256 for reference_id, photo in sorted(self.fingerprints.items())},
            "same": list(self.notes),
            "near_duplicates": [{"references": [pair.first, pair.second], "bits": pair.bits} for pair in self.near],
        }


def survey_photos(
    index: DatasetIndex, *, max_pixels: int = 1 << 28, threads: int | None = None, frame: int | None = None
) -> PhotoSurvey:
    """Decode and compare every reference of `index`, of animations the chosen `frame`.

    Groups that share a photo or any file (one pair's distorted image may be another's reference) are merged. A
    reference that can't be decoded keeps its group, and is named in `problems`.
    """
    files = {pair.reference_id: pair.reference for pair in index.pairs}
    given = {pair.reference_id: pair.group for pair in index.pairs}
    seen, problems = photos.fingerprint_all(index.root, files, threads=threads, max_pixels=max_pixels, frame=frame)
    users: dict[str, str] = {}
    together = []
    for pair in index.pairs:
        for file in files_of(pair):
            first = users.setdefault(file, pair.group)
            if first != pair.group:
                note = f"{file} serves in groups {first} and {pair.group}, which are kept in one split"
                together.append((first, pair.group, note))
    by_reference = {reference_id: (given[reference_id], photo) for reference_id, photo in seen.items()}
    merged = photos.merge_groups(by_reference, together=together)
    groups = {reference_id: merged.groups.get(group, group) for reference_id, group in given.items()}
    near = tuple(pair for pair in merged.near if min(map(_side, (seen[pair.first], seen[pair.second]))) >= NEAR_SIDE)
    return PhotoSurvey(groups, merged.notes, near, seen, problems)


def _side(photo: photos.Photo) -> int:
    return min(photo.height, photo.width)
