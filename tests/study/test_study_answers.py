"""`pixq study status`, `export`, `who`, `withdraw`, `links` and `serve`, as they are typed. On both databases."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import pyarrow.parquet as pq

from pixq.cli import main
from pixq.study.results.export import dictionary
from pixq.study.results.session_summary import safe_text
from pixq.study.server import run
from pixq.study.store.keys import check_key
from support import databases, studying
from support.studying import KEY, PAGE, Page, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = studying.make_study(tmp_path / "study")
    keep_key(folder)
    return folder


def keep_key(folder: Path, secret: bytes = KEY.secret) -> None:
    (folder / "study.key").write_text(secret.hex())
    (folder / "study.key").chmod(0o600)


@pytest.fixture
def server(folder: Path, database: str) -> Iterator[Server]:
    """Three people have taken part: one to the end, one to the second image, and one declined."""
    with studying.running(folder, database) as found:
        check_key(KEY, found.service.store)
        for name, step in (("anna", "survey"), ("bert", "trial"), ("carl", "consent")):
            page = Page(found, {"participant": name})
            page.start("de")
            page.go(step)
            if name == "anna":
                page.say(
                    "survey", {"hard": 4, "sure": None, "glasses": "worn", "remarks": "=SUM(1)\r\n\x1b[2J\ud800 ok"}
                )
            elif name == "bert":
                page.say("blocked", {"problems": ["zoom"]})
                page.one()
            else:
                page.say("consent", {"agreed": False})
            page.close()
        yield found


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["study", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_status_while_it_is_served(
    server: Server, folder: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = told(capsys, "status", str(folder), "--database", database, "--json")
    found = json.loads(out)
    assert (code, found["people"], found["stored"] + sum(each["answers"] for each in found["tests"])) == (0, 3, 3)
    assert found["reasons"] == {"failed": {"consent": 1}}
    assert found["ends"] == {"completed": 1, "failed": 1}
    assert found["standings"] == {"welcome": 3}
    asked = server.ask("GET", "/api/admin", token=studying.ADMIN)
    assert json.loads(asked[2]) == {**found, "failures": []}, "the page says the same"
    code, out, _ = told(capsys, "status", str(folder), "--database", database)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "failed 1 consent 1" in lines
    assert "trial 1" in lines
    assert f"answers that count {found['stored']} of 200 wanted" in lines
    assert sum(" of 50 20.0 9.0" in f"{line}" or " of 50 " in line for line in lines) == 4


def test_export_while_it_is_served(
    server: Server, folder: Path, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "sessions.csv").write_text("old")
    (out / "notes.txt").write_text("mine")
    code, said, _ = told(capsys, "export", str(folder), "--database", database, "--out", str(out))
    names = ["answers.csv", "dictionary.json", "answers.parquet", "sessions.csv", "sessions.parquet", "consents.json"]
    assert (code, [Path(line).name for line in said.splitlines()]) == (0, names)
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "notes.txt"])
    with (out / "sessions.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["participant"]: row for row in csv.DictReader(file)}
    anna, bert, carl = (rows[KEY.pseudonym("local", name)] for name in ("anna", "bert", "carl"))
    assert [(each["step"], each["reason"]) for each in (anna, bert, carl)] == [
        ("completed", ""), ("trial", ""), ("failed", "consent"),
    ]  # fmt: skip
    assert [(each["images"], each["answered"], each["tests"]) for each in (anna, carl)] == [
        ("3", "3", "1"),
        ("3", "0", "0"),
    ]
    assert (bert["answered"], bert["blocked"], bert["ended"], bert["late"]) == ("1", "1", "", "1")
    assert (anna["training_tries"], anna["training_passed"], anna["checks"], anna["late"]) == ("1", "1", "1", "3")
    assert (anna["survey_hard"], anna["survey_sure"], anna["survey_glasses"]) == ("4", "", "worn")
    assert anna["survey_remarks"] == "'=SUM(1) [2J ok"
    assert json.loads(anna["survey"])["remarks"] == "=SUM(1)\r\n\x1b[2J\ud800 ok"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows.values() for cell in row.values())
    dict_ = json.loads((out / "dictionary.json").read_text("utf-8"))
    assert dict_ == json.loads(json.dumps(dictionary(server.service.study)))
    assert list(anna) == [each["name"] for each in dict_["sessions"]["columns"]]
    assert pq.read_table(out / "sessions.parquet").column_names == list(anna)
    assert pq.read_table(out / "sessions.parquet")["answered"].to_pylist() == [3, 1, 0]
    texts = json.loads((out / "consents.json").read_text("utf-8"))["consents"]
    assert texts == {anna["consent"]: {"version": "1", "language": "de", "text": "Ja."}}
    assert (bert["consent"], carl["consent"]) == (anna["consent"], "")
    with (out / "answers.csv").open(newline="", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert [each["session"] for each in answers].count(anna["session"]) == 3
    assert {each["px_per_cm"] for each in answers} == {"40.0"}
    for words in (("status",), ("withdraw", "anna"), ("withdraw", bert["participant"])):
        assert told(capsys, words[0], *words[1:], str(folder), "--database", database)[0] == 0
    assert [each.participant for each in server.service.store.sessions()] == [carl["participant"]]
    code, _, error = told(capsys, "withdraw", "anna", str(folder), "--database", database)
    assert (code, "participant 'anna' is unknown" in error) == (2, True)
    code, said, _ = told(
        capsys, "export", str(folder), "--database", database, "--out", str(tmp_path / "n"), "--no-parquet"
    )
    assert (code, len(said.splitlines())) == (0, 4)
    assert (tmp_path / "n" / "answers.csv").read_text("utf-8").count("\n") == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_reads_waits_for_no_writer_and_who_cannot_write_says_so(
    server: Server, folder: Path, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    store = server.service.store
    monkeypatch.setattr("pixq.study.store.store._WAIT", 0.2)
    at = [str(folder), "--database", database]
    with store._writing():
        assert told(capsys, "status", *at)[0] == 0
        assert told(capsys, "export", *at, "--out", str(tmp_path / "out"))[0] == 0
        code, out, error = told(capsys, "withdraw", "anna", *at)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "answers.db: the database does not respond: database is locked; end the program that locks it" in error
    assert len(store.sessions()) == 3


def test_who_has_done_what(
    server: Server, folder: Path, database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [str(folder), "--database", database]
    monkeypatch.setattr("pixq.study.store.store.Store._writing", None)
    # Of anna, who was first.
    passed = sum(image.passed is True for image in server.service.store.assignments() if image.session == 1)
    # Neither pictures nor anything of the study but its table is read.
    shutil.rmtree(folder / "images")
    for name, row in (
        ("anna", rf"1  completed  \S+T\S+  \S+T\S+  3 of 3  0  {passed} of 1  -"),
        ("bert", r"1  trial  \S+T\S+  -  1 of 3  0  \d of [01]  -"),
        ("carl", r"1  failed  \S+T\S+  \S+T\S+  0 of 3  0  0 of 0  consent"),
    ):
        own = KEY.pseudonym("local", name)
        for known in (name, own):
            code, out, error = told(capsys, "who", known, *at)
            first, _, last = out.splitlines()
            assert (code, first, error) == (0, f"participant {own}", "")
            assert re.fullmatch(row.replace("  ", " +"), last), last
    assert told(capsys, "who", "eve", *at)[:2] == (2, "")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_log_that_is_kept_is_said_and_cut_by_the_next(
    server: Server, folder: Path, database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixq.study.store.store._READERS", 0.2)
    at = [str(folder), "--database", database]
    with server.service.store._reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 3
        code, out, error = told(capsys, "withdraw", "anna", *at)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert f"another program reads the database, so {database}-wal still contains them" in error
    assert b"=SUM(1)" in Path(f"{database}-wal").read_bytes()
    assert told(capsys, "withdraw", "anna", *at)[0] == 2
    assert Path(f"{database}-wal").read_bytes() == b""
    assert b"=SUM(1)" not in Path(database).read_bytes()
    assert told(capsys, "withdraw", "bert", *at)[0] == 0


def test_what_cannot_be_opened_is_one_line_and_nothing_is_made(
    folder: Path, tmp_path: Path, postgresql: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(database: str | None, words: str) -> None:
        more = [] if database is None else ["--database", database]
        for verb in (["status"], ["export", "--out", str(tmp_path / "out")], ["withdraw", "anna"]):
            code, out, error = told(capsys, *verb, str(folder), *more)
            assert (code, out, error.count("\n")) == (2, "", 1), error
            assert words in error or (verb[0] == "withdraw" and "is unknown" in error), error
            assert "secret" not in error
        assert not (tmp_path / "out").exists()

    refused(None, "there are no answers yet")
    assert not (folder / "answers.db").exists()
    empty = databases.fresh(postgresql)
    refused(empty, "contains no answers")
    refused(empty, "contains no answers")
    (tmp_path / "text.db").write_text("no database " * 500)
    refused(str(tmp_path / "text.db"), "check that this is a pixq database of answers")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    refused(str(tmp_path / "other.db"), "contains no answers")
    refused("postgresql://me:secret@127.0.0.1:1/a", "check that this is a pixq database of answers")
    refused("mysql://me:secret@127.0.0.1/a", "--database: pass the path of a file, or postgresql")
    with studying.running(folder, str(folder / "answers.db")) as server:
        check_key(KEY, server.service.store)
        refused(None, "nobody has taken part yet")
        Page(server, {"participant": "bert"}).start()
    keep_key(folder, bytes(32))
    refused(None, "another key")
    (folder / "study.key").unlink()
    refused(None, "the key of the answers is missing; restore the file")
    assert not (folder / "study.key").exists()
    keep_key(folder)
    toml = folder / "study.toml"
    toml.write_text(toml.read_text().replace('id = "TRAIN_1"', 'id = "TRAIN_2"').replace("min_window", "clicks = 2 #"))
    # What was answered is what it was, whatever becomes of the study.
    assert told(capsys, "status", str(folder))[0] == 0


def test_free_text_becomes_one_safe_line() -> None:
    assert safe_text("a\r\nb\x00\u202e") == "a b"
    assert len(safe_text("x" * 9000)) == 2000
    assert safe_text("＝1") == "'＝1"


def test_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = studying.make_study(tmp_path / "linked", platform='[platform]\nkind = "link"\n')
    code, out, _ = told(capsys, "links", str(folder), "--count", "3", "--url", "https://study.example.org/")
    assert (code, len(set(out.splitlines()))) == (0, 3)
    assert all(line.startswith("https://study.example.org/t/") for line in out.splitlines())
    for count in ("0", "100001"):
        assert told(capsys, "links", str(folder), "--count", count, "--url", "https://a")[0] == 2
    local = studying.make_study(tmp_path / "local")
    code, _, error = told(capsys, "links", str(local), "--count", "1", "--url", "https://a")
    assert (code, 'set it to "link" to use links' in error) == (2, True)


# The server's command.


def program(folder: Path, *more: str) -> list[str]:
    """`pixq study serve` with a page of the tests."""
    code = (
        "import sys\nfrom pixq.study.server import run\nfrom pixq.cli import main\n"
        f"run.read_page = lambda: {PAGE!r}\nsys.exit(main(['study', 'serve', *sys.argv[1:]]))\n"
    )
    return [sys.executable, "-c", code, str(folder), *more]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_what_is_under_way_is_confirmed_before_it_ends(folder: Path, number: int, code: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(program(folder, "--port", "0"), **pipes) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            page = Page(Server(int(url.rstrip("/").rpartition(":")[2]), None), {"participant": "anna"})  # type: ignore[arg-type]
            page.start()
            # Somebody else writes, so that the answer must wait.
            other = sqlite3.connect(folder / "answers.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            found: list[int] = []
            event = page.event("consent", {"agreed": True})
            thread = threading.Thread(target=lambda: found.append(page.send(event)[0]))
            thread.start()
            time.sleep(0.5)
            process.send_signal(number)
            time.sleep(0.5)
            assert process.poll() is None, "it ended in the middle of it"
            other.execute("COMMIT")
            other.close()
            thread.join(30)
            assert found == [200]
            page.close()
        except BaseException:
            process.kill()
            raise
        _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "Traceback" not in said
    # The last connection puts the log into the file.
    assert not (folder / "answers.db-wal").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_signal_that_comes_before_the_server_listens_to_it_ends_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pixq.study.server import run

    told: list[str] = []

    def answer(*given: Any, **more: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        told.append("it goes on")

    monkeypatch.setattr(run, "run_server", answer)
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append("ended by SIGTERM"))
    try:
        run.serve(folder, port=0, page=PAGE)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == ["ended by SIGTERM"]
    assert "press Ctrl-C to stop" in capsys.readouterr().err
    assert not (folder / "answers.db-wal").exists()


def test_serve_refuses_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def unbuilt() -> Any:
        raise FileNotFoundError("index.html")

    monkeypatch.setattr(run, "read_page", unbuilt)
    code, _, error = told(capsys, "serve", str(folder), "--port", "0")
    assert (code, "is not built; run `make`" in error) == (2, True)
    assert not (folder / "answers.db").exists()
    monkeypatch.setattr(run, "read_page", lambda: PAGE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, error = told(capsys, "serve", str(folder), "--port", str(port))
        assert (code, "choose another --port" in error) == (2, True)
    for url in ("ftp://a", "study.example.org", "https://"):
        code, _, error = told(capsys, "serve", str(folder), "--url", url)
        assert (code, error.count("\n"), "must be like https" in error) == (2, 1, True)


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["study", "serve", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = ("sqlalchemy", "starlette", "uvicorn", "numpy.linalg", "PIL.Image", "torch", "pyarrow")
    code = (
        f"import sys\nfrom pixq.cli import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"print([each for each in {heavy!r} if each in sys.modules and each not in before], file=sys.stderr)"
    )
    code = f"import sys\nimport pixq\nbefore = set(sys.modules)\n{code}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
