"""`pixq datasets` and `pixq inspect`, as functions and from the command line."""

from __future__ import annotations

import builtins
import errno
import json
import os
from pathlib import Path
from typing import Any, cast

import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from pixq import datasets
from pixq.cli import main
from pixq.datasets.inspect import figure, save_figure, summarise
from pixq.errors import PixqError
from support import trees


def test_a_summary_by_hand(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    (tmp_path / "jnd_img" / "I02_01_01.png").unlink()
    summary = summarise(datasets.index("jianjin008", tmp_path))
    assert (summary.references, summary.distorted) == (3, 12)
    assert summary.types == {"01": 6, "02": 2, "03": 3, "25": 1}
    assert summary.levels == {1: 3, 2: 1, 3: 1, 4: 1}
    assert summary.score_range == (0.8, 0.97)
    assert summary.buckets == {"no_flicker": 3, "same_score": 0, "slight_flicker": 6}
    assert summary.excluded == {"more than 3 levels": 4}
    assert summarise(datasets.index("jianjin008", tmp_path), max_levels=4).excluded == {}


def test_blends_are_counted_in_their_bucket(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path, {(2, 1): (0.93, 0.93)})
    assert summarise(datasets.index("jianjin008", tmp_path)).buckets["same_score"] == 3


def test_the_text_names_ten_problems_and_json_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_tid(tmp_path, references=3)
    for file in (tmp_path / "distorted_images").glob("i03_*"):
        file.unlink()
    for file in list((tmp_path / "distorted_images").glob("i02_0*"))[:2]:
        file.unlink()
    trees.save(tmp_path / "reference_images" / "I09.BMP", trees.photo(9))
    arguments = ["inspect", "--dataset", "tid2013", "--root", str(tmp_path), "--no-picture"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "missing         12\n" in text
    assert text.count("not on disk)") == 10
    assert "and 2 more; --json lists them all" in text
    assert "extra           1\n" in text
    assert "reference_images/I09.BMP" in text
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [problem["kind"] for problem in said["problems"]] == ["missing"] * 12 + ["extra"]
    assert said["distorted"] == 18
    assert said["contract"]["polarity"] == "higher-is-better"
    assert said["levels"].keys() <= {"3", "4", "5"}


@pytest.mark.slow
def test_an_index_without_images_is_still_told(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    (tmp_path / "distorted_images" / "i01_07_1.bmp").unlink()
    index = datasets.index("tid2013", tmp_path)
    summary = summarise(index)
    assert summary.score_range is None
    assert "levels          none" in summary.text()
    assert "scores          none on 0 to 9" in summary.text()
    json.dumps(summary.to_json(), allow_nan=False)
    with pytest.raises(PixqError, match="no image to make a picture of"):
        figure(index)


def test_options_reach_the_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_pairs(tmp_path, references=1)
    (tmp_path / "pairs.csv").rename(tmp_path / "mine.csv")
    arguments = ["inspect", "--dataset", "pairs", "--root", str(tmp_path), "--csv", "mine.csv", "--json"]
    arguments.append("--no-picture")
    assert main([*arguments, "--score-range", "-1,1", "--polarity", "lower-is-better", "--unit", "votes"]) == 0
    contract = json.loads(capsys.readouterr().out)["contract"]
    assert (contract["minimum"], contract["maximum"], contract["polarity"], contract["unit"]) == (
        -1.0,
        1.0,
        "lower-is-better",
        "votes",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "tid2014", "--root", "{tree}"], "unknown dataset 'tid2014'; did you mean tid2013?"),
        (["--dataset", "tid2013", "--root", "{tree}/none"], "none: no such folder"),
        (["--dataset", "kadid10k", "--root", "{tree}"], "no images, dmos.csv; the root must hold images, dmos.csv"),
        (["--dataset", "tid2013", "--root", "{tree}", "--csv", "x"], "tid2013 doesn't take --csv"),
        (["--dataset", "pairs", "--root", "{tree}", "--score-range", "1"], "--score-range '1' is not two numbers"),
        (["--dataset", "tid2013", "--root", "{tree}", "--max-levels", "0"], "--max-levels is 0"),
        (["--dataset", "tid2013", "--root", "{tree}", "--picture", "{tree}/a.xyz"], "a.xyz: unknown image format"),
        (
            ["--dataset", "tid2013", "--root", "{tree}", "--picture", "{tree}/mos_with_names.txt/no/a.png"],
            "/no/a.png: Not a directory; name a",
        ),
        (
            ["--dataset", "tid2013", "--root", "{tree}", "--picture", "{tree}/dir.png"],
            "/dir.png: Is a directory; name a",
        ),
        (["--dataset", "tid2013", "--root", "{tree}", "--picture", "a.png", "--no-picture"], "contradict each other"),
        (["--dataset", "jianjin008", "--root", "{tree}", "--polarity", "up"], "higher-is-better"),
        (["--dataset", "tid2013"], "--root"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    (tmp_path / "dir.png").mkdir()
    assert main(["inspect", *(argument.format(tree=tmp_path) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "partial" not in said
    assert said.count("\n") == 1
    assert list(tmp_path.glob(".*")) == []


def test_the_picture_shows_samples_scores_and_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_jianjin008(tmp_path / "tree")
    # A picture must not stop at an image that can't be decoded, nor at a name that looks like a formula.
    (tmp_path / "tree" / "jnd_img" / "I100_25_01.bmp").write_bytes(b"no image")
    drawn = figure(datasets.index("jianjin008", tmp_path / "tree"))
    left, right = drawn.subfigs
    samples = [axes for axes in left.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").split("\n")[0] for axes in samples] == [
        "01, level 1",
        "02, level 2",
        "03, level 3",
        "25, level 1",
    ]
    assert [len(axes.images) for axes in samples] == [1, 1, 1, 0]
    assert "25_01.bmp" in samples[3].texts[0].get_text().replace("\n", "")
    scores, levels = ([cast("Rectangle", patch).get_height() for patch in axes.patches] for axes in right.axes)
    assert sum(scores) == 13
    assert levels == [2, 2, 1, 1]

    arguments = ["inspect", "--dataset", "jianjin008", "--root", str(tmp_path / "tree")]
    assert main([*arguments, "--picture", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr()
    assert said.err == f"pixq: wrote {tmp_path / 'a.png'}\n"
    assert "wrote" not in said.out
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"


def test_a_picture_of_odd_names_and_shapes(tmp_path: Path) -> None:
    for name, size in (("a.png", (3, 200)), ("b.png", (200, 3))):
        trees.save(tmp_path / name, trees.photo(1, size))
    text = f"reference,distorted,score,distortion\na.png,b.png,0.5,$\\frac{{{'x' * 90}\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    save_figure(datasets.index("pairs", tmp_path), tmp_path / "out.svg")
    assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_picture_is_written_unless_it_is_not_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write_tid(tmp_path / "tree", references=1, types=(7,), levels=1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    arguments = ["inspect", "--dataset", "tid2013", "--root", str(tmp_path / "tree")]
    assert main([*arguments, "--no-picture"]) == 0
    assert capsys.readouterr().err == ""
    assert list(Path.cwd().iterdir()) == []
    assert main(arguments) == 0
    assert capsys.readouterr().err == "pixq: wrote inspect.png\n"
    assert [file.name for file in Path.cwd().iterdir()] == ["inspect.png"]
    with Image.open("inspect.png") as image:
        assert image.format == "PNG"


def test_a_picture_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write_tid(tmp_path / "tree", references=1, types=(7,), levels=1)
    out = tmp_path / "old.png"
    out.write_bytes(b"old")

    def full(file: Path, data: bytes) -> int:
        with file.open("wb") as half:
            half.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as write(2) has it: without a name

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PixqError, match=r"^\S+/old\.png: No space left on device; name a file that can be written"):
        save_figure(datasets.index("tid2013", tmp_path / "tree"), out)
    assert out.read_bytes() == b"old"
    assert {file.name for file in tmp_path.iterdir()} == {"old.png", "tree"}


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_only_a_picture_that_was_asked_for_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    monkeypatch.chdir(tmp_path)
    how = "a picture needs matplotlib; install it with pip install 'pixq[report]'\n"
    arguments = ["inspect", "--dataset", "tid2013", "--root", "."]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == f"pixq: no picture: {how}"
    assert "references      1\n" in said.out
    assert main([*arguments, "--picture", "inspect.png"]) == 2
    assert capsys.readouterr().err == f"pixq: {how}"
    assert not (tmp_path / "inspect.png").exists()


def test_a_tree_without_images_is_told_without_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    (tmp_path / "distorted_images" / "i01_07_1.bmp").unlink()
    monkeypatch.chdir(tmp_path)
    arguments = ["inspect", "--dataset", "tid2013", "--root", "."]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "missing         1\n" in said.out
    assert said.err == "pixq: no picture: .: no image to make a picture of; the counts say what is missing\n"
    assert main([*arguments, "--picture", "a.png"]) == 2


def test_a_root_whose_name_is_not_text_can_still_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / os.fsdecode(b"\xff")
    trees.write_tid(root, references=1, types=(7,), levels=1)
    for more in ([], ["--json"]):
        assert main(["inspect", "--dataset", "tid2013", "--root", str(root), "--no-picture", *more]) == 0
        capsys.readouterr().out.encode()


def test_datasets_are_listed_plainly_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets"]) == 0
    text = capsys.readouterr().out
    assert main(["datasets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(datasets.ADAPTERS)
    for one in listed:
        for key in ("name", "title", "needs", "licence", "citation"):
            assert one[key] in text
        assert one["contract"]["polarity"] in text
        assert "index" not in one


def test_a_terminal_gets_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["datasets"]) == 0
    text = capsys.readouterr().out
    assert "┃" in text
    assert all(name in text for name in datasets.ADAPTERS)


def test_the_real_tid2013_subset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--dataset", "tid2013", "--root", str(trees.data_dir("tid2013")), "--no-picture"]) == 0
    text = capsys.readouterr().out
    for line in (
        "references      10",
        "distorted       300",
        "levels          60 groups with 5",
        "1.25 to 7.2143 on 0 to 9",
    ):
        assert line in text
    assert "missing         0\nduplicate       0\nextra           0" in text
