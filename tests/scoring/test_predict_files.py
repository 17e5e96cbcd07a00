"""`pixq predict` on two files: the same map in any amount of memory, and files that can't be compared."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq.errors import PixqError
from pixq.predict import decoding
from pixq.predict.decoding import MIB, open_pair, plan
from pixq.predict.json_file import read_prediction
from pixq.predict.outputs import Outputs, write
from pixq.predict.pairs import Pair, match_pairs
from pixq.predict.predict import _Work, predict
from pixq.scoring.scorer import Scorer
from support import trees
from support.predictions import DISTORTED, REFERENCE, corrupt, encoded, same


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


@pytest.mark.slow
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
    with pytest.raises(
        PixqError, match=rf"a.png: takes {least} MiB to decode and compare; give at least --memory {least}"
    ):
        predict(scorer, both.reference, both.distorted, memory=least - 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(PixqError, match="gone: No such file or directory; free 3 MiB there, set TMPDIR"):
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
    first, *_ = match_pairs(*folders).pairs
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


@pytest.mark.slow
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
    with pytest.raises(PixqError, match="MiB to decode and compare; give at least --memory"):
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


def test_files_that_can_not_be_compared(scorer: Scorer, pair: tuple[Path, Path], tmp_path: Path) -> None:
    clean, _ = pair
    picture = Image.fromarray(DISTORTED)
    whole = encoded(picture, "PNG")
    frames = {"save_all": True, "append_images": [picture.rotate(180)]}
    bad = {
        "cut.png": (whole[: len(whole) // 2], "cut.png: .+"),
        "cut.jpg": (encoded(picture, "JPEG")[:-400], "cut.jpg: .+"),
        "empty.png": (b"", "empty.png: .+"),
        "text.png": (b"not an image at all", "is not a PNG, JPEG, BMP, WebP, TIFF, .* image"),
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
