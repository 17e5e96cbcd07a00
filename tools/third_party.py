"""Collect the licences of what pixq ships but did not write: the crates of the compiled module, the page's packages.

Nothing of it is in the repository. The texts come from the sources that are built: those of the crates as Cargo has
unpacked them, with the C library that `turbojpeg` builds, and `node_modules`. `tools/study_page.py` calls this whenever
it builds; as a program it writes `THIRD-PARTY-NOTICES.txt`, which is part of every wheel.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "python" / "pixq" / "study" / "web"
#: What a wheel contains; git ignores it.
NOTICES = ROOT / "THIRD-PARTY-NOTICES.txt"
#: What is served beside the page, and is part of a page that runs from disk.
PAGE_NOTICES = ROOT / "python" / "pixq" / "study" / "page" / "licenses.txt"
#: The crate whose dependencies are linked into the compiled module.
MODULE = "pixq-py"

_LICENCE = re.compile(r"(un)?licen[cs]e|copying|copyright|notice|readme\.ijg", re.IGNORECASE)
_IN_README = re.compile(r"^#*\s*licen[cs]e\b.*?^(.*Permission is hereby granted.*)", re.I | re.M | re.S)
#: Who holds the rights to packages whose archives have no licence file, as their repositories say.
_HOLDERS = {"jspsych": "2014-2022 Joshua R. de Leeuw"}


class MissingLicence(Exception):
    """Nothing says under which terms something may be passed on; the message names it."""


@dataclass(frozen=True)
class Package:
    """A crate or a package of npm: where it is from, its terms, and the folder of its sources."""

    name: str
    version: str
    licence: str
    authors: str
    url: str
    folder: Path

    def texts(self) -> list[str]:
        """The texts of its licences."""
        return [path.read_text("utf-8", "replace").strip() for path in self.files()] or [self.without_file()]

    def files(self) -> list[Path]:
        """The licence files of the package, and of what it contains from others."""
        folders = [self.folder, *(path for path in self.folder.iterdir() if path.is_dir())]
        found = [path for folder in folders for path in sorted(folder.iterdir())]
        return [path for path in found if path.is_file() and _LICENCE.match(path.name)]

    def without_file(self) -> str:
        """The terms of a package without a licence file: those in its readme, or those of MIT."""
        for readme in sorted(self.folder.glob("[Rr][Ee][Aa][Dd][Mm][Ee]*")):
            if section := _IN_README.search(readme.read_text("utf-8", "replace")):
                return section[0].strip()
        holder = _HOLDERS.get(self.name) or self.authors
        if "MIT" not in self.licence or not holder:
            raise MissingLicence(f"{self.name} {self.version} ({self.licence or 'no licence'}) has no licence file")
        ours = (ROOT / "LICENSE-MIT").read_text("utf-8")
        return re.sub(r"Copyright \(c\) .*", f"Copyright (c) {holder}", ours).strip()


def crates() -> list[Package]:
    """All crates that the compiled module links, on any system."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    metadata = json.loads(done.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {
        node["id"]: [need["pkg"] for need in node["deps"] if any(kind["kind"] is None for kind in need["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    linked: set[str] = set()
    waiting = [id for id, package in packages.items() if package["name"] == MODULE]
    while waiting:
        id = waiting.pop()
        if id not in linked:
            linked.add(id)
            waiting += needs[id]
    return [
        Package(
            package["name"],
            package["version"],
            package["license"] or "",
            ", ".join(re.sub(r"\s*<[^>]*>", "", author) for author in package["authors"]),
            package["repository"] or package["homepage"] or "",
            Path(package["manifest_path"]).parent,
        )
        for package in sorted((packages[id] for id in linked), key=lambda each: (each["name"], each["version"]))
        # What has no source is of this workspace.
        if package["source"] is not None
    ]


def page_packages() -> list[Package]:
    """All packages of npm that the page is made of."""
    lock = json.loads((WEB / "package-lock.json").read_text("utf-8"))
    found = []
    for place, entry in sorted(lock["packages"].items()):
        if not place or entry.get("dev"):
            continue
        about = json.loads((WEB / place / "package.json").read_text("utf-8"))
        author, repository = about.get("author", ""), about.get("repository", "")
        found.append(
            Package(
                about["name"],
                about["version"],
                about.get("license", ""),
                author.get("name", "") if isinstance(author, dict) else re.sub(r"\s*<[^>]*>", "", author),
                repository.get("url", "") if isinstance(repository, dict) else repository,
                WEB / place,
            )
        )
    return found


def compose(title: str, packages: Iterable[Package]) -> str:
    """The notices of packages: a list of them, and each text once, with the packages that it is about."""
    lines = [title, ""]
    about: dict[str, list[str]] = {}
    for package in packages:
        lines.append(f"{package.name} {package.version}: {package.licence}; {package.url}")
        for text in package.texts():
            about.setdefault(text, []).append(f"{package.name} {package.version}")
    for text, names in about.items():
        lines += ["", "-" * 80, ", ".join(dict.fromkeys(names)), "", text]
    return "\n".join(lines) + "\n"


def page_notices() -> str:
    """The notices of the page."""
    return compose("The page of pixq study contains the following software of others.", page_packages())


def write_notices() -> None:
    """Write the notices of a wheel: of the compiled module, and of the page if it is built."""
    text = compose("The compiled module of pixq contains the following software of others.", crates())
    if PAGE_NOTICES.is_file():
        text += f"\n{'=' * 80}\n\n{PAGE_NOTICES.read_text('utf-8')}"
    scratch = NOTICES.with_suffix(f".{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(NOTICES)


if __name__ == "__main__":
    try:
        write_notices()
    except (MissingLicence, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"pixq: the notices can't be written: {getattr(error, 'stderr', None) or error}")
