"""`pixq study demo`: its study is honest, and it is served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("starlette", reason="Starlette is not installed")

from pixq.cli import main
from pixq.errors import PixqError
from pixq.study.design import demo
from pixq.study.design.check import check_study
from pixq.study.design.config import TruthSource
from pixq.study.design.study_files import open_study
from pixq.study.server import run
from pixq.study.session.judge import SIGMA, SIGMAS, judge_source
from support import taking_part

NAMES = ("astronaut", "coffee", "ihc", "rocket", "retina")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo") / "study"
    assert demo.write_demo(made)
    return made


def test_the_study_is_ready(folder: Path) -> None:
    found = check_study(folder)
    assert found.problems == ()
    assert not any("gives it away as a test" in each for each in found.warnings)
    opened = open_study(folder)
    assert {each.kind for each in opened.sources.values()} == {"source", "training", "test"}
    assert all(tuple(each.levels) == (0, *demo.LEVELS) for each in opened.sources.values())
    assert set(opened.study.consent) == {"en", "de"}
    assert opened.study.platform.kind == "local"
    assert "demonstration" in opened.study.consent["en"]


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def test_the_truth_of_training_and_test_images_is_true(folder: Path) -> None:
    opened = open_study(folder)
    checked = 0
    for each in opened.sources.values():
        if not isinstance(each.source, TruthSource):
            continue
        checked += 1
        reference = pixels(each.levels[0].path)
        low, high = each.source.pjnd_range
        before = 0.0
        for level, image in each.levels.items():
            change = np.abs(pixels(image.path) - reference).max(axis=2)
            if level < low:
                assert image.path.read_bytes() == each.levels[0].path.read_bytes()
                assert change.max() == 0, "nobody can notice what is the same"
                continue
            for y, x in each.source.points_yx:
                # JPEG rounds a pixel here and there by one.
                spot = np.median(change[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4])
                assert spot >= 0.75 * change.max(), "at each place, and much the same"
            assert change.max() >= before, "more at each level"
            before = float(change.max())
            # And where a click on the change is accepted, nowhere else.
            rows, columns = np.nonzero(change)
            far = [
                min(
                    ((y - row) / each.height * 480) ** 2 + ((x - column) / each.width * 640) ** 2
                    for y, x in each.source.points_yx
                )
                for row, column in zip(rows[::7], columns[::7], strict=True)
            ]
            assert max(far, default=0.0) <= (SIGMAS * SIGMA) ** 2
            if level > high:
                assert change.max() >= 24
        found = judge_source(each.source, low, each.source.points_yx, each.width, each.height)
        assert found is not None
        assert found.passed
    assert checked == 2


def test_it_goes_on_with_its_folder_and_leaves_others_alone(tmp_path: Path, folder: Path) -> None:
    before = (folder / "study.toml").stat().st_mtime_ns
    assert not demo.write_demo(folder)
    assert (folder / "study.toml").stat().st_mtime_ns == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(PixqError, match=r"contains letter\.txt, which is not part of a demonstration; choose"):
        demo.write_demo(tmp_path / "mine")
    text = (folder / "study.toml").read_text("utf-8").replace(demo.TITLE, "Mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.toml").write_text(text, "utf-8")
    with pytest.raises(PixqError, match="is a study of another title"):
        demo.write_demo(tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(PixqError, match="choose a folder that you may write to"):
        demo.write_demo(tmp_path / "file")


def test_an_incomplete_demonstration_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo_references", lambda: demo.synthetic_pictures(NAMES, (48, 64)))
    with monkeypatch.context() as broken:
        broken.setattr(demo, "_text", fail)
        with pytest.raises(KeyboardInterrupt):
            demo.write_demo(tmp_path / "demo")
    assert not (tmp_path / "demo" / "study.toml").exists()
    assert demo.write_demo(tmp_path / "demo")
    assert open_study(tmp_path / "demo")


def test_without_photographs_pictures_are_synthetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise PixqError("scikit-image is not installed")

    monkeypatch.setattr(demo, "demo_references", none)
    assert demo.write_demo(tmp_path / "demo")
    opened = open_study(tmp_path / "demo")
    assert {(each.width, each.height) for each in opened.sources.values()} == {(512, 384)}
    found = [pixels(each.levels[0].path) for each in opened.sources.values()]
    assert all(picture.std() > 10 for picture in found)
    assert len({picture.tobytes() for picture in found}) == 5
    test_the_truth_of_training_and_test_images_is_true(tmp_path / "demo")


def test_the_page_is_opened_unless_it_is_not_to_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(run, "serve", lambda where, **options: asked.append({"where": where, **options}))
    assert main(["study", "demo", "--out", str(folder)]) == 0
    assert main(["study", "demo", "--out", str(folder), "--no-open", "--port", "0"]) == 0
    assert [(each["open_page"], each["port"]) for each in asked] == [(True, 8009), (False, 0)]


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent otherwise on Windows")
def test_it_serves_until_it_is_interrupted(folder: Path) -> None:
    if not (taking_part.PAGE / "page.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    command = [sys.executable, "-m", "pixq", "study", "demo", "--out", str(folder), "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert b"/page/page.js" in answer.read()
            body = json.dumps({"platform": {}, "language": "de"}).encode()
            request = urllib.request.Request(f"{url}api/start", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                told = json.loads(answer.read())
            assert told["study"]["title"] == demo.TITLE
            assert told["state"]["step"] == "consent"
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "is there already" in err
    assert f"pixq study export {folder} gives the answers" in err
    assert "/admin, with the token in" in err
    assert "Traceback" not in err
