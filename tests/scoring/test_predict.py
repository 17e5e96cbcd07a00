"""`Scorer.map` and `pixq predict`: what is said of images, of files and of folders, and of what can't be compared."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pixq.classes import GREEN, NAMES, classify
from pixq.decisions.calibration_file import add_calibration, get_calibration
from pixq.decisions.pjnd_cuts import PjndCuts, write_cuts
from pixq.errors import PixqError
from pixq.patches.store import PatchSet
from pixq.predict import decoding
from pixq.predict.decoding import MIB, open_pair, plan
from pixq.predict.json_file import read_prediction
from pixq.predict.outputs import Outputs, write
from pixq.predict.pairs import Pair, pairs
from pixq.predict.predict import _Work, predict
from pixq.predict.resume_log import LEDGER
from pixq.schemas import schema
from pixq.scoring.grid import Grid
from pixq.scoring.scorer import Scorer, load
from pixq.serve.service import about
from support import trees
from support.built import Run, digest, pixq
from support.built import mistake as cli_mistake

Bytes = NDArray[np.uint8]
SIZE = (67, 91)
REFERENCE = trees.photo(3, SIZE)
DISTORTED = trees.distorted(REFERENCE, 1, 3)


@pytest.fixture(scope="session")
def scorer(trained: Path) -> Scorer:
    return load(trained)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    trees.save(tmp_path / "clean.png", REFERENCE)
    trees.save(tmp_path / "noisy.bmp", DISTORTED)
    return tmp_path / "clean.png", tmp_path / "noisy.bmp"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four pairs, one of them in a folder, two under other endings."""
    names = (("a.png", "a.png"), ("b.png", "b.bmp"), ("deep/c.png", "deep/c.png"), ("D.png", "d.bmp"))
    for number, (first, second) in enumerate(names):
        clean = trees.photo(number, SIZE)
        trees.save(tmp_path / "clean" / first, clean)
        trees.save(tmp_path / "noisy" / second, trees.distorted(clean, number, number + 1))
    return tmp_path / "clean", tmp_path / "noisy"


def same(a: Any, b: Any) -> None:
    for name in ("score", "quality", "classes", "identical"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.grid, a.pooled, a.cuts, a.calibration) == (b.grid, b.pooled, b.cuts, b.calibration)


# Maps.


def test_equal_images_are_green(scorer: Scorer) -> None:
    found = scorer.map(REFERENCE, REFERENCE.copy(), stride=7)
    assert (found.classes == GREEN).all()
    assert found.identical.all()
    assert (found.quality == 1).all()
    assert np.isposinf(found.score).all()
    verdict = found.verdict
    assert (verdict.quality, verdict.worst, verdict.shares, verdict.identical) == (
        1,
        1,
        {"Red": 0, "Orange": 0, "Green": 1},
        1,
    )
    assert scorer.score(REFERENCE, REFERENCE) == 1.0


@settings(max_examples=30)
@given(st.integers(0, SIZE[0] - 6), st.integers(0, SIZE[1] - 6), st.integers(1, 20), st.booleans())
def test_a_defect_changes_the_patches_that_cover_it_and_no_other(
    scorer: Scorer, y: int, x: int, stride: int, noisy: bool
) -> None:
    before = DISTORTED if noisy else REFERENCE
    after = before.copy()
    after[y : y + 6, x : x + 6] ^= 0x55
    first, second = (scorer.map(REFERENCE, image, stride=stride) for image in (before, after))
    covers = np.array([y - 20 < top < y + 6 and x - 20 < left < x + 6 for top, left in first.grid.corners.tolist()])
    assert covers.any()
    changed = (first.score != second.score).ravel()
    assert not changed[~covers].any()
    # A patch that has a pixel of it may get the very score that it had, and not many do.
    assert changed[covers].mean() > 0.5 or covers.sum() < 9
    if not noisy:
        np.testing.assert_array_equal(~second.identical.ravel(), covers)
        assert (second.classes.ravel()[~covers] == GREEN).all()


def test_a_score_and_classes_are_those_of_the_map(scorer: Scorer) -> None:
    found = scorer.map(REFERENCE, DISTORTED, stride=9)
    assert scorer.score(REFERENCE, DISTORTED, stride=9) == found.pooled
    np.testing.assert_array_equal(scorer.classify(REFERENCE, DISTORTED, stride=9), found.classes)
    np.testing.assert_array_equal(found.classes, classify(found.quality))
    assert found.grid == Grid(*SIZE, 20, 9)
    assert (found.unsure, found.calibration) == (None, None)
    assert found.pooled == pytest.approx(float(found.quality.mean()), abs=1e-6)
    told: list[tuple[int, int]] = []
    half = DISTORTED.copy()
    half[:40] = REFERENCE[:40]
    again = scorer.map(REFERENCE, half, watch=lambda done, total: told.append((done, total)))
    assert 0 < again.identical.mean() < 1
    assert told[0] == (0, again.score.size)
    assert told[-1] == (again.score.size, again.score.size)


def test_a_map_is_the_same_for_any_number_of_threads(scorer: Scorer, restore_threads: None) -> None:
    from pixq import set_num_threads

    large, other = (np.tile(image, (4, 4, 1)) for image in (REFERENCE, DISTORTED))
    maps = []
    for threads in (1, 2, 5):
        set_num_threads(threads)
        maps.append(scorer.map(large, other, stride=5))
    same(maps[0], maps[1])
    same(maps[0], maps[2])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_any_kind(scorer: Scorer, dtype: type[Any]) -> None:
    wide = 257 if dtype == np.uint16 else 1
    expected = scorer.map(REFERENCE, DISTORTED)
    r, d = (image.astype(dtype) * dtype(wide) for image in (REFERENCE, DISTORTED))
    frozen = d.copy()
    frozen.flags.writeable = False
    for other in (
        d, frozen, np.asfortranarray(d), np.repeat(d, 2, axis=1)[:, ::2], np.repeat(d, 3, axis=0)[::3],
        d[::-1].copy()[::-1], d[:, ::-1].copy()[:, ::-1], d[..., ::-1].copy()[..., ::-1],
    ):  # fmt: skip
        np.testing.assert_array_equal(other, d)
        same(scorer.map(r, other), expected)
    # One may be deeper than the other: both come to 8 bits.
    same(scorer.map(REFERENCE, d), expected)
    grey = [image[..., 0] for image in (r, d)]
    three = [np.repeat(image[..., :1], 3, axis=2) for image in (REFERENCE, DISTORTED)]
    same(scorer.map(*grey), scorer.map(*three))
    same(scorer.map(*(image[..., None] for image in grey)), scorer.map(*three))


def test_sixteen_bits_are_rounded(scorer: Scorer) -> None:
    noise = np.random.default_rng(0).integers(-128, 129, (*SIZE, 3))
    deep = np.clip(REFERENCE.astype(np.int64) * 257 + noise, 0, 65535).astype(np.uint16)
    found = scorer.map(deep, DISTORTED)
    same(found, scorer.map(REFERENCE, DISTORTED))
    # What differs in finer steps alone is identical, and whoever reads the JSON can know that.
    assert scorer.map(deep, REFERENCE).identical.all()
    said = schema("prediction")["properties"]
    for part in (said["image"], said["patches"]):
        assert "at 8 bits" in part["properties"]["identical"]["description"]


def test_wrong_images(scorer: Scorer) -> None:
    for bad, error, expected in (
        (REFERENCE.astype(np.float32), TypeError, "'reference' has dtype float32; expected uint8 or uint16"),
        (REFERENCE.tolist(), TypeError, "'reference' has dtype list; expected uint8 or uint16"),
        (REFERENCE[None], ValueError, r"'reference' has shape \(1, 67, 91, 3\); expected \(height, width, 3\)"),
        (np.zeros((*SIZE, 4), np.uint8), ValueError, r"'reference' has shape \(67, 91, 4\); expected"),
        (
            REFERENCE[:60],
            ValueError,
            r"'reference' has shape \(60, 91, 3\), 'distorted' \(67, 91, 3\); make them equal",
        ),
        (
            REFERENCE[..., 0],
            ValueError,
            r"'reference' has shape \(67, 91\), 'distorted' \(67, 91, 3\); make them equal",
        ),
    ):
        with pytest.raises(error, match=expected):
            scorer.map(bad, DISTORTED)
    for empty in (np.zeros((0, 30, 3), np.uint8), np.zeros((30, 0, 3), np.uint8), REFERENCE[:19]):
        with pytest.raises(PixqError, match="a patch takes 20x20: give a larger image"):
            scorer.map(empty, empty)
    for stride in (0, 21, -3):
        with pytest.raises(PixqError, match=f"the stride {stride} is not 1 to 20"):
            scorer.map(REFERENCE, DISTORTED, stride=stride)


# Calibrations.


def test_a_calibration_makes_the_classes(run: Path, target: PatchSet) -> None:
    options = ("--resamples", "100", "--device", "cpu", "--coverage", "0.8")
    assert pixq("calibrate", run, "--target", target.directory, *options).code == 0
    calibration = get_calibration(run)
    half = DISTORTED.copy()
    half[:40] = REFERENCE[:40]
    found = load(run).map(REFERENCE, half)
    assert (found.calibration, found.cuts) == (calibration.name, calibration.cuts.values)
    np.testing.assert_array_equal(found.classes, classify(found.score, calibration.cuts.values))
    # As the calibration's author has it: a set that has not exactly one class, unless the patch is equal.
    assert calibration.conformal is not None
    sets = calibration.conformal.sets
    members = sets.of(calibration.mapping.mapping.probabilities(found.score.ravel()))
    unsure = (members.sum(axis=1) != 1).reshape(found.grid.shape) & ~found.identical
    assert found.unsure is not None
    np.testing.assert_array_equal(found.unsure, unsure)
    assert found.identical.any()
    assert (found.classes[found.identical] == GREEN).all()

    # A set without any class is no answer either.
    strict = calibration.conformal.model_copy(update={"threshold": (0.0, 0.0, 0.0)})
    add_calibration(run, calibration.model_copy(update={"conformal": strict}))
    empty = load(run).map(REFERENCE, half)
    chances = calibration.mapping.mapping.probabilities(found.score.ravel()).reshape(*found.grid.shape, 3)
    assert (chances.max(axis=2) < 1)[~found.identical].any()
    np.testing.assert_array_equal(empty.unsure, (chances.max(axis=2) < 1) & ~found.identical)

    add_calibration(run, calibration.model_copy(update={"name": "second", "conformal": None}))
    with pytest.raises(PixqError, match="holds several calibrations; choose one of"):
        load(run).map(REFERENCE, half)
    # Patches need none.
    assert load(run).quality(REFERENCE[None], half[None]).shape == (1,)
    second = load(run, calibration="second").map(REFERENCE, half)
    assert (second.calibration, second.unsure) == ("second", None)
    np.testing.assert_array_equal(second.classes, found.classes)
    with pytest.raises(PixqError, match="unknown calibration 'third'"):
        load(run, calibration="third")
    other = calibration.model.model_copy(update={"blake3": "0" * 64})
    add_calibration(run, calibration.model_copy(update={"name": "other", "model": other}))
    with pytest.raises(PixqError, match="calibration other was made for different weights; run `pixq calibrate` again"):
        load(run, calibration="other")


# Which file goes with which.


def names(folder: Path, *some: str) -> Path:
    for name in some:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_are_matched_by_name_then_stem_then_in_any_case(tmp_path: Path) -> None:
    clean = names(
        tmp_path / "r", "a.png", "a.jpg", "b.PNG", "deep/c.png", "C.png", "e.v2.png", "f.png", ".hidden.png",
        ".git/x.png", "notes.txt",
    )  # fmt: skip
    noisy = names(
        tmp_path / "d", "a.jpg", "a.png", "b.webp", "deep/C.jpg", "c.tif", "e.v2.jpg", "e.v1.jpg", "table.csv"
    )
    found = pairs(clean, noisy)
    assert [
        (each.reference.relative_to(clean).as_posix(), each.distorted.relative_to(noisy).as_posix(), each.name)
        for each in found.pairs
    ] == [
        ("a.jpg", "a.jpg", "a.jpg"),
        ("a.png", "a.png", "a.png"),
        ("b.PNG", "b.webp", "b"),
        ("C.png", "c.tif", "c"),
        ("deep/c.png", "deep/C.jpg", "deep/C"),
        ("e.v2.png", "e.v2.jpg", "e.v2"),
    ]
    assert found.alone == (clean / "f.png", noisy / "e.v1.jpg")
    assert (found.other, found.folder) == (2, True)


@pytest.mark.parametrize(
    ("references", "images", "expected"),
    [
        (
            ("a.png", "a.bmp"),
            ("a.jpg",),
            "r: a.bmp, a.png could all go with a.jpg; keep one of them, or name files alike",
        ),
        (("a.png",), ("a.jpg", "a.webp"), "d: a.jpg, a.webp could all go with a.png; keep one of them"),
        (("A.png", "a.bmp"), ("a.jpg", "b.png"), None),
        (("Ab.png", "aB.png"), ("ab.png",), "r: Ab.png, aB.png could all go with ab.png"),
        (("a.png",), ("b.png",), "no image in it has the name of one in .*r; give folders whose files are named alike"),
        (("a.png",), ("a.txt",), "no image in it has the name of one in"),
    ],
)
def test_what_could_go_with_several_is_an_error(
    tmp_path: Path, references: tuple[str, ...], images: tuple[str, ...], expected: str | None
) -> None:
    clean, noisy = names(tmp_path / "r", *references), names(tmp_path / "d", *images)
    if expected is None:
        # The name that is the same to the letter goes first.
        found = pairs(clean, noisy)
        assert [each.reference.name for each in found.pairs] == ["a.bmp"]
        assert [path.name for path in found.alone] == ["A.png", "b.png"]
        return
    with pytest.raises(PixqError, match=expected) as caught:
        pairs(clean, noisy)
    assert "\n" not in str(caught.value)


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    clean, noisy = names(tmp_path, "r.png"), names(tmp_path / "d", "2.png", "10.png", "x/1.jpg")
    found = pairs(clean / "r.png", noisy)
    assert [each.name for each in found.pairs] == ["10", "2", "x/1"]
    assert {each.reference for each in found.pairs} == {clean / "r.png"}
    assert pairs(clean / "r.png", noisy / "2.png").pairs == (Pair(clean / "r.png", noisy / "2.png", "2"),)
    for first, second, expected in (
        (noisy, clean / "r.png", "d: is a folder, and .*r.png a file; give two files, or two folders"),
        (clean / "gone.png", noisy, "gone.png: there is no such file or folder"),
        (clean / "r.png", tmp_path / "gone", "gone: there is no such file or folder"),
        (clean / "r.png", names(tmp_path / "empty", ".hidden.png"), "empty: holds no image"),
    ):
        with pytest.raises(PixqError, match=expected):
            pairs(first, second)


def test_the_reference_may_lie_among_the_distorted(tmp_path: Path) -> None:
    folder = names(tmp_path / "d", "clean.png", "noisy.png")
    found = pairs(folder / "clean.png", folder)
    assert ([each.name for each in found.pairs], found.alone) == (["noisy"], ())
    (folder / "noisy.png").unlink()
    with pytest.raises(PixqError, match="d: holds no image but the reference"):
        pairs(folder / "clean.png", folder)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (("x.jpg", "x.png", "x.png.bmp"), ["x.jpg", "x.png", "x.png.bmp"]),
        (("X.PNG.bmp", "x.jpg", "x.png"), ["X.PNG.bmp", "x.jpg", "x.png"]),
        (("A.png", "a.png"), ["A.png", "a.png"]),
        (("x.png", "x.png.bmp"), ["x", "x.png"]),
        (
            ("a.png", "a.png.png", "a.png.png.jpg", "a.tif"),
            ["a.png", "a.png.png", "a.png.png.jpg", "a.tif"],
        ),
    ],
)
def test_no_two_pairs_have_one_output(tmp_path: Path, images: tuple[str, ...], expected: list[str]) -> None:
    found = pairs(names(tmp_path, "r.png") / "r.png", names(tmp_path / "d", *images))
    assert [each.name for each in found.pairs] == expected


# Files, and memory.


def test_files_give_the_map_of_their_pixels(scorer: Scorer, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "all.json"
    report = predict(scorer, *pair, Outputs(json=out), stride=9)
    made = read_prediction(out)
    expected = scorer.map(REFERENCE, DISTORTED, stride=9)
    same(made.map, expected)
    assert (made.reference, made.distorted) == tuple(map(str, pair))
    assert (made.model.name, made.model.blake3) == ("tiny", scorer.blake3)
    assert made.warnings[0].startswith("there is no calibration")
    (result,) = report.results
    assert (result.verdict, result.before) == (expected.verdict, False)


def test_little_memory_gives_the_same_bytes(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (900, 1100, 3), dtype=np.uint8)
    trees.save(tmp_path / "a.png", large)
    trees.save(tmp_path / "b.png", trees.distorted(large, 1, 2))
    monkeypatch.setattr(decoding, "_WORK", MIB)
    both = Pair(tmp_path / "a.png", tmp_path / "b.png", "b")
    planned = plan(both, 20, 10)
    # 900 * 1100 * 3 bytes, and the file.
    assert planned.decoding == tuple(2_970_000 + path.stat().st_size for path in (both.reference, both.distorted))
    assert planned.held == 5_940_000
    assert MIB < planned.work < 3 * MIB
    mapped = open_pair(planned, planned.apart)
    assert len(mapped.maps) == 2
    assert not open_pair(planned, planned.together).maps
    mapped.release()
    np.testing.assert_array_equal(mapped.reference, large)
    outs = []
    assert plan(both, 20, 10, listed=True).apart < 13 * MIB < plan(both, 20, 10, listed=True).together
    for memory in (13, 2048):
        out = tmp_path / f"{memory}.json"
        predict(scorer, both.reference, both.distorted, Outputs(json=out), memory=memory)
        outs.append(out.read_bytes())
    assert outs[0] == outs[1]
    least = -(-planned.apart // MIB)
    with pytest.raises(PixqError, match=rf"a.png: takes {least} MiB to decode and compare; give a --memory of as many"):
        predict(scorer, both.reference, both.distorted, memory=least - 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(PixqError, match="gone: No such file or directory; make room for 3 MiB, set TMPDIR"):
        predict(scorer, both.reference, both.distorted, memory=9)


def test_what_is_decoded_ahead_takes_what_memory_is_left(
    scorer: Scorer, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[int] = []
    real = _Work.prepare

    def prepare(self: _Work, pair: Pair, left: int) -> Any:
        free.append(left)
        return real(self, pair, left)

    monkeypatch.setattr(_Work, "prepare", prepare)
    first, *_ = pairs(*folders).pairs
    planned = plan(first, 20, 10)
    predict(scorer, *folders, memory=500)
    assert free == [500 * MIB] + [500 * MIB - planned.held - planned.work] * 3
    # Of little memory, none is left to decode ahead with; the pairs are the same.
    least = -(-planned.together // MIB)
    monkeypatch.setattr(_Work, "prepare", lambda self, pair, left: _alone(real(self, pair, left), left, least))
    assert len(predict(scorer, *folders, memory=least).results) == 4


def _alone(ready: Any, left: int, least: int) -> Any:
    assert (ready.opened is not None) == (left == least * MIB)
    return ready


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is of Linux")
def test_memory_stays_bounded(trained: Path, tmp_path: Path) -> None:
    """What a pair takes on top of Python is what it was allowed, and little more for the allocator."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    large = np.tile(tile, (5, 6, 1))
    for number, image in enumerate((large, np.roll(large, 1, axis=1))):
        Image.fromarray(image).save(tmp_path / f"{number}.bmp")
    # Not ru_maxrss, which begins with what the parent process had.
    code = (
        "import sys\nfrom pathlib import Path\nfrom pixq.predict.predict import predict\n"
        "from pixq.scoring.scorer import load\nscorer = load(sys.argv[1])\n"
        "peak = lambda: int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "before = peak()\npredict(scorer, Path(sys.argv[2]), Path(sys.argv[3]), memory=int(sys.argv[4]))\n"
        "print((peak() - before) // 1024)"
    )

    def grown(memory: int) -> int:
        command = [sys.executable, "-c", code, trained, tmp_path / "0.bmp", tmp_path / "1.bmp", str(memory)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # Two images of 86 MiB.
    assert grown(2048) > 172
    assert grown(340) < 340


@pytest.mark.parametrize("name", ["json", "csv"])
def test_memory_counts_what_lists_every_patch(
    scorer: Scorer, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    large = [np.tile(image, (5, 5, 1)) for image in (REFERENCE, DISTORTED)]
    for path, image in zip(pair, large, strict=True):
        trees.save(path, image)
    opened = open_pair(plan(Pair(*pair, "a"), 20, 1), 1 << 30)
    found = scorer.map(*large, stride=1)
    outputs = Outputs(**{name: tmp_path / f"out.{name}"})
    before = found.verdict  # NumPy's own first time is not the patches'
    tracemalloc.start()
    try:
        write(found, opened, Pair(*pair, "a"), scorer, outputs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert before == found.verdict
    bare, planned = (plan(Pair(*pair, "a"), 20, 1, listed=listed) for listed in (False, True))
    counted = planned.work - bare.work
    assert 0.4 * counted < peak < counted
    # Where only that is too much, only that is refused.
    monkeypatch.setattr(decoding, "_WORK", 0)
    few = plan(Pair(*pair, "a"), 20, 1).together // MIB + 1
    predict(scorer, *pair, stride=1, memory=few)
    with pytest.raises(PixqError, match="MiB to decode and compare; give a --memory of as many"):
        predict(scorer, *pair, outputs, stride=1, memory=few)


@pytest.mark.parametrize(
    ("kind", "options", "times"),
    [
        ("PNG", {}, 1.0), ("BMP", {}, 1.0), ("TIFF", {}, 1.0), ("JPEG", {}, 1.0), ("JPEG", {"progressive": True}, 3.0),
        ("WEBP", {}, 2.5), ("JPEG", {"comment": b"\xff\xc2" * 9}, 1.0), ("JPEG", {"turned": 6}, 2.0),
    ],
)  # fmt: skip
def test_what_decoding_takes(kind: str, options: dict[str, Any], times: float, tmp_path: Path) -> None:
    options = dict(options)
    exif = Image.Exif()
    if (turned := options.pop("turned", None)) is not None:
        exif[0x112] = turned
    path = corrupt(tmp_path / "file", encoded(Image.fromarray(REFERENCE), kind, exif=exif, **options))
    planned = plan(Pair(path, path, "file"), 20, 10)
    assert planned.decoding == (int(times * REFERENCE.size) + path.stat().st_size,) * 2


def corrupt(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_files_that_can_not_be_compared(scorer: Scorer, pair: tuple[Path, Path], tmp_path: Path) -> None:
    clean, _ = pair
    picture = Image.fromarray(DISTORTED)
    whole = encoded(picture, "PNG")
    frames = {"save_all": True, "append_images": [picture.rotate(180)]}
    bad = {
        "alpha.png": (encoded(picture.convert("RGBA"), "PNG"), "has an alpha channel; flatten it first"),
        "cut.png": (whole[: len(whole) // 2], "cut.png: .+"),
        "cut.jpg": (encoded(picture, "JPEG")[:-400], "cut.jpg: .+"),
        "empty.png": (b"", "empty.png: .+"),
        "text.png": (b"not an image at all", "is not a PNG, JPEG, BMP, WebP or TIFF image"),
        "cmyk.jpg": (encoded(picture.convert("CMYK"), "JPEG"), "cmyk.jpg: .*CMYK"),
        "moves.webp": (encoded(picture, "WEBP", **frames), "moves.webp: .*anim"),
        "small.png": (
            encoded(picture.crop((0, 0, 30, 19)), "PNG"),
            "has 91x67 pixels, .*small.png 30x19; give two images",
        ),
        "turned.png": (
            encoded(picture.rotate(90, expand=True), "PNG"),
            "clean.png: has 91x67 pixels, .*turned.png 67x91",
        ),
    }
    for name, (data, expected) in bad.items():
        path = corrupt(tmp_path / name, data)
        with pytest.raises(PixqError, match=expected) as caught:
            predict(scorer, clean, path)
        line = str(caught.value)
        assert "\n" not in line
        assert name in line
    small = corrupt(tmp_path / "small.png", bad["small.png"][0])
    with pytest.raises(
        PixqError, match=r"small.png: the image has 30x19 pixels; a patch takes 20x20: give a larger image"
    ):
        predict(scorer, small, small)


def test_grey_and_deep_files(scorer: Scorer, tmp_path: Path) -> None:
    grey = [np.ascontiguousarray(image[..., 1]) for image in (REFERENCE, DISTORTED)]
    Image.fromarray(grey[0]).save(tmp_path / "r.png")
    Image.fromarray(grey[1].astype(np.uint16) * 257).save(tmp_path / "d.png")
    report = predict(scorer, tmp_path / "r.png", tmp_path / "d.png")
    assert report.results[0].verdict == scorer.map(*grey).verdict


# Folders.


def test_a_folder_is_as_its_pairs_alone(scorer: Scorer, folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = {name: tmp_path / name for name in ("map", "heat", "side", "values", "json")}
    report = predict(scorer, *folders, Outputs(**out, csv=tmp_path / "all.csv"))  # type: ignore[arg-type]
    assert [each.pair.name for each in report.results] == ["a", "b", "d", "deep/c"]
    assert not report.failed
    assert not report.matched.alone
    alone = tmp_path / "alone"
    for each in report.results:
        one = Outputs(*(alone / name / f"{each.pair.name}{end}" for name, end in zip(out, ENDS, strict=True)))
        (result,) = predict(scorer, each.pair.reference, each.pair.distorted, one).results
        assert result.verdict == each.verdict
    (tmp_path / "json" / LEDGER).unlink()
    for name in out:
        assert digest(tmp_path / name) == digest(alone / name)
        assert len(digest(alone / name)) == 4
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["distorted"]).name for row in rows] == ["a.png", "b.bmp", "d.bmp", "c.png"]
    for row, each in zip(rows, report.results, strict=True):
        assert float(row["quality"]) == each.verdict.quality
        assert [float(row[f"share_{name.lower()}"]) for name in NAMES] == list(each.verdict.shares.values())


ENDS = (".png", ".png", ".png", ".npy", ".json")


def test_a_bad_pair_does_not_stop_the_others(scorer: Scorer, folders: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = folders
    (noisy / "b.bmp").write_bytes(b"BM")
    trees.save(noisy / "deep" / "c.png", DISTORTED[:50])
    trees.save(noisy / "zz.png", DISTORTED)
    said: list[str] = []
    report = predict(scorer, clean, noisy, note=said.append)
    assert [each.pair.name for each in report.results] == ["a", "d"]
    assert report.failed == tuple(said)
    assert len(said) == 2
    assert "b.bmp: " in said[0]
    assert "c.png 91x50; give two images of one size" in said[1]
    assert report.matched.alone == (noisy / "zz.png",)
    for path in noisy.rglob("*.*"):
        path.write_bytes(b"")
    with pytest.raises(PixqError, match=r"noisy: none of its 4 pairs can be compared; the first: .*a.png: "):
        predict(scorer, clean, noisy)


def test_going_on(run: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, noisy = folders
    outputs = Outputs(map=tmp_path / "map", json=tmp_path / "json", csv=tmp_path / "all.csv")
    scored: list[int] = []
    real = Scorer.map

    def counted(self: Scorer, *arguments: Any, **options: Any) -> Any:
        scored.append(1)
        return real(self, *arguments, **options)

    def again(expected: int, **options: Any) -> None:
        scored.clear()
        report = predict(load(run), clean, noisy, options.pop("outputs", outputs), **options)
        assert len(scored) == expected
        assert [each.before for each in report.results].count(False) == expected

    monkeypatch.setattr(Scorer, "map", counted)
    again(4)
    files = digest(tmp_path / "map") | digest(tmp_path / "json")
    table = (tmp_path / "all.csv").read_bytes()
    again(0)
    assert (tmp_path / "all.csv").read_bytes() == table
    # Any output or input that is another, and that pair alone, is made anew.
    (tmp_path / "map" / "a.png").unlink()
    again(1)
    (tmp_path / "json" / "b.json").write_text("{}", encoding="utf-8")
    again(1)
    (tmp_path / "map" / "b.png").write_bytes(b"other")
    again(1)
    ledger = tmp_path / "json" / LEDGER
    done = [line for line in ledger.read_text(encoding="utf-8").splitlines() if line]
    ledger.write_text("\n".join(done[:4])[:-30], encoding="utf-8")
    again(1)
    ledger.write_text('{"pair": 1\n[]\n{"pair": "a", "made": {}, "outputs": 3}\n', encoding="utf-8")
    again(4)
    again(0)
    found = digest(tmp_path / "map") | digest(tmp_path / "json")
    assert {name: sums for name, sums in found.items() if name != LEDGER} == {
        name: sums for name, sums in files.items() if name != LEDGER
    }
    before = (noisy / "a.png").read_bytes()
    trees.save(noisy / "a.png", DISTORTED)
    again(1)
    (noisy / "a.png").write_bytes(before)
    again(1)
    # Another stride, colours, or calibration: everything.
    again(4, stride=11)
    again(4)
    again(4, outputs=Outputs(map=outputs.map, json=outputs.json, safe=True))
    # What is not asked for need not be there.
    again(0, outputs=Outputs(json=outputs.json, safe=True))
    # Other weights, or a name under which the JSON would list it.
    shutil.copytree(noisy, tmp_path / "moved")
    again(4)
    scored.clear()
    predict(load(run), clean, tmp_path / "moved", outputs)
    assert len(scored) == 4


def test_a_new_calibration_is_followed(run: Path, target: PatchSet, folders: tuple[Path, Path], tmp_path: Path) -> None:
    outputs = Outputs(json=tmp_path / "json")
    assert not predict(load(run), *folders, outputs).results[0].before
    assert pixq("calibrate", run, "--target", target.directory, "--resamples", "100", "--device", "cpu").code == 0
    first = predict(load(run), *folders, outputs).results
    assert {each.before for each in first} == {False}
    assert {each.calibration for each in first} == {get_calibration(run).name}
    assert {each.before for each in predict(load(run), *folders, outputs).results} == {True}


def pjnd_cuts(scorer: Scorer, green: float) -> PjndCuts:
    return PjndCuts(
        pixq="1", blake3=scorer.blake3, share=0.05, stride=10, orange=green, green=green, low=green, high=green,
        within=1.0, sources={},
    )  # fmt: skip


def test_new_cuts_by_people_and_another_engine_are_followed(
    run: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    outputs = Outputs(json=tmp_path / "json")
    predict(load(run), *folders, outputs)
    for green in (0.4, 0.5):
        write_cuts(run, pjnd_cuts(load(run), green))
        first = predict(load(run), *folders, outputs).results
        assert {(each.before, each.calibration) for each in first} == {(False, "pjnd")}
        assert read_prediction(tmp_path / "json" / "a.json").map.cuts == (green, green)
        assert {each.before for each in predict(load(run), *folders, outputs).results} == {True}
    # Other engines round otherwise.
    again = predict(load(run, engine="torch"), *folders, outputs).results
    assert {each.before for each in again} == {False}


def test_who_decides(run: Path) -> None:
    plain = load(run)
    assert (plain.decision.name, plain.decision.scale, about(plain)["calibration"]) == (None, "quality", None)
    write_cuts(run, pjnd_cuts(plain, 0.5))
    people = load(run)
    assert (people.decision.name, people.decision.cuts) == ("pjnd", (0.5, 0.5))
    # What the page says is what its answers say.
    assert about(people)["calibration"] == people.map(REFERENCE, DISTORTED).calibration == "pjnd"
    with pytest.raises(PixqError, match="unknown calibration 'nope'; choose one of pjnd"):
        load(run, calibration="nope")
    # Another decision needs none of the run's, which may be damaged.
    (run / "pjnd.json").write_text("{}")
    with pytest.raises(PixqError, match=r"pjnd\.json"):
        load(run).map(REFERENCE, DISTORTED)
    same(load(run).with_decision(plain.decision).map(REFERENCE, DISTORTED), plain.map(REFERENCE, DISTORTED))


def test_an_interruption_says_how_to_go_on(
    scorer: Scorer, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Scorer.map
    done: list[int] = []

    def stopped(self: Scorer, *arguments: Any, **options: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return real(self, *arguments, **options)

    outputs = Outputs(json=tmp_path / "json", csv=tmp_path / "all.csv")
    monkeypatch.setattr(Scorer, "map", stopped)
    with pytest.raises(KeyboardInterrupt, match="2 of 4 pairs are done; the same command goes on"):
        predict(scorer, *folders, outputs)
    assert not (tmp_path / "all.csv").exists()
    done.clear()
    with pytest.raises(KeyboardInterrupt, match="2 of 4 pairs are done; with --json it would go on after these"):
        predict(scorer, *folders)
    monkeypatch.undo()
    assert [each.before for each in predict(scorer, *folders, outputs).results] == [True, True, False, False]
    assert len((tmp_path / "all.csv").read_text("utf-8").splitlines()) == 5


def test_outputs_that_can_not_be(
    scorer: Scorer, pair: tuple[Path, Path], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    one: list[tuple[dict[str, Path], str]] = [
        ({"map": tmp_path / "map.jpg"}, r"--map .*map.jpg: give a name that ends in .png"),
        ({"values": tmp_path / "v.png"}, r"--values .*v.png: give a name that ends in .npy or .tif or .tiff"),
        ({"csv": tmp_path / "t.txt"}, r"--csv .*t.txt: give a name that ends in .csv"),
        ({"json": tmp_path}, "--json .*: is a folder; give the name of a file"),
        ({"map": pair[0]}, r"--map .*clean.png: is one of the images; give another name"),
        (
            {"map": tmp_path / "m.png", "heat": tmp_path / "m.png"},
            r"--heat .*m.png: is what --map writes; give another name",
        ),
    ]
    many: list[tuple[dict[str, Path], str]] = [
        ({"map": tmp_path / "file.png"}, r"--map .*file.png: is a file; for folders, give the name of a folder"),
        ({"map": folders[1] / "maps"}, r"--map .*maps: lies in .*noisy, whose images are read; give another folder"),
        ({"map": tmp_path / "m", "side": tmp_path / "m"}, r"--side .*m: is what --map writes; give another name"),
        ({"csv": tmp_path}, "--csv .*: is a folder; give the name of a file"),
    ]
    for inputs, cases in ((pair, one), (folders, many)):
        for chosen, expected in cases:
            with pytest.raises(PixqError, match=expected) as caught:
                predict(scorer, *inputs, Outputs(**chosen))  # type: ignore[arg-type]
            assert "\n" not in str(caught.value)
    assert (tmp_path / "file.png").read_bytes() == b""


def test_no_output_is_an_image(scorer: Scorer, tmp_path: Path) -> None:
    trees.save(tmp_path / "q" / "a.png", REFERENCE)
    trees.save(tmp_path / "d" / "a.bmp", DISTORTED)
    reference, folder = tmp_path / "q" / "a.png", tmp_path / "d"
    before = reference.read_bytes()
    (tmp_path / "linked").symlink_to(tmp_path / "q")
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard" / "a.png").hardlink_to(reference)
    for name in ("q", "linked", "hard"):
        with pytest.raises(PixqError, match=f"--map .*{name}: .*a.png is one of the images; give another folder"):
            predict(scorer, reference, folder, Outputs(map=tmp_path / name))
        with pytest.raises(PixqError, match=r"--map .*a.png: is one of the images; give another name"):
            predict(scorer, reference, folder / "a.bmp", Outputs(map=tmp_path / name / "a.png"))
    assert reference.read_bytes() == before
    # A folder beside the reference's file is no matter.
    predict(scorer, reference, folder, Outputs(heat=tmp_path / "q" / "heat"))
    assert (tmp_path / "q" / "heat" / "a.png").exists()


def test_what_can_not_be_written_stops_a_folder(scorer: Scorer, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "b.png").mkdir()
    with pytest.raises(PixqError, match=r"map/b.png: Is a directory; free some disk space, or make it writable"):
        predict(scorer, *folders, Outputs(map=tmp_path / "map"))
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == ["a.png", "b.png"]


# The command.


def command(*arguments: object, **options: Any) -> Run:
    return pixq("predict", *arguments, **options)


def test_the_command(trained: Path, pair: tuple[Path, Path], tmp_path: Path, scorer: Scorer) -> None:
    out = {
        name: tmp_path / f"out{end}"
        for name, end in (("map", ".png"), ("values", ".tif"), ("json", ".json"), ("csv", ".csv"))
    }
    options = [text for name, path in out.items() for text in (f"--{name}", path)]
    done = command(trained, *pair, *options, "--stride", "9", "--safe-colors", "--threads", "1")
    assert done.code == 0, done.err
    found = scorer.map(REFERENCE, DISTORTED, stride=9)
    same(read_prediction(out["json"]).map, found)
    verdict = found.verdict
    lines = done.out.splitlines()
    assert lines[0] == "run: tiny (core), no calibration"
    assert lines[1].split() == ["quality", "worst", "5%", "Green", "Orange", "Red", "unsure", "identical"]
    shares = [f"{verdict.shares[name]:.1%}" for name in ("Green", "Orange", "Red")]
    assert lines[2].split() == [f"{verdict.quality:.3f}", f"{verdict.worst:.3f}", *shares, "-", "0.0%"]
    assert done.err == (
        "pixq: warning: there is no calibration: Red, Orange and Green are by quality alone; "
        "pixq calibrate sets them for a domain\n"
    )
    assert len(out["csv"].read_text("utf-8").splitlines()) == found.score.size + 1
    with Image.open(out["map"]) as picture:
        assert min(picture.size) >= max(SIZE)
    with Image.open(out["values"]) as values:
        assert values.size == SIZE[::-1]


def test_the_command_on_folders(trained: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = folders
    done = command(trained, clean, noisy, "--csv", tmp_path / "all.csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "4 pairs"
    (noisy / "b.bmp").write_bytes(b"BM")
    trees.save(clean / "lonely.png", REFERENCE)
    (noisy / "notes.txt").touch()
    done = command(trained, clean, noisy, "--json", tmp_path / "json")
    assert done.code == 1
    assert done.out.splitlines()[-1] == (
        "3 pairs; could not be compared: 1; images without a partner: 1; files that are no images: 1"
    )
    said = done.err.splitlines()
    assert "b.bmp: " in said[0]
    assert said[1] == f"pixq: {clean / 'lonely.png'}: has no partner of the same name; it was not compared"
    done = command(trained, clean, noisy, "--json", tmp_path / "json")
    assert done.code == 1
    assert done.out.splitlines()[-1].startswith("3 pairs; done before: 3; could not be compared: 1")


def test_mistakes_are_one_line(trained: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = pair
    trees.save(tmp_path / "other.png", REFERENCE[:40])
    for arguments, expected in (
        ((), "give two paths, REFERENCE DISTORTED, or three, RUN REFERENCE DISTORTED"),
        ((trained, clean, noisy, noisy), "give two paths"),
        ((trained, clean), "is a run; give two images after it: RUN REFERENCE DISTORTED"),
        ((tmp_path, clean, noisy), "holds no run.json"),
        ((trained, clean, tmp_path / "other.png"), "clean.png: has 91x67 pixels, "),
        ((trained, clean, noisy, "--memory", "0"), "--memory is 0; give at least 1"),
        ((trained, clean, noisy, "--threads", "0"), "--threads is 0; give at least 1"),
        ((trained, clean, noisy, "--stride", "0"), "the stride 0 is not 1 to 20"),
        ((trained, clean, noisy, "--engine", "magic"), "magic"),
        ((trained, clean, noisy, "--calibration", "none"), "has no calibration; pixq calibrate makes one"),
    ):
        assert expected in cli_mistake(command(*arguments))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_file_name_does_not_steer_the_terminal(trained: Path, tmp_path: Path) -> None:
    names = ("a\x1b[2J.png", "b\nc\td.png", "e\u202ef.png")
    for name in names:
        trees.save(tmp_path / "d" / name, DISTORTED)
    trees.save(tmp_path / "r" / names[0], REFERENCE)
    trees.save(tmp_path / "r" / names[1], REFERENCE)
    done = command(trained, tmp_path / "r", tmp_path / "d")
    assert done.code == 1
    rows = done.out.splitlines()
    assert [line.split()[0] for line in rows[2:4]] == [r"a\x1b[2J", r"b\nc\td"]
    assert len(rows[2]) == len(rows[3]) == len(rows[1])
    assert r"e\u202ef.png: has no partner" in done.err
    assert all(each.isprintable() for each in (done.out + done.err).replace("\n", ""))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_control_c(trained: Path, tmp_path: Path) -> None:
    large = np.tile(REFERENCE, (12, 12, 1))
    for number in range(30):
        trees.save(tmp_path / "noisy" / f"{number:02d}.bmp", np.roll(large, number + 1, axis=1))
    trees.save(tmp_path / "clean.bmp", large)
    arguments = ["predict", trained, tmp_path / "clean.bmp", tmp_path / "noisy", "--json", tmp_path / "json"]
    text = [sys.executable, "-m", "pixq", *map(str, arguments)]
    process = subprocess.Popen(text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list((tmp_path / "json").glob("*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "of 30 pairs are done; the same command goes on" in said
    done = command(*arguments[1:])
    assert done.code == 0
    assert "done before: " in done.out
    assert len(list((tmp_path / "json").glob("*.json"))) == 30
    assert json.loads((tmp_path / "json" / "00.json").read_bytes())["format"] == "pixq prediction"
