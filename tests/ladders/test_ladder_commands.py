"""The commands `pixq pjnd`, `pixq critical` and `pixq calibrate --ladders`."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from pixq.classes import GREEN, NAMES, QUALITY_CUTS
from pixq.cli import main
from pixq.decisions.pjnd_cuts import PJND, GreenCut, read_cuts, write_cuts
from pixq.io.images import load_pixels
from pixq.ladders.critical import critical_map, critical_points
from pixq.ladders.fit_green_cut import fit_green_cut
from pixq.ladders.ladder import level_maps, open_ladder
from pixq.ladders.pictures import describe_pjnd, draw_regions
from pixq.ladders.pjnd import pjnd, score_quantile
from pixq.predict.tables import VIEWING_COLUMNS
from pixq.scoring.scorer import Scorer, load
from support import report_files, trees
from support.ladders import (
    LEVELS,
    SIZE,
    Shell,
    rows_of,
    some_cuts,
)


def test_the_verb_pjnd(shell: Shell, run: Path, reference: Path, scorer: Scorer) -> None:
    folder = reference.parent
    table, picture = folder / "out" / "levels.csv", folder / "out" / "curve.png"
    said = shell("pjnd", run, reference, folder, "--csv", table, "--picture", picture)
    found = [(level, map_) for level, map_ in level_maps(scorer, open_ladder(reference, [folder]))]
    edges = [score_quantile(map_.score, 0.05) for _, map_ in found]
    assert scorer.pjnd_cuts is not None
    cut = scorer.pjnd_cuts.cut
    expected = pjnd(list(LEVELS), edges, cut)
    assert expected.level in (3, 4, 5)
    assert said.splitlines() == [
        f"photo: {describe_pjnd(expected)}",
        f"6 levels, 1 to 6; noticed: 5.0% of patches below {cut.value:.3f}, calibration pjnd",
    ]
    rows = rows_of(table)
    assert list(rows[0]) == [
        *("reference", "distorted", "level", "jnd", "p_notice", "edge", "quality", "worst", "share_green", "noticed"),
        *VIEWING_COLUMNS,
    ]
    # Not for a run whose levels are noticed by something else.
    assert {row[name] for row in rows for name in ("jnd", "p_notice", *VIEWING_COLUMNS)} == {""}
    assert [row["level"] for row in rows] == [str(level) for level in LEVELS]
    assert [row["edge"] for row in rows] == ["", *map(str, edges[1:])]
    assert [row["noticed"] for row in rows] == ["true" if each < cut.value else "false" for each in edges]
    for row, (level, map_) in zip(rows, found, strict=True):
        assert (row["reference"], row["distorted"]) == (str(reference), str(level.path))
        verdict = map_.verdict
        values = [float(row[name]) for name in ("quality", "worst", "share_green")]
        assert values == pytest.approx([verdict.quality, verdict.worst, verdict.shares["Green"]])
    assert load_pixels(picture).shape == (440, 960, 3)
    # Levels may be named one by one, of another rule, share and stride.
    some = [folder / f"photo_{level}.png" for level in (2, 6)]
    told = shell("pjnd", run, reference, *some, "--share", "0.5", "--stride", "20")
    assert "2 levels, 2 to 6; noticed: 50.0% of patches" in told
    assert shell.warnings.splitlines() == [
        "pixq: warning: the Green cut was chosen with --share 0.05, not 0.5",
        "pixq: warning: the Green cut was chosen with --stride 10, not 20",
    ]
    assert told.startswith("photo: PJND 6 (above 2, up to 6)")
    assert "PJND above the highest level" in shell("pjnd", run, reference, some[0]) or "no level" in shell(
        "pjnd", reference, some[0]
    )


def test_the_verb_pjnd_warns_of_a_ladder_that_is_upside_down(shell: Shell, run: Path, reference: Path) -> None:
    shell("pjnd", run, reference, reference.parent, "--level", "101-n")
    assert "the highest level looks better than the lowest; if n is a quality, give --level 101-n" in shell.warnings
    shell("pjnd", run, reference, reference.parent)
    assert shell.warnings == ""


def test_the_verb_pjnd_of_a_run_without_cuts(shell: Shell, reference: Path, bare: Path) -> None:
    said = shell("pjnd", bare, reference, reference.parent)
    assert f"below {QUALITY_CUTS[1]:.3f}, no calibration" in said
    assert (
        "warning: no cut was chosen for this run, so Green follows from quality alone; choose one with pixq calibrate"
        in shell.warnings
    )


def test_without_a_cut_edges_are_of_what_makes_classes(shell: Shell, reference: Path, ordinal: Path) -> None:
    table, scorer = reference.parent / "out.csv", load(ordinal)
    said = shell("pjnd", ordinal, reference, reference.parent, "--csv", table)
    assert f"below {QUALITY_CUTS[1]:.3f}, no calibration" in said
    for row, (_, found) in zip(
        rows_of(table), level_maps(scorer, open_ladder(reference, [reference.parent])), strict=True
    ):
        at = score_quantile(np.where(found.identical, np.inf, found.quality))
        assert row["edge"] == ("" if at == math.inf else str(at))
        assert row["noticed"] == ("true" if np.mean(found.classes < GREEN) >= 0.05 else "false")
    assert not np.allclose(found.score, found.quality)


def test_ladders_go_by_peoples_pjnds_unless_a_calibration_is_named(
    shell: Shell, run: Path, reference: Path, tmp_path: Path
) -> None:
    both = shutil.copytree(run, tmp_path / "both")
    for name in ("default", "other"):
        report_files.calibrate(both, name=name)
        by_people = shell("pjnd", both, reference, reference.parent)
        assert by_people == shell("pjnd", run, reference, reference.parent)
        assert by_people.endswith(", calibration pjnd\n")
        assert shell("critical", both, reference, reference.parent) == shell(
            "critical", run, reference, reference.parent
        )
    table = tmp_path / "out.csv"
    said = shell("pjnd", both, reference, reference.parent, "--calibration", "other", "--csv", table)
    assert "of patches below 0.703, calibration other" in said
    scorer = load(both, calibration="other")
    answer = pjnd(list(LEVELS), [float(row["edge"] or "inf") for row in rows_of(table)], GreenCut(0.703, 0.66, 0.741))
    assert said.startswith(f"photo: {describe_pjnd(answer)}\n")
    assert answer.level is not None
    said = shell("critical", both, reference, reference.parent, "--calibration", "other")
    assert said.startswith(f"photo: level {answer.level:g}, ")
    assert said.splitlines()[0].endswith("(y, x), calibration other")
    found = scorer.map(load_pixels(reference), load_pixels(reference.with_name(f"photo_{answer.level:g}.png")))
    expected = [f"{place.y:7.1f} {place.x:7.1f}" for place in critical_points(found)]
    assert [line[3:18] for line in said.splitlines()[1:]] == expected


def test_a_level_whose_edge_is_the_cut_is_not_noticed(shell: Shell, reference: Path, bare: Path) -> None:
    found = load(bare).map(load_pixels(reference), load_pixels(reference.with_name("photo_4.png")))
    cut = score_quantile(found.score)
    ends = {"green": cut, "low": cut, "high": cut, "share": 0.05, "stride": 10, "orange": -9.0}
    write_cuts(bare, some_cuts(load(bare).blake3).model_copy(update=ends))
    table = reference.parent / "out.csv"
    assert shell("pjnd", bare, reference, reference.parent, "--csv", table).startswith("photo: PJND 5 ")
    assert [row["noticed"] for row in rows_of(table)] == ["false"] * 4 + ["true"] * 2


def test_mistakes_of_pjnd(shell: Shell, run: Path, reference: Path, tmp_path: Path) -> None:
    folder = reference.parent
    shell.mistake("too few paths; give REFERENCE LEVELS..., or RUN REFERENCE LEVELS...", "pjnd")
    shell.mistake("too few paths", "pjnd", reference)
    shell.mistake("too few paths", "pjnd", run, reference)
    shell.mistake("photo_9.png: no such file or folder", "pjnd", run, reference, folder / "photo_9.png")
    shell.mistake("--level is 'x'", "pjnd", run, reference, folder, "--level", "x")
    shell.mistake("give a name that ends in .png", "pjnd", run, reference, folder, "--picture", "a.jpg")
    shell.mistake("--share is 2; give a number above 0 and up to 1", "pjnd", run, reference, folder, "--share", "2")
    shell.mistake("--share is 0; give a number above 0 and up to 1", "pjnd", run, reference, folder, "--share", "0")
    shell.mistake("--stride is 0; give a whole number from 1 to 4096", "pjnd", run, reference, folder, "--stride", "0")
    shell.mistake("--stride is 21; give a whole number from 1 to 20", "pjnd", run, reference, folder, "--stride", "21")
    shell.mistake("unknown calibration 'other'", "pjnd", run, reference, folder, "--calibration", "other")
    trees.save(folder / "plain.png", trees.photo(0, SIZE))
    shell.mistake("plain.png: has no number in its name", "pjnd", run, reference, folder)
    (folder / "plain.png").unlink()
    trees.save(folder / "photo_8.png", trees.photo(0, (50, 50)))
    shell.mistake("give images of the same size", "pjnd", run, reference, folder)


def test_outputs_are_refused_before_anything_is_scored(
    shell: Shell, run: Path, reference: Path, tmp_path: Path
) -> None:
    folder = reference.parent
    # Nothing of this can be scored: whatever is said was said before.
    (folder / "photo_1.png").write_bytes(b"\x89PNG")
    linked = tmp_path / "linked.png"
    linked.symlink_to(folder / "photo_6.png")
    (tmp_path / "folder.csv").mkdir()
    before = {path: path.read_bytes() for path in folder.glob("*.png")}
    for verb, option in (("pjnd", "--picture"), ("critical", "--map")):
        given = (verb, run, reference, folder / "photo_1.png", folder / "photo_6.png")
        for path in (reference, folder / "photo_6.png", linked):
            shell.mistake(f"{option} {path}: is one of the images; choose another name", *given, option, path)
        shell.mistake("folder.csv: is a folder", *given, "--csv", tmp_path / "folder.csv")
        shell.mistake("--csv a.txt: give a name that ends in .csv", *given, "--csv", "a.txt")
    both = tmp_path / "a.csv"
    both.symlink_to(tmp_path / "a.png")
    shell.mistake("is also what --csv writes", *given, "--csv", both, "--map", tmp_path / "a.png")
    assert {path: path.read_bytes() for path in folder.glob("*.png")} == before


def test_places_are_asked_for_before_anything_is_scored(shell: Shell, run: Path, reference: Path) -> None:
    (reference.parent / "photo_1.png").write_bytes(b"\x89PNG")
    for option, value, message in (
        ("--points", "0", "--points is 0; give a whole number from 1 to 100000"),
        ("--degree", "-1", "--degree is -1; give a number from 0 to 10000"),
        ("--degree", "nan", "--degree is nan; give a number from 0 to 10000"),
        ("--at", "7", "--at 7: the ladder has no such level"),
        ("--stride", "21", "--stride is 21; give a whole number from 1 to 20"),
    ):
        shell.mistake(message, "critical", run, reference, reference.parent, option, value)


def test_the_verb_critical(shell: Shell, run: Path, reference: Path, scorer: Scorer) -> None:
    folder = reference.parent
    table, picture, values = (folder / "out" / name for name in ("places.csv", "places.png", "map.npy"))
    written = ("--csv", table, "--map", picture, "--values", values)
    said = shell("critical", run, reference, folder, "--at", "5", "--points", "2", "--degree", "12", *written)
    found = scorer.map(load_pixels(reference), load_pixels(folder / "photo_5.png"))
    places = critical_points(found, points=2, degree=12)
    assert len(places) == 2
    assert said.splitlines()[0] == "photo: level 5, 2 places (y, x), calibration pjnd"
    assert len(said.splitlines()) == 3
    rows = rows_of(table)
    assert list(rows[0]) == [
        *("reference", "distorted", "level", "rank", "y", "x", "jnd", "p_notice", "score", "class"),
        *VIEWING_COLUMNS,
    ]
    for rank, (row, place) in enumerate(zip(rows, places, strict=True), start=1):
        assert (row["reference"], row["distorted"]) == (str(reference), str(folder / "photo_5.png"))
        assert (row["level"], row["rank"], row["class"]) == ("5", str(rank), NAMES[place.class_])
        assert [float(row[name]) for name in ("y", "x", "score")] == [place.y, place.x, place.score]
    smoothed = np.load(values)
    assert smoothed.dtype == np.float32
    np.testing.assert_array_equal(smoothed, critical_map(found, degree=12).astype(np.float32))
    image = load_pixels(folder / "photo_5.png")
    np.testing.assert_array_equal(load_pixels(picture), draw_regions(found, image, places, degree=12))
    shell(
        "critical",
        run,
        reference,
        folder,
        "--at",
        "5",
        "--points",
        "2",
        "--degree",
        "12",
        "--map",
        picture,
        "--safe-colors",
    )
    np.testing.assert_array_equal(load_pixels(picture), draw_regions(found, image, places, degree=12, safe=True))


def test_the_verb_critical_looks_at_the_pjnd_or_the_only_level(
    shell: Shell, run: Path, reference: Path, scorer: Scorer
) -> None:
    folder = reference.parent
    answer = shell("pjnd", run, reference, folder).split()[2]
    assert shell("critical", run, reference, folder).startswith(f"photo: level {answer}, ")
    assert shell("critical", run, reference, folder / "photo_6.png").startswith("photo: level 6, ")
    assert shell("critical", run, reference, folder, "--at", "6").startswith("photo: level 6, ")
    # Nothing differs in the first, and nobody sees the second.
    assert (
        shell("critical", run, reference, folder / "photo_1.png")
        == "photo: level 1, 0 places (y, x), calibration pjnd\n"
    )
    faint = [folder / f"photo_{level}.png" for level in (1, 2)]
    cut = scorer.pjnd_cuts
    assert cut is not None
    assert score_quantile(scorer.map(load_pixels(reference), load_pixels(faint[1])).score) >= cut.green
    said = shell("critical", run, reference, *faint)
    assert said == "photo: no level up to 2 is noticed; choose one with --at to see it\n"


def test_mistakes_of_critical(shell: Shell, run: Path, reference: Path) -> None:
    folder = reference.parent
    shell.mistake(
        "--at 7: the ladder has no such level; choose one of 1, 2, 3, 4, 5, 6",
        "critical",
        run,
        reference,
        folder,
        "--at",
        "7",
    )
    shell.mistake(
        "--points is 0; give a whole number from 1",
        "critical",
        run,
        reference,
        folder,
        "--at",
        "5",
        "--points",
        "0",
    )
    shell.mistake(
        "--degree is -1; give a number from 0 to 10000",
        "critical",
        run,
        reference,
        folder,
        "--at",
        "5",
        "--degree",
        "-1",
    )
    shell.mistake("--map a.jpg: give a name that ends in .png", "critical", run, reference, folder, "--map", "a.jpg")
    shell.mistake(
        "--values a.tif: give a name that ends in .npy", "critical", run, reference, folder, "--values", "a.tif"
    )
    shell.mistake("too few paths", "critical", reference)
    for level in range(7, 20):
        shutil.copy(folder / "photo_6.png", folder / f"photo_{level}.png")
    shell.mistake(
        "choose one of 1, 2, 3, 4, 5, 6, ..., 15, 16, 17, 18, 19", "critical", run, reference, folder, "--at", "0"
    )


def test_the_verb_calibrate_by_ladders(shell: Shell, bare: Path, truths: Path, tmp_path: Path) -> None:
    said = shell("calibrate", bare, "--ladders", truths).splitlines()
    found = read_cuts(bare)
    assert found is not None
    assert (found.share, found.stride, found.blake3) == (0.05, 10, load(bare).blake3)
    assert said[:2] == [
        "Orange  from 0.3300",
        f"Green   from {found.green:.4f}  ({found.low:.4f} to {found.high:.4f})",
    ]
    assert said[2:-1] == [
        f"{name}: PJND {source.predicted:g} predicted from the other sources, 4 to 5 by people"
        for name, source in found.sources.items()
        if source.predicted is not None
    ]
    assert said[-1] == f"{bare / PJND}: 100% of 3 sources within their ranges"
    # What was chosen is what is predicted by.
    images = truths / "images"
    levels = [images / f"first_NOISE_{101 - level:03d}.png" for level in LEVELS]
    told = shell("pjnd", bare, images / "first.png", *levels, "--level", "101-n")
    assert told.split()[2] in ("4", "5")
    assert f"below {found.green:.3f}" in told
    shell.mistake(f"{bare / PJND}: already exists; add --force to replace it", "calibrate", bare, "--ladders", truths)
    before = (bare / PJND).read_bytes()
    assert shell("calibrate", bare, "--ladders", truths, "--force").splitlines() == said
    assert (bare / PJND).read_bytes() == before
    shell.mistake(
        "--target and --ladders can't be combined", "calibrate", bare, "--ladders", truths, "--target", tmp_path
    )
    shell.mistake("there is no data to choose cuts on; give --target or --ladders", "calibrate", bare)
    shell.mistake("ground_truth.json: No such file", "calibrate", bare, "--ladders", tmp_path, "--force")
    assert (bare / PJND).read_bytes() == before


def test_calibrate_goes_on_without_a_source_that_can_not_be_read(
    bare: Path, truths: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "truths"
    shutil.copytree(truths, folder)
    images = folder / "images"
    (images / "first_NOISE_096.png").write_bytes(b"\x89PNG")
    said = json.loads((folder / "ground_truth.json").read_text())
    said["images"]["absent"] = said["images"]["third"]
    said["images"]["odd"] = {"codec": 5}
    (folder / "ground_truth.json").write_text(json.dumps(said))
    assert main(["calibrate", str(bare), "--ladders", str(folder), "--ladders", str(tmp_path / "gone")]) == 1
    lines = capsys.readouterr().err.splitlines()
    for start in (images / "absent.png", folder / "ground_truth.json", tmp_path / "gone", images / "first_NOISE_096"):
        [line] = [line for line in lines if line.startswith(f"pixq: {start}")]
        assert line.endswith("; it was left out")
    found = read_cuts(bare)
    assert found is not None
    assert set(found.sources) == {"second", "third"}
    # Two sources are needed.
    (images / "second.png").write_bytes(b"")
    assert main(["calibrate", str(bare), "--ladders", str(folder), "--force"]) == 2
    assert "1 sources with a range of PJNDs can be read; give at least two" in capsys.readouterr().err


def test_calibrate_refuses_what_is_given_in_vain(shell: Shell, bare: Path, truths: Path, tmp_path: Path) -> None:
    by_ladders, by_target = ("calibrate", bare, "--ladders", truths), ("calibrate", bare, "--target", tmp_path)
    for option, value in (
        ("--name", "default"),
        ("--split", "validation"),
        ("--objective", "accuracy"),
        ("--cost", "0,1,4/1,0,1/4,1,0"),
        ("--coverage", "0.9"),
        ("--resamples", "1000"),
        ("--level", "0.95"),
        ("--seed", "0"),
    ):
        shell.mistake(f"{option}: only has an effect together with --target; remove it", *by_ladders, option, value)
    for option, value in (("--share", "0.05"), ("--stride", "10")):
        shell.mistake(f"{option}: only has an effect together with --ladders; remove it", *by_target, option, value)
    shell.mistake("--name, --seed: only have an effect together", *by_ladders, "--seed", "0", "--name", "a")
    shell.mistake("--name is pjnd, which is reserved for the cuts of --ladders", *by_target, "--name", "pjnd")
    shell.mistake("--share is 0; give a number above 0 and up to 1", *by_ladders, "--share", "0")
    shell.mistake("--stride is 21; give a whole number from 1 to 20", *by_ladders, "--stride", "21")
    assert not (bare / PJND).exists()
    shell(*by_ladders, "--share", "0.2", "--stride", "20")
    found = read_cuts(bare)
    assert found == fit_green_cut(load(bare), [truths], share=0.2, stride=20)
    assert (found.share, found.stride) == (0.2, 20)
