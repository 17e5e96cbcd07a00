"""`pixq serve`: its answers, and the command."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixq
from pixq.classes import CLASSES
from pixq.io.progress import ignore_progress
from pixq.scoring.grid import Grid
from pixq.serve.app import Settings
from pixq.serve.response_json import Scored, map_json
from support import built, serving
from support.serve_requests import page_files, refused
from support.serving import Service, encoded


def test_the_answer_is_the_map(service: Service) -> None:
    reference, distorted = serving.pair()
    for stride in (5, 10, 20):
        found = service.post(serving.files(), stride=str(stride))
        assert found.status == 200
        assert found.headers["content-type"] == "application/json"
        judge = serving.Judge(sets=True).map(reference, distorted, stride=stride, on_progress=ignore_progress)
        told, grid = found.json, Grid(120, 170, stride=stride)
        assert told["grid"]["ys"] == grid.ys.tolist()
        assert told["grid"]["xs"] == grid.xs.tolist()
        assert (told["grid"]["rows"], told["grid"]["columns"]) == grid.shape
        patches = told["patches"]
        assert np.array_equal(np.float32(patches["quality"]), judge.quality.ravel())
        assert patches["class"] == judge.classes.ravel().tolist()
        assert patches["identical"] == judge.identical.ravel().tolist()
        assert patches["unsure"] == judge.unsure.ravel().tolist()  # type: ignore[union-attr]
        expected = [
            None if same else score for same, score in zip(patches["identical"], judge.score.ravel(), strict=True)
        ]
        assert patches["score"] == expected
        assert 0 < sum(patches["identical"]) < len(expected), "the pair has both kinds"
        assert set(patches["class"]) == {0, 1, 2}
    assert (told["reference"], told["distorted"]) == ("clean.png", "noisy.png")
    assert told["cuts"] == {"of": "quality", "values": [0.33, 0.66]}


def test_the_verdict_and_the_words_are_pixqs_own(service: Service) -> None:
    told = service.post(serving.files()).json
    verdict = serving.Judge(sets=True).map(*serving.pair(), stride=10, on_progress=ignore_progress).verdict
    found = told["verdict"]
    assert [share["share"] for share in found["shares"]] == list(verdict.shares.values())
    for key in ("quality", "worst", "unsure", "identical"):
        assert found[key] == pytest.approx(getattr(verdict, key))
    count = told["patches"]["class"].count(0)
    assert found["headline"] == f"Obvious in {count} of {len(told['patches']['class'])} patches."
    assert [each["name"] for each in told["classes"]] == [each.name for each in CLASSES]
    assert [each["safe_color"] for each in told["classes"]] == [each.safe_color for each in CLASSES]


def test_classes_are_not_repeated_in_the_page() -> None:
    for path in page_files().values():
        text = path.read_text("utf-8")
        for each in CLASSES:
            # The icon is a picture.
            found = [each.meaning, each.safe_color, each.mark, *([each.color] if path.suffix != ".svg" else [])]
            assert not [part for part in found if part in text], path
            assert f'"{each.name}"' not in text


def test_standard_json_whatever_is_in_it() -> None:
    reference, _ = serving.pair((40, 40))
    found = serving.Judge().map(reference, reference, stride=10, on_progress=ignore_progress)
    found = replace(found, cuts=(-np.inf, np.inf), calibration="strict", cut_scale="score")
    told = map_json(Scored(found), "a", "b")
    text = json.dumps(told, allow_nan=False)
    assert json.loads(text)["cuts"] == {"of": "score", "values": [None, None]}
    assert told["patches"]["unsure"] is None
    assert set(told["patches"]["score"]) == {None}
    assert told["verdict"]["headline"] == "The two images are equal in every patch."


def test_sixteen_bits_grey_and_other_formats(service: Service) -> None:
    reference, distorted = serving.pair()
    grey = np.asarray(Image.fromarray(reference).convert("L"))
    for data in (
        encoded(grey), encoded(grey.astype(np.uint16) * 257), encoded(reference, "BMP"), encoded(reference, "TIFF"),
        encoded(reference, "WEBP", lossless=True), encoded(reference, "JPEG"),
    ):  # fmt: skip
        found = service.post({"reference": ("a", encoded(distorted)), "distorted": ("b", data)})
        assert found.status == 200, found.body


def test_the_model_is_told() -> None:
    about = {"model": "tiny", "fingerprint": "ab" * 32, "calibration": "lab"}
    with serving.running(serving.Judge(), Settings(about=about, max_upload=5 << 20)) as found:
        told = found.ask("GET", "/api/model").json
    assert {key: told[key] for key in about} == about
    assert told["limits"]["bytes"] == 5 << 20
    assert told["stride"] in told["strides"]
    assert told["pixq"] == pixq.__version__


def test_a_picture_for_browsers_that_cannot_show_it(service: Service) -> None:
    reference, _ = serving.pair()
    found = service.post({"image": ("a.tif", encoded(reference, "TIFF"))}, "/api/picture")
    assert found.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.body))), reference)
    deep = np.array([[0, 128, 129, 257, 65535]] * 20, dtype=np.uint16)
    found = service.post({"image": ("a.png", encoded(deep))}, "/api/picture")
    assert np.asarray(Image.open(io.BytesIO(found.body)))[0, :, 0].tolist() == [0, 0, 1, 1, 255]
    refused(service.post({"image": ("a.tif", b"no image")}, "/api/picture"), 422, "a.tif: is not a PNG")


@pytest.mark.slow
def test_a_trained_run_by_the_command_line(trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pixq", "serve", str(trained), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", url)
        assert match is not None
        there = Service(int(match[1]))
        reference, distorted = serving.pair()
        told = there.post(serving.files()).json
        expected = pixq.load(trained).map(reference, distorted)
        assert np.array_equal(np.float32(told["patches"]["quality"]), expected.quality.ravel())
        assert told["patches"]["class"] == expected.classes.ravel().tolist()
        about = there.ask("GET", "/api/model").json
        info = json.loads((trained / "run.json").read_text())
        assert about["fingerprint"] == info["files"]["model.safetensors"]["blake3"]
        assert (about["model"], about["calibration"]) == ("tiny", None)
        taken = built.mistake(built.pixq("serve", trained, "--port", match[1]))
        assert f"127.0.0.1:{match[1]}: Address already in use" in taken
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert err == "pixq: press Ctrl-C to stop\npixq: interrupted\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "--port is 70000; give a whole number from 0 to 65535"),
        (["--max-upload", "0"], "--max-upload is 0; give a number above 0 and up to 4096"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
        (["--calibration", "lab"], "has no calibration"),
    ],
)
def test_mistakes_are_one_line(trained: Path, options: list[str], words: str) -> None:
    assert words in built.mistake(built.pixq("serve", trained, *options))


@pytest.mark.slow
def test_without_the_extra_one_line_says_what_to_install(trained: Path, tmp_path: Path) -> None:
    for package in ("starlette", "uvicorn", "python_multipart"):
        code = f"import sys; sys.modules[{package!r}] = None; from pixq.cli import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", str(trained)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr == f"pixq: {package} is not installed; install it with: pip install 'pixq[serve]'\n"


@pytest.mark.slow
def test_the_verb_imports_nothing_before_it_is_called() -> None:
    code = "import sys, pixq.cli.serve; print(*{'starlette', 'uvicorn', 'torch', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
