"""Progress on stderr: lines now and then where it is not a terminal, and a line for a stage that ends with a note."""

from __future__ import annotations

import pytest

from pixq.cli import progress
from pixq.cli.progress import progress_bar


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    with progress_bar() as on_progress:
        on_progress("building", 0, 8)
        clock += progress.LINE_EVERY / 2
        on_progress("building", 1, 8)
        assert capsys.readouterr().err == ""
        clock += progress.LINE_EVERY / 2
        on_progress("building", 2, 8, "9 patches/s")
        clock += 1
        on_progress("building", 3, 8)
    # Two of eight took ten seconds.
    assert capsys.readouterr() == ("", "pixq: building: 2 of 8, 9 patches/s, 30 s left\n")


def test_a_stage_that_ends_with_a_note_leaves_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as on_progress:
        on_progress("epoch 1 of 2", 5, 5)
        on_progress("epoch 1 of 2", 5, 5, "loss [0.5]")
        on_progress("epoch 2 of 2", 1, 5, "not yet")
    assert capsys.readouterr().err == "pixq: epoch 1 of 2: loss [0.5]\n"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(quiet=True) as on_progress:
        on_progress("epoch 1 of 1", 5, 5, "loss 0.5")
    assert capsys.readouterr() == ("", "")
