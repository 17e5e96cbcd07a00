"""Answers and passwords that other users of the computer could read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.errors import PixqError
from pixq.study.results.export import write_answers, write_export
from pixq.study.store.store import open_store
from support import databases, studies

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="modes and PostgreSQL's sockets are POSIX's"),
]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_database_is_private_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    store = open_store(str(path))
    assert {file.name: mode(file) for file in tmp_path.iterdir()} == {
        "answers.db": 0o600, "answers.db-wal": 0o600, "answers.db-shm": 0o600,
    }  # fmt: skip
    store.close()


def test_a_database_that_others_can_read_is_made_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answers.db"
    first = open_store(str(path))
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    store = open_store(str(path))
    assert {mode(file) for file in tmp_path.iterdir()} == {0o600}
    assert capsys.readouterr().err.splitlines() == [
        f"pixq: warning: {path}{suffix}: other users could read the answers; its mode is now 600"
        for suffix in ("", "-wal", "-shm")
    ]
    store.close()
    first.close()
    open_store(str(path)).close()
    assert capsys.readouterr().err == ""


def test_a_database_that_stays_readable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.db"
    open_store(str(path)).close()
    path.chmod(0o640)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    # As for a file of somebody else.
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(
        PixqError, match=r"answers\.db: other users can read the answers; let its owner run `chmod 600`"
    ):
        open_store(str(path))


@pytest.mark.parametrize("parquet", [True, False])
def test_exports_are_private(tmp_path: Path, parquet: bool) -> None:
    if parquet:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    study = studies.study()
    before = os.umask(0)
    try:
        write_answers(study, [], tmp_path / "a", parquet=parquet)
        for _ in range(2):
            write_export(study, [], [], {}, tmp_path / "b", parquet=parquet)
    finally:
        os.umask(before)
    files = [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()]
    assert len(files) == (3 + 6 if parquet else 2 + 4)
    assert {mode(file) for file in files} == {0o600}


@contextmanager
def guarded(server: str) -> Iterator[str]:
    """The URL of a database whose user needs a password, `sesame`."""
    import psycopg

    url = databases.fresh(server)
    with psycopg.connect(url, autocommit=True) as connection:
        (hba,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        rules = Path(hba).read_text()
        connection.execute("DROP ROLE IF EXISTS guarded")
        connection.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'sesame'")
        Path(hba).write_text("local all guarded scram-sha-256\n" + rules)
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield url.replace("//pixq@", "//guarded@")
        finally:
            Path(hba).write_text(rules)
            connection.execute("SELECT pg_reload_conf()")


def test_the_password_of_postgresql_comes_from_the_environment_or_a_file(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:guarded:sesame\n")
    passwords.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with guarded(postgresql) as url:
        with pytest.raises(PixqError, match="no password supplied; set PGPASSWORD to the password, or PGPASSFILE"):
            open_store(url)
        with monkeypatch.context() as patch:
            patch.setenv("PGPASSWORD", "sesame")
            store = open_store(url)
            assert "sesame" not in store.name
            store.close()
        monkeypatch.setenv("PGPASSFILE", str(passwords))
        open_store(url).close()
