"""Which file is compared with which: two files, a file and a folder, or two folders matched by name."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixq.errors import PixqError
from pixq.io.image_formats import ENDINGS

__all__ = ["Matched", "Pair", "pairs"]


@dataclass(frozen=True)
class Pair:
    """Two files.

    Parameters
    ----------
    reference, distorted
        Their paths.
    name
        What outputs are called, in a folder of them: the distorted file's path there, without its ending.
    """

    reference: Path
    distorted: Path
    name: str


@dataclass(frozen=True)
class Matched:
    """What two paths come to.

    Parameters
    ----------
    pairs
        In the order of their names.
    alone
        Images that have no partner, which are not compared.
    other
        How many files in the folders are no images by their names.
    folder
        Whether a folder was given, and so outputs are folders.
    """

    pairs: tuple[Pair, ...]
    alone: tuple[Path, ...] = ()
    other: int = 0
    folder: bool = False


def pairs(reference: Path, distorted: Path) -> Matched:
    """Match files.

    In folders, and theirs, a distorted image goes with the reference of the same relative path; else with the one whose
    path is the same without its ending; else, in any case of letters. Hidden files are left alone.

    Parameters
    ----------
    reference, distorted
        Two files, a file and a folder of distorted images, or two folders.

    Raises
    ------
    PixqError
        If one is missing, the first alone is a folder, one image could go with several, or no two go together.
    """
    for path in (reference, distorted):
        if not path.exists():
            raise PixqError(f"{path}: there is no such file or folder")
    if not distorted.is_dir():
        if reference.is_dir():
            raise PixqError(f"{reference}: is a folder, and {distorted} a file; give two files, or two folders")
        return Matched((Pair(reference, distorted, distorted.stem),))
    images, other = _images(distorted)
    if reference.is_dir():
        references, more = _images(reference)
        found = _match(reference, references, distorted, images)
        alone = [reference / name for name in references if name not in {first for first, _ in found}]
        alone += [distorted / name for name in images if name not in {second for _, second in found}]
        together = [(reference / first, second) for first, second in found]
        other += more
    else:
        # The reference may lie among them; it is compared with no file that is itself.
        alone, together = [], [(reference, name) for name in images if not reference.samefile(distorted / name)]
    if not together:
        raise PixqError(
            f"{distorted}: no image in it has the name of one in {reference}; give folders whose files are named alike"
            if reference.is_dir()
            else f"{distorted}: holds no image{' but the reference' if images else ''}"
        )
    return Matched(_named(together, distorted), tuple(alone), other, True)


def _images(folder: Path) -> tuple[list[str], int]:
    """The images' paths in a folder, relative, with slashes, sorted; and how many other files there are."""

    def fail(error: OSError) -> None:
        raise error

    found, other = [], 0
    for where, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in ENDINGS:
                found.append((Path(where) / name).relative_to(folder).as_posix())
            else:
                other += 1
    return sorted(found), other


def _match(reference: Path, references: list[str], distorted: Path, images: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    left, right = set(references), set(images)
    rules: tuple[Callable[[str], str], ...] = (str, _stem, lambda name: _stem(name).casefold())
    for rule in rules:
        firsts, seconds = _by(rule, left), _by(rule, right)
        for key in sorted(firsts.keys() & seconds.keys()):
            several = firsts[key] if len(firsts[key]) > 1 else seconds[key]
            if len(several) > 1:
                one, folder = (seconds[key][0], reference) if several is firsts[key] else (firsts[key][0], distorted)
                raise PixqError(
                    f"{folder}: {', '.join(several)} could all go with {one}; keep one of them, or name files alike"
                )
            found.append((firsts[key][0], seconds[key][0]))
            left.remove(firsts[key][0])
            right.remove(seconds[key][0])
    return sorted(found, key=lambda each: each[1])


def _by(rule: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name in sorted(names):
        groups[rule(name)].append(name)
    return groups


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _named(together: Iterable[tuple[Path, str]], folder: Path) -> tuple[Pair, ...]:
    """Outputs are called as the distorted file is; its ending stays where two differ in nothing else."""
    all_of_them = list(together)
    names = {second: _stem(second) for _, second in all_of_them}
    while alike := {second for second in _alike(names) if names[second] != second}:
        # A whole name may be what is left of another's: x.png beside x.png.bmp.
        names |= {second: second for second in alike}
    return tuple(Pair(first, folder / second, names[second]) for first, second in all_of_them)


def _alike(names: Mapping[str, str]) -> list[str]:
    """Those whose names others have too, in any case of letters: some file systems know no other."""
    counts = Counter(name.casefold() for name in names.values())
    return [second for second, name in names.items() if counts[name.casefold()] > 1]
