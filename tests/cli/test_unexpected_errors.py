"""No user sees a traceback unless they ask for one: what nobody foresaw is one line and exit code 70."""

from __future__ import annotations

import pytest

from pixq import cli
from pixq.cli import main
from pixq.errors import PixqError


class PanicException(BaseException):
    """Like that of PyO3, which is no `Exception`."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("two\nlines"), 70, "internal error: ValueError: two lines; this is a bug in pixq: run the command"),
        (RecursionError(), 70, "internal error: RecursionError: RecursionError; this is a bug"),
        (
            PanicException("index out of bounds"),
            70,
            "internal error: PanicException: index out of bounds; this",
        ),
        (MemoryError(), 70, "memory ran out; "),
        (ExceptionGroup("several", [ValueError("one")]), 70, "internal error: ExceptionGroup: several"),
        (PixqError("a.png: is empty"), 2, "a.png: is empty"),
        (FileNotFoundError(2, "No such file or directory", "a\x1b.png"), 2, r"a\x1b.png: No such file or directory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    debug: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert main(["datasets", *(["--debug"] if debug else [])]) == code
    out, err = capsys.readouterr()
    *trace, last = err.splitlines()
    assert out == ""
    assert last.startswith(f"pixq: {line}")
    assert bool(trace) == debug
    assert ("in fail" in err) == debug


def test_debug_is_an_option_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--debug", "show", "nowhere"], ["show", "nowhere", "--debug"]):
        assert main(arguments) == 2
        assert "Traceback (most recent call last):" in capsys.readouterr().err
    # After -- it is a path.
    assert main(["show", "--", "--debug"]) == 2
    assert capsys.readouterr().err.startswith("pixq: --debug: is not a patch set")
    assert main(["study", "check", "--help"]) == 0
    assert "--debug" in capsys.readouterr().out
