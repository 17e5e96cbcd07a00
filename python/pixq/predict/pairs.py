"""Match reference files with distorted files: two files, a file and a folder, or two folders by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixq.errors import PixqError
from pixq.io.folders import SPECIAL, LeftOut, explain_missing, find_files
from pixq.io.image_formats import ENDINGS
from pixq.io.paths import nfc

__all__ = ["Matched", "Pair", "match_pairs"]


@dataclass(frozen=True)
class Pair:
    """A reference file and a distorted file.

    Parameters
    ----------
    reference, distorted
        Their paths.
    name
        The stem of its outputs in a folder: the distorted file's relative path without its ending.
    labels
        The names of both files in results, if not their paths.
    """

    reference: Path
    distorted: Path
    name: str
    labels: tuple[Path, Path] | None = None

    @property
    def names(self) -> tuple[Path, Path]:
        """The names of both files in results."""
        return self.labels or (self.reference, self.distorted)


@dataclass(frozen=True)
class Matched:
    """The pairs that two paths lead to.

    Parameters
    ----------
    pairs
        In the order of their names.
    unpaired
        Images without a partner, which are not compared.
    other
        How many files in the folders are not images, going by their names.
    folder
        Whether a folder was given, so that outputs are folders too.
    left_out
        What the folders hold besides and can't be read.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...] = ()
    other: int = 0
    folder: bool = False
    left_out: tuple[LeftOut, ...] = ()


def match_pairs(reference: Path, distorted: Path) -> Matched:
    """Match reference files with distorted files.

    In folders and their subfolders, a distorted image goes with the reference of the same relative path; otherwise with
    the one whose path without its ending is the same, and finally regardless of upper and lower case. Paths that look
    the same are the same, whatever characters they are composed of. Hidden files are ignored.

    Parameters
    ----------
    reference, distorted
        Two files, a file and a folder of distorted images, or two folders.

    Raises
    ------
    PixqError
        If a path is missing, only the reference is a folder, an image could go with several, or no image has a partner.
    """
    for path in (reference, distorted):
        if not path.exists():
            raise PixqError(f"{path}: {explain_missing(path)}; check the path")
        if not path.is_file() and not path.is_dir():
            raise PixqError(f"{path}: {SPECIAL}; save its content as a file")
    if not distorted.is_dir():
        if reference.is_dir():
            raise PixqError(f"{reference}: is a folder, but {distorted} is a file; give two files or two folders")
        return Matched((Pair(reference, distorted, distorted.stem),))
    listing = find_files(distorted, ENDINGS)
    images, other, left_out = listing.files, listing.other, listing.left_out
    if reference.is_dir():
        references = find_files(reference, ENDINGS)
        matches = _match(reference, references.files, distorted, images)
        unpaired = [reference / name for name in references.files if name not in {first for first, _ in matches}]
        unpaired += [distorted / name for name in images if name not in {second for _, second in matches}]
        matched = [(reference / first, second) for first, second in matches]
        other += references.other
        left_out = references.left_out + left_out
    else:
        # The reference may be among them; it is not compared with itself.
        unpaired, matched = [], [(reference, name) for name in images if not reference.samefile(distorted / name)]
    if not matched:
        unread = "".join(f"; {item.path} {item.reason}" for item in left_out[:1])
        raise PixqError(
            f"{distorted}: no image has the name of one in {reference}{unread}; give folders whose files have the same "
            "names"
            if reference.is_dir()
            else f"{distorted}: holds no{' other' if images else ''} image{unread}; give a folder of distorted images"
        )
    return Matched(_named(matched, distorted), tuple(unpaired), other, True, left_out)


def _match(reference: Path, references: Iterable[str], distorted: Path, images: Iterable[str]) -> list[tuple[str, str]]:
    matches: list[tuple[str, str]] = []
    left, right = set(references), set(images)
    rules: tuple[Callable[[str], str], ...] = (
        str,
        nfc,
        lambda name: _stem(nfc(name)),
        lambda name: nfc(_stem(nfc(name)).casefold()),
    )
    for rule in rules:
        firsts, seconds = _by(rule, left), _by(rule, right)
        for key in sorted(firsts.keys() & seconds.keys()):
            several = firsts[key] if len(firsts[key]) > 1 else seconds[key]
            if len(several) > 1:
                one, folder = (seconds[key][0], reference) if several is firsts[key] else (firsts[key][0], distorted)
                names = ", ".join(several)
                raise PixqError(f"{folder}: {names} could all go with {one}; keep one of them, or rename the others")
            matches.append((firsts[key][0], seconds[key][0]))
            left.remove(firsts[key][0])
            right.remove(seconds[key][0])
    return sorted(matches, key=lambda match: match[1])


def _by(rule: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name in sorted(names):
        groups[rule(name)].append(name)
    return groups


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _named(matched: Iterable[tuple[Path, str]], folder: Path) -> tuple[Pair, ...]:
    """Name each pair after its distorted file, without the ending unless the names would clash."""
    matches = list(matched)
    names = {second: _stem(second) for _, second in matches}
    while clashing := {second for second in _clashing(names) if names[second] != second}:
        # A full name may equal the stem of another: x.png beside x.png.bmp.
        names |= {second: second for second in clashing}
    return tuple(Pair(first, folder / second, names[second]) for first, second in matches)


def _clashing(names: Mapping[str, str]) -> list[str]:
    """Files whose names are not unique, ignoring case and composition, as some file systems do."""
    counts = Counter(nfc(name).casefold() for name in names.values())
    return [second for second, name in names.items() if counts[nfc(name).casefold()] > 1]
