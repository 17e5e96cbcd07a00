"""`pixq datasets` and `pixq inspect`, as functions and from the command line."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any, cast

import pytest
import trees
from matplotlib.patches import Rectangle
from PIL import Image
from pixq import datasets
from pixq.cli import main
from pixq.errors import PixqError
from pixq.inspect import figure, save_figure, summarise


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
    arguments = ["inspect", "--dataset", "tid2013", "--root", str(tmp_path)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "missing         12\n" in text
    assert text.count("not on disk)") == 10
    assert "and 2 more; --json names them all" in text
    assert "extra           1\n" in text
    assert "reference_images/I09.BMP" in text
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [problem["kind"] for problem in said["problems"]] == ["missing"] * 12 + ["extra"]
    assert said["distorted"] == 18
    assert said["contract"]["polarity"] == "higher-is-better"
    assert said["levels"].keys() <= {"3", "4", "5"}


def test_an_index_without_images_is_still_told(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    (tmp_path / "distorted_images" / "i01_07_1.bmp").unlink()
    index = datasets.index("tid2013", tmp_path)
    summary = summarise(index)
    assert summary.score_range is None
    assert "levels a group  none" in summary.text()
    assert "scores          none on 0 to 9" in summary.text()
    json.dumps(summary.to_json(), allow_nan=False)
    with pytest.raises(PixqError, match="no image to make a picture of"):
        figure(index)


def test_options_reach_the_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_pairs(tmp_path, references=1)
    (tmp_path / "pairs.csv").rename(tmp_path / "mine.csv")
    arguments = ["inspect", "--dataset", "pairs", "--root", str(tmp_path), "--csv", "mine.csv", "--json"]
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
        (["--dataset", "tid2013", "--root", "{tree}", "--picture", "{tree}/a.xyz"], "a.xyz: unknown kind of picture"),
        (["--dataset", "tid2013", "--root", "{tree}", "--picture", "{tree}/no/a.png"], "No such file or directory"),
        (["--dataset", "jianjin008", "--root", "{tree}", "--polarity", "up"], "higher-is-better"),
        (["--dataset", "tid2013"], "--root"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    assert main(["inspect", *(argument.format(tree=tmp_path) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


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
    assert said.err == f"wrote {tmp_path / 'a.png'}\n"
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


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PixqError, match=r"needs matplotlib; install it with pip install 'pixq\[report\]'"):
        figure(datasets.index("tid2013", tmp_path))


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
    assert main(["inspect", "--dataset", "tid2013", "--root", str(trees.data_dir("tid2013"))]) == 0
    text = capsys.readouterr().out
    for line in ("references      10", "distorted       300", "levels a group  60 with 5", "1.25 to 7.2143 on 0 to 9"):
        assert line in text
    assert "missing         0\nduplicate       0\nextra           0" in text
