"""Folders that tests share, also between the processes of `pytest -n`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills once, for all processes of `pytest -n`; tests must leave it as it is."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{root}.lock"):
        if not (root / "made").exists():
            # What a process that failed has left is of no use to the next.
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            make(root)
            (root / "made").touch()
    return root
