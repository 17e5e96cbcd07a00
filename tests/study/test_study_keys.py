"""The key and the token of a study, and withdrawals."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.errors import PixqError
from pixq.study.store.keys import Key, check_key, open_key, open_token, withdraw
from support import studying
from support.studying import KEY, Page, Server


def test_a_withdrawn_person_is_gone(folder: Path, tmp_path: Path) -> None:
    with studying.running(folder, str(tmp_path / "answers.db")) as server:
        check_withdrawal(server)


def check_withdrawal(server: Server) -> None:
    store, page = server.service.store, Page(server, {"participant": "anna"})
    page.start()
    page.go("survey")
    other = Page(server, {"participant": "bert"})
    other.start()
    other.go("check")
    assert withdraw(store, KEY, "local", "anna") == len(page.sent)
    assert page.send(page.event("survey"))[0] == 401
    other.go("none")
    with store.snapshot() as snapshot:
        assert [len(stored.events) for stored in snapshot.sessions()] == [len(other.sent)]
    with pytest.raises(PixqError, match="anna"):
        withdraw(store, KEY, "local", "anna")
    check_key(KEY, store)
    other_key = Key(bytes(31) + b"1")
    with pytest.raises(PixqError, match="another key"):
        withdraw(store, other_key, "local", "bert")
    (left,) = {each.participant for each in store.sessions()}
    assert withdraw(store, KEY, "local", left) == len(other.sent)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    for name, opens in (("study.key", open_key), ("admin.token", open_token)):
        path = tmp_path / name
        first = opens(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert opens(path) == first
        assert path.read_text().strip() not in repr(first) or name == "admin.token"
        path.chmod(0o640)
        with pytest.raises(PixqError, match="chmod 600"):
            opens(path)
        path.chmod(0o600)
        for bad in ("", "00", "z" * 20, "é" * 64):
            path.write_text(bad, "utf-8")
            with pytest.raises(PixqError, match=name):
                opens(path)
        with pytest.raises(PixqError, match=name):
            opens(tmp_path / "no" / name)
    assert len(list(tmp_path.iterdir())) == 2
    found = {open_key(tmp_path / f"k{n}").secret for n in range(8)}
    assert len(found) == 8


def test_threads_that_make_a_key_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_key(tmp_path / "study.key").secret)) for _ in range(16)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 16
    assert len(set(found)) == 1
