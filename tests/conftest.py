"""What all tests share: how hypothesis draws, and where real images are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import trees
from pixq import _core

settings.register_profile("default", deadline=None)  # a shared machine stalls now and then
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and scores."""
    return trees.data_dir()


@pytest.fixture
def restore_threads() -> Iterator[None]:
    """Put back the number of threads that a test sets."""
    before = _core.num_threads()
    yield
    _core.set_num_threads(before)
