"""Finds the files that score files name, and reports missing, duplicate and extra files."""

from __future__ import annotations

import errno
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixq.datasets.base import DatasetIndex, ImagePair, Problem
from pixq.datasets.labels import LabelContract, Observers
from pixq.errors import PixqError, printable
from pixq.io.folders import Entry, list_entries
from pixq.io.image_formats import DECODED, endings_of
from pixq.io.paths import nfc

__all__ = ["ScoreLine", "Tree", "assemble"]

_ENDINGS = endings_of(DECODED)


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """A line of a score file. `distorted` and `reference` are paths relative to the root, as in the line.

    `where` names the record in messages if it is not simply a line of a file. `attributes` and `observers` are those of
    its `ImagePair`.
    """

    line: int
    image_id: str
    reference_id: str
    group: str
    reference: str
    distorted: str
    distortion_type: str
    level: float | None
    score: float
    where: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    observers: Observers | None = None

    def named(self, scores: str) -> str:
        """Name this line of the file called `scores` in a message."""
        return self.where or f"{scores}, line {self.line}"


@dataclass(frozen=True)
class Found:
    """The result of looking up a name: the matching file or `None`, and other files that would have matched.

    `fault` says why the entry on disk, called `faulty`, is not a readable file, such as a link that leads nowhere.
    """

    path: str | None
    rivals: tuple[str, ...] = ()
    fault: str | None = None
    faulty: str | None = None


class Tree:
    """The files below a dataset's root, listed folder by folder as needed.

    Raises
    ------
    PixqError
        If `root` is not a folder, or a folder can't be listed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            mode = root.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise PixqError(f"{root}: no such folder; give the dataset's root with --root") from None
        except OSError as error:
            raise PixqError(f"{root}: {error.strerror or error}; give a folder that can be read with --root") from None
        if not stat.S_ISDIR(mode):
            raise PixqError(f"{root}: not a folder; give the folder that holds the dataset with --root")
        self._listings: dict[str, _Listing] = {}

    def require(self, *names: str) -> tuple[str, ...]:
        """Find files and folders that the root must hold, without regard to case, and return their names on disk."""
        here = self._listing("")
        found = [here.only(name) for name in names]
        absent = [name for name, there in zip(names, found, strict=True) if there is None]
        if absent:
            fix = f"the root must hold {', '.join(names)}"
            for folder in sorted(here.folders):
                try:
                    inside = self._listing(folder)
                except PixqError:
                    continue  # A folder that is not needed may be unreadable.
                if all(inside.only(name) for name in names):
                    fix = f"they are in {self.root / folder}; give that as the root"
                    break
            raise PixqError(f"{self.root}: no {', '.join(absent)}; {fix}")
        return tuple(name for name in found if name is not None)

    def has_folder(self, name: str) -> bool:
        """Whether the root holds a folder called `name`, without regard to case."""
        here = self._listing("")
        return here.only(name) in here.folders

    def folders(self, folder: str) -> list[str]:
        """Paths of the folders in a folder, sorted, without hidden ones."""
        return sorted(_join(folder, name) for name in self._listing(folder).folders if name[0] != ".")

    def images(self, folder: str) -> list[str]:
        """Paths of the image files in a folder, sorted, without hidden files such as `._I01.png` of macOS."""
        listing = self._listing(folder)
        return sorted(_join(folder, name) for name in listing.files if _stem(name) != name and name[0] != ".")

    def unreadable(self, folder: str) -> dict[str, str]:
        """Why files of a folder can't be read, by path: images by their names, and links that lead nowhere."""
        faults = self._listing(folder).faults
        return {_join(folder, name): faults[name] for name in sorted(faults) if name[0] != "."}

    def find(self, path: str, *, by_stem: bool) -> Found:
        """Find the file that `path` names.

        An exact match comes first. Otherwise the name may differ in case and, with `by_stem`, in the extension; if
        two files match in this way, neither is taken. Other files that match are `rivals`. If no file matches but an
        unreadable entry does, `fault` says why it can't be read.
        """
        folder = ""
        *folders, name = path.split("/")
        for part in folders:
            above = self._listing(folder)
            there = above.only(part)
            if there is None or there in above.faults:
                faulty = None if there is None else _join(folder, there)
                return Found(None, fault=None if there is None else above.faults[there], faulty=faulty)
            folder = _join(folder, there)
        listing = self._listing(folder)
        fits = listing.by_stem.get(_key(_stem(name)), ()) if by_stem else listing.by_name.get(_key(name), ())
        faulty = next((fit for fit in sorted(fits) if fit in listing.faults), None)
        fits = tuple(fit for fit in fits if fit in listing.files)
        chosen = name if name in fits else fits[0] if len(fits) == 1 else None
        rivals = tuple(sorted(_join(folder, fit) for fit in fits if fit != chosen))
        if faulty is not None and not fits:
            return Found(None, fault=listing.faults[faulty], faulty=_join(folder, faulty))
        return Found(None if chosen is None else _join(folder, chosen), rivals)

    def _listing(self, folder: str) -> _Listing:
        if folder not in self._listings:
            self._listings[folder] = _Listing(self.root / folder)
        return self._listings[folder]


class _Listing:
    """The names in a folder, indexed for lookups without regard to case or extension."""

    def __init__(self, folder: Path) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.faults: dict[str, str] = {}
        by_name: dict[str, list[str]] = defaultdict(list)
        by_stem: dict[str, list[str]] = defaultdict(list)
        for entry in _entries(folder):
            name = entry.name
            by_name[_key(name)].append(name)
            if entry.is_folder:
                self.folders.add(name)
                continue
            if entry.fault is None:
                self.files.add(name)
            else:
                self.faults[name] = entry.fault
            if (stem := _stem(name)) != name:
                by_stem[_key(stem)].append(name)
        self.by_name = {key: tuple(names) for key, names in by_name.items()}
        self.by_stem = {key: tuple(names) for key, names in by_stem.items()}

    def only(self, name: str) -> str | None:
        """The entry called `name`, or else the only one whose name differs just in case."""
        fits = self.by_name.get(_key(name), ())
        return name if name in fits else fits[0] if len(fits) == 1 else None


def assemble(
    adapter: str,
    tree: Tree,
    contract: LabelContract,
    scores: str,
    lines: Sequence[ScoreLine],
    *,
    folders: Iterable[str],
    by_stem: bool = True,
    unscored: Iterable[str] = (),
) -> DatasetIndex:
    """Make the index of a dataset from the lines of its score file.

    If several lines name the same image, the first is kept if they agree on score and reference; otherwise the image
    is left out. Names are looked up by `Tree.find`; an image whose name matches two files inexactly, or whose reference
    is missing, is left out. Images in `folders` that no line needs are extra, unless they are among the `unscored` ones
    that the dataset is known to have. All of this is listed in `problems`,
    ordered by kind and file.

    Raises
    ------
    PixqError
        If `lines` is empty.
    """
    if not lines:
        raise PixqError(f"{tree.root / scores}: lists no image; give a dataset with scores in it")
    problems: list[Problem] = []
    pairs: list[ImagePair] = []
    accounted: set[str] = set()
    named = {line.distorted for line in lines} | {line.reference for line in lines} | set(unscored)

    def choose(path: str, line: ScoreLine) -> str | None:
        found = tree.find(path, by_stem=by_stem)
        rivals = [rival for rival in found.rivals if rival not in named]
        accounted.update(rivals)
        if found.path is not None:
            accounted.add(found.path)
            detail = f"{found.path} was taken, whose name is exactly that in {line.named(scores)}"
            problems.extend(Problem("duplicate", rival, detail) for rival in rivals)
        return found.path

    references: dict[str, str | None] = {}
    for line in _once(lines, scores, problems):
        distorted = choose(line.distorted, line)
        if line.reference not in references:
            references[line.reference] = choose(line.reference, line)
        reference = references[line.reference]
        for name, path, whose in ((line.distorted, distorted, ""), (line.reference, reference, " is its reference")):
            if path is not None:
                continue
            # A missing reference is a problem of each image that needs it: these will be absent from a build.
            found = tree.find(name, by_stem=by_stem)
            where = line.named(scores)
            if found.rivals:
                detail = f"{name}{whose} fits {' and '.join(found.rivals)} ({where}); the image is left out"
                problems.append(Problem("duplicate", line.distorted, detail, left_out=True))
            else:
                why = "not on disk" if found.fault is None else found.fault
                own = why if found.fault is None else f"it {why}"
                detail = f"{where}; {name}{whose} and {why}" if whose else f"{where}; {own}"
                problems.append(Problem("missing", line.distorted, detail, left_out=True))
            break
        if distorted is not None and reference is not None:
            pairs.append(
                ImagePair(
                    image_id=line.image_id,
                    reference_id=line.reference_id,
                    group=line.group,
                    reference=reference,
                    distorted=distorted,
                    distortion_type=line.distortion_type,
                    level=line.level,
                    score=line.score,
                    quality=contract.quality(line.score),
                    attributes=line.attributes,
                    observers=line.observers,
                )
            )
    # Files of lines that were left out are not extra.
    for path in named:
        found = tree.find(path, by_stem=by_stem)
        accounted.update(found.rivals, (path for path in (found.path, found.faulty) if path))
    for folder in dict.fromkeys(folders):
        for path in tree.images(folder):
            if path not in accounted:
                problems.append(Problem("extra", printable(path), f"no line of {scores} needs it"))
        for path, fault in tree.unreadable(folder).items():
            if path not in accounted:
                problems.append(Problem("extra", printable(path), f"{fault}; no line of {scores} needs it"))
    order = {"missing": 0, "duplicate": 1, "extra": 2}
    return DatasetIndex(
        adapter=adapter,
        root=tree.root,
        contract=contract,
        pairs=tuple(sorted(pairs, key=lambda pair: pair.image_id)),
        problems=tuple(sorted(set(problems), key=lambda problem: (order[problem.kind], problem.file, problem.detail))),
    )


def _once(lines: Sequence[ScoreLine], scores: str, problems: list[Problem]) -> list[ScoreLine]:
    """Drop lines that name an image again; `problems` gets an entry for each."""
    by_image: dict[str, list[ScoreLine]] = defaultdict(list)
    for line in lines:
        by_image[line.image_id].append(line)
    kept = []
    for first, *others in by_image.values():
        differing = [other for other in others if (other.score, other.reference) != (first.score, first.reference)]
        if differing:
            numbers = ", ".join(str(line.line) for line in (first, *others))
            named = " and ".join(line.where for line in (first, *others)) if first.where else ""
            detail = (
                f"{named or f'lines {numbers} of {scores}'} disagree on its score or reference; the image is left out"
            )
            problems.append(Problem("duplicate", first.distorted, detail, left_out=True))
            continue
        for other in others:
            before = first.where or f"line {first.line}"
            detail = f"{other.named(scores)}, repeats {before}, which was taken"
            problems.append(Problem("duplicate", other.distorted, detail))
        kept.append(first)
    return kept


def _entries(folder: Path) -> list[Entry]:
    """List a folder; nothing if it is missing or not a folder."""
    try:
        return list_entries(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ELOOP:
            return []  # `Tree.find` reports it for each image that should be inside.
        fix = "give yourself permission to list and enter it (chmod u+rx)"
        if not isinstance(error, PermissionError):
            fix = "fix the folder, or give a copy of the dataset with --root"
        raise PixqError(f"{folder}: {error.strerror or error}; {fix}") from None


def _stem(name: str) -> str:
    """`name` without an image file's extension."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in _ENDINGS else name


def _key(name: str) -> str:
    """A key that is equal for names that some file systems treat as the same."""
    return nfc(nfc(name).casefold())


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
