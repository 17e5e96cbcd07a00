"""`pixq demo`: its photographs, its commands, and, whole, its patch set."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pixq.cli import main
from pixq.distort.demo import LADDERS, PHOTOGRAPHS, demo_references, run_demo
from pixq.errors import PixqError

IMAGES = len(PHOTOGRAPHS) * sum(map(len, LADDERS.values()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("work") / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    return out


def whole(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_photographs_are_colour_and_small_and_differ() -> None:
    references = demo_references()
    assert len(references) == len(PHOTOGRAPHS) >= 5  # so that no split is empty
    for name, pixels in references.items():
        assert pixels.dtype == np.uint8, name
        assert pixels.shape[2] == 3, name
        assert min(pixels.shape[:2]) > 20 * 4, name
        assert pixels.shape[0] <= 384, name
        assert pixels.shape[1] <= 512, name
        assert (pixels[..., 0] != pixels[..., 2]).any(), name
    assert len({pixels.tobytes() for pixels in references.values()}) == len(references)


def test_photographs_are_cut_about_their_centre() -> None:
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.submodule_search_locations is not None
    with Pillow.open(Path(found.submodule_search_locations[0]) / "data" / "coffee.png") as photograph:
        pixels = np.array(photograph)
    assert pixels.shape == (400, 600, 3)
    np.testing.assert_array_equal(demo_references()["coffee"], pixels[8:392, 44:556])


@pytest.mark.slow
def test_photographs_are_read_without_scikit_image_itself() -> None:
    code = """
import sys
from pixq.distort.demo import demo_references
demo_references()
print('skimage' in sys.modules, 'scipy' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_ladders_pass_the_jianjin008_filter() -> None:
    assert {len(levels) for levels in LADDERS.values()} == {1, 2, 3}


@pytest.mark.slow
def test_it_runs_the_main_job_and_says_what_to_do_next(tmp_path: Path) -> None:
    calls: list[Sequence[str]] = []
    said: list[str] = []

    def run(arguments: Sequence[str]) -> int:
        calls.append(arguments)
        return 0

    out = tmp_path / "a demo"
    assert run_demo(out, run, said.append) == 0
    dataset, patches = str(out / "dataset"), str(out / "patches")
    pair = [str(out / "dataset" / name) for name in ("ref_img/I01.png", "jnd_img/I01_10_03.png")]
    assert all(Path(file).exists() for file in pair)
    assert calls == [
        ["build-patches", "--dataset", "jianjin008", "--root", dataset, "--out", patches],
        ["show", patches, "--out", str(out / "sheet.png")],
        ["predict", *pair, "--side", str(out / "map.png")],
    ]
    assert f"{IMAGES} distorted images of {len(PHOTOGRAPHS)} photographs, written" in said[0]
    assert "synthetic" in said[0]
    assert f"pixq verify '{patches}'" in said[-1]  # quoted: its path has a space
    assert "pixq build-patches --dataset tid2013" in said[-1]
    assert len((out / "dataset" / "mos.txt").read_text().splitlines()) == IMAGES
    said.clear()
    assert run_demo(out, run, said.append) == 0
    assert "there already" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["build-patches", "show"])
def test_a_failing_command_ends_it_with_its_code(failing: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "dataset", tmp_path / "dataset")
    said: list[str] = []
    assert run_demo(tmp_path, lambda arguments: 3 if arguments[0] == failing else 0, said.append) == 3
    assert said[-1].startswith(f"\n$ pixq {failing}")


def test_without_scikit_image_it_names_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    message = capsys.readouterr().err
    assert message == "pixq: the demo needs the photographs of scikit-image: pip install 'pixq[demo]'\n"
    assert not (tmp_path / "demo").exists()


def test_a_scikit_image_without_a_photograph_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    with pytest.raises(PixqError, match=r"this scikit-image lacks .*astronaut\.png"):
        demo_references()


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mos.txt").write_text("I01_01_01.png 0.9\n")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "dataset: holds something that pixq did not make" in capsys.readouterr().err


@pytest.mark.slow
def test_whole_demo_marks_its_labels_as_synthetic(made: Path) -> None:
    manifest = (made / "patches" / "manifest.json").read_text()
    assert '"synthetic": true' in json.dumps(json.loads(manifest))
    assert "No person gave these scores" in manifest


@pytest.mark.slow
def test_whole_demo_fills_every_split(made: Path) -> None:
    images = [json.loads(line) for line in (made / "patches" / "images.jsonl").read_text().splitlines()]
    assert {image["split"] for image in images} == {"train", "validation", "test"}


@pytest.mark.slow
def test_whole_demo_shows_a_contact_sheet(made: Path) -> None:
    with Pillow.open(made / "sheet.png") as sheet:
        pixels = np.array(sheet.convert("RGB"))
    assert min(pixels.shape[:2]) > 100
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


@pytest.mark.slow
def test_whole_demo_run_again_changes_nothing(made: Path) -> None:
    before = whole(made / "patches")
    assert main(["demo", "--out", str(made)]) == 0
    assert whole(made / "patches") == before


@pytest.mark.slow
def test_whole_demo_goes_on_after_its_patch_set_is_gone(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "demo"
    shutil.copytree(made / "dataset", copy / "dataset")
    assert main(["demo", "--out", str(copy)]) == 0
    again, first = whole(copy / "patches"), whole(made / "patches")
    assert {n for n in again if n.startswith("shard")} == {n for n in first if n.startswith("shard")}
    assert all(again[n] == first[n] for n in again if n.startswith("shard"))
