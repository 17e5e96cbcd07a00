"""`pixq predict` on folders: pairs that fail, resuming, and outputs that can't be written."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from pixq.classes import NAMES
from pixq.decisions.calibration_file import get_calibration
from pixq.decisions.pjnd_cuts import write_cuts
from pixq.errors import PixqError
from pixq.patches.store import PatchSet
from pixq.predict.json_file import read_prediction
from pixq.predict.outputs import Outputs
from pixq.predict.predict import predict
from pixq.predict.resume_log import LOG
from pixq.scoring.scorer import Scorer, load
from pixq.serve.service import describe_model
from support import trees
from support.built import digest, pixq
from support.predictions import DISTORTED, REFERENCE, pjnd_cuts, same


def test_a_folder_is_as_its_pairs_alone(scorer: Scorer, folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = {name: tmp_path / name for name in ("map", "heat", "side", "values", "json")}
    report = predict(scorer, *folders, Outputs(**out, csv=tmp_path / "all.csv"))  # type: ignore[arg-type]
    assert [each.pair.name for each in report.results] == ["a", "b", "d", "deep/c"]
    assert not report.failed
    assert not report.matched.unpaired
    alone = tmp_path / "alone"
    for each in report.results:
        one = Outputs(*(alone / name / f"{each.pair.name}{end}" for name, end in zip(out, ENDS, strict=True)))
        (result,) = predict(scorer, each.pair.reference, each.pair.distorted, one).results
        assert result.verdict == each.verdict
    (tmp_path / "json" / LOG).unlink()
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
    report = predict(scorer, clean, noisy, warn=said.append)
    assert [each.pair.name for each in report.results] == ["a", "d"]
    assert report.failed == tuple(said)
    assert len(said) == 2
    assert "b.bmp: " in said[0]
    assert "c.png 91x50; give two images of the same size" in said[1]
    assert report.matched.unpaired == (noisy / "zz.png",)
    for path in noisy.rglob("*.*"):
        path.write_bytes(b"")
    with pytest.raises(PixqError, match=r"noisy: none of the 4 pairs can be compared; the first: .*a.png: "):
        predict(scorer, clean, noisy)


@pytest.mark.slow
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
    ledger = tmp_path / "json" / LOG
    done = [line for line in ledger.read_text(encoding="utf-8").splitlines() if line]
    ledger.write_text("\n".join(done[:4])[:-30], encoding="utf-8")
    again(1)
    ledger.write_text('{"pair": 1\n[]\n{"pair": "a", "made": {}, "outputs": 3}\n', encoding="utf-8")
    again(4)
    again(0)
    found = digest(tmp_path / "map") | digest(tmp_path / "json")
    assert {name: sums for name, sums in found.items() if name != LOG} == {
        name: sums for name, sums in files.items() if name != LOG
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
    assert (plain.decision.name, plain.decision.scale, describe_model(plain)["calibration"]) == (None, "quality", None)
    write_cuts(run, pjnd_cuts(plain, 0.5))
    people = load(run)
    assert (people.decision.name, people.decision.cuts) == ("pjnd", (0.5, 0.5))
    # What the page says is what its answers say.
    assert describe_model(people)["calibration"] == people.map(REFERENCE, DISTORTED).calibration == "pjnd"
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
    with pytest.raises(KeyboardInterrupt, match="2 of 4 pairs are done; the same command resumes here"):
        predict(scorer, *folders, outputs)
    assert not (tmp_path / "all.csv").exists()
    done.clear()
    with pytest.raises(KeyboardInterrupt, match="2 of 4 pairs are done; only with --json can it be resumed"):
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
        ({"map": pair[0]}, r"--map .*clean.png: is one of the images; choose another name"),
        (
            {"map": tmp_path / "m.png", "heat": tmp_path / "m.png"},
            r"--heat .*m.png: is also what --map writes; choose another name",
        ),
    ]
    many: list[tuple[dict[str, Path], str]] = [
        ({"map": tmp_path / "file.png"}, r"--map .*file.png: is a file; give the name of a folder"),
        (
            {"map": folders[1] / "maps"},
            r"--map .*maps: is inside .*noisy, whose images are read; choose another folder",
        ),
        (
            {"map": tmp_path / "m", "side": tmp_path / "m"},
            r"--side .*m: is also what --map writes; choose another name",
        ),
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
        with pytest.raises(PixqError, match=f"--map .*{name}: .*a.png is one of the images; choose another folder"):
            predict(scorer, reference, folder, Outputs(map=tmp_path / name))
        with pytest.raises(PixqError, match=r"--map .*a.png: is one of the images; choose another name"):
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


def test_a_name_that_is_too_long_for_an_output_is_its_own_error(tmp_path: Path) -> None:
    clean, noisy = tmp_path / "clean", tmp_path / "noisy"
    for name in ("a.png", f"{'b' * 251}.png", f"{'ü' * 125}.png"):
        trees.save(clean / name, REFERENCE)
        trees.save(noisy / name, DISTORTED)
    # Pictures have names as long as the images', which just fit; so do the hidden names they are first written to.
    assert pixq("predict", clean, noisy, "--map", tmp_path / "map").code == 0
    assert len(list((tmp_path / "map").iterdir())) == 3
    done = pixq("predict", clean, noisy, "--json", tmp_path / "json", "--csv", tmp_path / "all.csv")
    assert done.code == 1
    [line] = [line for line in done.err.splitlines() if "more than 255 bytes; rename the image" in line]
    assert line.startswith(f"pixq: {noisy / ('b' * 251)}.png: ")
    assert {path.stem for path in (tmp_path / "json").glob("[!.]*.json")} == {"a", "ü" * 125}
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3
