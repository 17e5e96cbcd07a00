"""Runs that the tests of reports share; each is trained once."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from support import report_runs
from support.made_once import made_once
from support.report_runs import Made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A dataset, its patch set, and a run on it, which tests must leave as they are."""
    return Made(made_once(tmp_path_factory, "report", report_runs.make_run))


@pytest.fixture(scope="session")
def other_run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second run on the same patches, which tests must leave as it is."""
    return made_once(tmp_path_factory, "report-other", partial(report_runs.make_other_run, made)) / "other"


@pytest.fixture(scope="session")
def folds_run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation on the same patches, which tests must leave as it is."""
    return made_once(tmp_path_factory, "report-folds", partial(report_runs.make_folds, made)) / "folds"


@pytest.fixture
def run(made: Made, tmp_path: Path) -> Path:
    """A copy of the run, to be given calibrations and evaluations."""
    return Path(shutil.copytree(made.run, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard")))


@pytest.fixture
def two(run: Path, other_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both runs."""
    return run, Path(shutil.copytree(other_run, tmp_path / "other"))
