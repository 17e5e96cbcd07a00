"""What is written of a map: JSON, tables, and quality by pixel."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image
from pydantic import ValidationError

import pixq
from pixq import schemas
from pixq.classes import NAMES
from pixq.errors import PixqError
from pixq.predict import value_files
from pixq.predict.json_file import Prediction, prediction, read_prediction, write_prediction
from pixq.predict.tables import (
    IMAGE_COLUMNS,
    PATCH_COLUMNS,
    Predicted,
    image_table,
    patch_table,
    write_image_table,
    write_table,
)
from pixq.predict.value_files import write_values
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from support.quality_maps import grids, make_map, random_map

GRID = Grid(45, 72)
BLAKE3 = "ab" * 32


def made(found: QualityMap | None = None, **changes: Any) -> Prediction:
    given_ = {"reference": "a.png", "distorted": "b.png", "model": "tiny", "blake3": BLAKE3, **changes}
    return prediction(random_map(GRID) if found is None else found, **given_)


def same(one: QualityMap, other: QualityMap) -> bool:
    arrays = ("score", "quality", "classes", "identical", "unsure", "jnd")
    for name in arrays:
        left, right = getattr(one, name), getattr(other, name)
        if (left is None) != (right is None) or (
            left is not None and (left.tobytes(), left.dtype, left.shape) != (right.tobytes(), right.dtype, right.shape)
        ):
            return False
    rest = [{key: value for key, value in vars(each).items() if key not in arrays} for each in (one, other)]
    return bool(rest[0] == rest[1])


def strict(text: str) -> Any:
    return json.loads(text, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.slow
@given(grids(), st.integers(0, 99), st.booleans())
@settings(max_examples=30)
def test_a_map_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, grid: Grid, seed: int, sets: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "out.json"
    found = random_map(grid, seed, sets=sets)
    written = made(found)
    assert write_prediction(written, path) == path
    back = read_prediction(path)
    assert back == written
    assert same(back.map, found)
    loose = strict(path.read_text(encoding="utf-8"))
    Draft202012Validator(schemas.schema("prediction")).validate(loose)
    assert loose["patches"]["y"] == [y for y in grid.ys.tolist() for _ in grid.xs]
    assert loose["patches"]["class"] == [NAMES[each] for each in found.classes.ravel()]
    assert (loose["patches"]["unsure"] is None) == (not sets)


def test_identical_patches_have_no_score(tmp_path: Path) -> None:
    found = random_map(GRID)
    path = write_prediction(made(found), tmp_path / "out.json")
    patches = strict(path.read_text())["patches"]
    assert [score is None for score in patches["score"]] == patches["identical"] == found.identical.ravel().tolist()
    assert any(patches["identical"])


def test_the_file_says_what_it_is_of(tmp_path: Path) -> None:
    found = random_map(GRID)
    path = write_prediction(made(found, warnings=["the JPEG has no profile"]), tmp_path / "new" / "out.json")
    loose = strict(path.read_text())
    verdict = found.verdict
    patches = loose.pop("patches")
    assert loose == {
        "format": "pixq prediction",
        "schema_version": 1,
        "pixq": pixq.__version__,
        "reference": "a.png",
        "distorted": "b.png",
        "visibility": None,
        "cut_scale": None,
        "model": {"name": "tiny", "blake3": BLAKE3},
        "calibration": "tid2013-test",
        "cuts": {"orange": 0.33, "green": 0.66},
        "pixels": None,
        "grid": {"height": 45, "width": 72, "size": 20, "stride": 10, "rows": 4, "columns": 7},
        "image": {
            "quality": verdict.quality,
            "worst": verdict.worst,
            "shares": verdict.shares,
            "unsure": verdict.unsure,
            "identical": verdict.identical,
        },
        "warnings": ["the JPEG has no profile"],
    }
    assert list(patches) == ["y", "x", "score", "quality", "jnd", "class", "identical", "unsure"]
    # A line a list: a person can read the rest.
    assert len(path.read_text().splitlines()) < 60


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [write_prediction(made(), tmp_path / name) for name in ("one.json", "two.json")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_cuts_that_every_score_reaches_are_words(tmp_path: Path) -> None:
    found = QualityMap(**{**vars(random_map(GRID)), "cuts": (-np.inf, np.inf)})
    path = write_prediction(made(found), tmp_path / "out.json")
    loose = strict(path.read_text())
    assert loose["cuts"] == {"orange": "always", "green": "never"}
    Draft202012Validator(schemas.schema("prediction")).validate(loose)
    assert read_prediction(path).map.cuts == (-np.inf, np.inf)


def test_names_that_are_not_text_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xc3\xbc.png")
    path = write_prediction(made(reference=name, distorted=Path(name), warnings=[name]), tmp_path / "out.json")
    back = read_prediction(path)
    assert back.reference == back.distorted == back.warnings[0] == "caf\\udce9 ü.png"
    write_table([Predicted(name, name, random_map(GRID))], tmp_path / "out.csv")
    assert lines(tmp_path / "out.csv")[1][:2] == ["caf\\udce9 ü.png"] * 2


def changed(path: Path, change: Any) -> Path:
    loose = json.loads(path.read_text())
    change(loose)
    path.write_text(json.dumps(loose))
    return path


def green_share(loose: dict[str, Any]) -> None:
    loose["image"]["shares"].update(Green=0.0)


def swap_corners(loose: dict[str, Any]) -> None:
    loose["patches"]["y"], loose["patches"]["x"] = loose["patches"]["x"], loose["patches"]["y"]


def unsure_where_identical(loose: dict[str, Any]) -> None:
    loose["patches"]["unsure"][loose["patches"]["identical"].index(True)] = True


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda it: it.update(schema_version=3), "has schema version 3"),
        (lambda it: it.update(format="pixq run"), "is not a pixq prediction file"),
        (lambda it: it.update(more=1), "more: Extra inputs"),
        (lambda it: it["model"].update(blake3="x"), "model.blake3"),
        (lambda it: it["image"].update(quality=1.5), "image.quality"),
        (lambda it: it["image"].update(unsure=None), "unsure must be null"),
        (lambda it: it["image"]["shares"].pop("Red"), "image.shares.Red: Field required"),
        (green_share, "Green is not the share of such patches"),
        (lambda it: it["grid"].update(stride=21), "the stride is 21; give a whole number from 1 to 20"),
        (lambda it: it["grid"].update(rows=5), "4 rows and 7 columns"),
        (lambda it: it["cuts"].update(orange=0.9), "the cut of Orange is above"),
        (lambda it: it["patches"]["x"].pop(), "differ in length"),
        (lambda it: it["patches"]["unsure"].pop(), "differ in length"),
        (swap_corners, "corners are not those of the grid"),
        (lambda it: it["patches"].update(score=[None] * 28), "score must be null where"),
        (lambda it: it["patches"].update(score=[1.0] * 28), "score must be null where"),
        (lambda it: it["patches"].update(quality=[0.5] * 28), "so it must be Green, and not unsure"),
        (unsure_where_identical, "so it must be Green, and not unsure"),
        (lambda it: it["patches"]["class"].__setitem__(0, "Blue"), "patches.class.0"),
        (lambda it: it["patches"].update({"name": it["patches"].pop("class")}), "patches.class: Field required"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    path = changed(write_prediction(made(), tmp_path / "out.json"), change)
    with pytest.raises(PixqError) as error:
        read_prediction(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message


def test_what_is_not_there_or_not_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"gone\.json: is missing; create it with pixq predict"):
        read_prediction(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(PixqError, match="is not JSON"):
        read_prediction(tmp_path / "bad.json")
    # Infinity is not JSON either: no such number is let through.
    path = changed(write_prediction(made(), tmp_path / "out.json"), lambda it: it["image"].update(quality=float("inf")))
    with pytest.raises(PixqError, match=r"out\.json: image\.quality"):
        read_prediction(path)


def test_a_map_that_can_not_be_is_not_written() -> None:
    found = random_map(GRID)
    score = found.score.copy()
    score[tuple(np.argwhere(~found.identical)[0])] = np.inf
    with pytest.raises(ValidationError):
        made(QualityMap(**{**vars(found), "score": score}))


def lines(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


@pytest.mark.parametrize("sets", [True, False])
def test_a_table_has_a_line_a_patch(tmp_path: Path, sets: bool) -> None:
    pairs = [
        Predicted('a,"b".png', Path("d") / "b.png", random_map(GRID, 1, sets=sets)),
        Predicted("c.png", "d\ne.png", random_map(Grid(20, 33), 2, sets=sets)),
    ]
    write_table(iter(pairs), tmp_path / "new" / "out.csv")
    head, *rows = lines(tmp_path / "new" / "out.csv")
    assert tuple(head) == PATCH_COLUMNS
    wanted = []
    for reference, distorted, found in pairs:
        for number, (y, x) in enumerate(found.grid.corners.tolist()):
            at = divmod(number, found.grid.shape[1])
            wanted.append(
                (
                    str(reference),
                    str(distorted).replace("\n", "\\n"),
                    y,
                    x,
                    *(getattr(found, name)[at] for name in ("score", "quality")),
                    found,
                    at,
                )
            )
    assert len(rows) == len(wanted)
    for row, (reference, distorted, y, x, score, quality, found, at) in zip(rows, wanted, strict=True):
        identical = bool(found.identical[at])
        assert row[:4] == [reference, distorted, str(y), str(x)]
        assert row[4] == "" if identical else float(row[4]) == score
        assert np.float32(row[5]) == quality
        assert row[6] == NAMES[found.classes[at]]
        assert row[7] == str(identical).lower()
        assert row[8] == ("" if found.unsure is None else str(bool(found.unsure[at])).lower())


def test_a_table_of_images_has_a_line_a_pair(tmp_path: Path) -> None:
    pairs = [Predicted("a.png", "b.png", random_map(GRID)), Predicted("c.png", "d.png", random_map(GRID, sets=False))]
    write_image_table(pairs, tmp_path / "out.csv")
    head, *rows = lines(tmp_path / "out.csv")
    assert tuple(head) == IMAGE_COLUMNS
    assert len(rows) == 2
    for row, (reference, distorted, found) in zip(rows, pairs, strict=True):
        named, verdict = dict(zip(head, row, strict=True)), found.verdict
        assert (named["reference"], named["distorted"]) == (reference, distorted)
        assert [int(named[key]) for key in ("height", "width", "patches")] == [45, 72, 28]
        assert [float(named[key]) for key in ("quality", "worst", "identical")] == [
            verdict.quality,
            verdict.worst,
            verdict.identical,
        ]
        assert [float(named[f"share_{name.lower()}"]) for name in NAMES] == list(verdict.shares.values())
        assert named["unsure"] == ("" if verdict.unsure is None else str(verdict.unsure))
        assert named["calibration"] == (found.calibration or "")


@pytest.mark.parametrize("name", ["=1+1.png", "+a.png", "-b/c.png", "@SUM(A1).png", "＝1.png"])
def test_no_name_is_a_formula_and_every_name_still_opens(tmp_path: Path, name: str) -> None:
    write_table([Predicted(name, "a=b.png", make_map(Grid(20, 20), np.array([[0.5]])))], tmp_path / "out.csv")
    (_, row) = lines(tmp_path / "out.csv")
    assert row[:2] == [f"./{name}", "a=b.png"]
    assert Path(row[0]) == Path(name)


def test_a_name_with_control_characters_is_escaped(tmp_path: Path) -> None:
    write_image_table([Predicted("a\rb.png", "\tb\x1b.png", random_map(GRID))], tmp_path / "out.csv")
    (_, row) = lines(tmp_path / "out.csv")
    assert row[:2] == ["a\\rb.png", "\\tb\\x1b.png"]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    found = random_map(GRID, sets=False)
    low = QualityMap(**{**vars(found), "score": np.where(found.identical, np.inf, -found.score)})
    write_table([Predicted("a.png", "b.png", low)], tmp_path / "out.csv")
    scores = [row[4] for row in lines(tmp_path / "out.csv")[1:] if row[4]]
    assert scores
    assert all(float(score) <= 0 and score.startswith("-") for score in scores)


@pytest.mark.parametrize("table", [patch_table, image_table])
def test_a_table_that_ends_early_leaves_nothing(tmp_path: Path, table: Any) -> None:
    path = tmp_path / "out.csv"
    row = Predicted("a.png", "b.png", random_map(GRID))
    path.write_text("before")

    def interrupted() -> None:
        with table(path) as add:
            add(row)
            raise OSError("the next image")

    with pytest.raises(OSError, match="the next image"):
        interrupted()
    assert path.read_text() == "before"
    with table(path) as add:
        add(row)
        assert path.read_text() == "before"
    assert path.read_text().startswith("reference,distorted,")
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


@given(grids(), st.integers(0, 99), st.integers(1, 900))
@settings(max_examples=30)
def test_values_are_those_of_each_pixel(
    tmp_path_factory: pytest.TempPathFactory, grid: Grid, seed: int, band: int
) -> None:
    folder = tmp_path_factory.mktemp("values")
    found = random_map(grid, seed)
    wanted = found.per_pixel()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_files, "_BAND", band)
        for name in ("q.npy", "q.tif", "q.TIFF"):
            write_values(found, folder / name)
    loaded = np.load(folder / "q.npy", allow_pickle=False)
    assert (loaded.dtype, loaded.tobytes()) == (np.float32, wanted.tobytes())
    deep = np.rint(wanted.astype(np.float64) * 65535).astype(np.uint16)
    assert (folder / "q.tif").read_bytes() == (folder / "q.TIFF").read_bytes()
    with Image.open(folder / "q.tif") as opened:
        assert opened.mode == "I;16"
        assert np.array_equal(np.asarray(opened), deep)
    decoded = pixq.decode(folder / "q.tif")
    assert np.array_equal(decoded, np.repeat(deep[..., None], 3, axis=2))
    assert sorted(each.name for each in folder.iterdir()) == ["q.TIFF", "q.npy", "q.tif"]


def test_the_ends_of_quality_are_the_ends_of_16_bits(tmp_path: Path) -> None:
    for quality, value in ((0.0, 0), (0.5, 32768), (1.0, 65535)):
        write_values(make_map(GRID, np.array(quality)), tmp_path / "q.tif")
        with Image.open(tmp_path / "q.tif") as opened:
            assert set(np.asarray(opened).ravel().tolist()) == {value}


def test_a_tiff_has_all_that_a_baseline_one_must(tmp_path: Path) -> None:
    write_values(random_map(GRID), tmp_path / "q.tif")
    with Image.open(tmp_path / "q.tif") as opened:
        tags = dict(opened.tag_v2)  # type: ignore[attr-defined]
    assert {key: tags[key] for key in (256, 257, 258, 259, 262, 277, 278, 296)} == {
        256: 72,
        257: 45,
        258: (16,),
        259: 1,
        262: 1,
        277: 1,
        278: 45,
        296: 1,
    }
    assert tags[270] == "quality of each pixel by pixq: 65535 = nobody notices, 0 = obvious"
    # Its strips are the rest of the file.
    assert tags[273][0] + tags[279][0] == (tmp_path / "q.tif").stat().st_size


@pytest.mark.parametrize("name", ["q.png", "q", "q.npz", ".npy"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PixqError, match=r"give a name that ends in \.npy \(float32\) or \.tif \(16 bit\)"):
        write_values(random_map(GRID), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_tiff_of_more_than_4_gb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    grid = Grid(40_000, 60_000, 20_000, 20_000)
    found = make_map(grid, np.array(0.5))
    with pytest.raises(PixqError, match=r"60000x40000 pixels exceed the 4 GB of a TIFF; .* \.npy"):
        write_values(found, tmp_path / "q.tif")
    assert list(tmp_path.iterdir()) == []


def writers() -> list[Any]:
    rows = [Predicted("a.png", "b.png", random_map(GRID))]
    return [
        lambda path: write_prediction(made(), path / "out.json"),
        lambda path: write_table(rows, path / "out.csv"),
        lambda path: write_image_table(rows, path / "out.csv"),
        lambda path: write_values(rows[0].map, path / "out.npy"),
        lambda path: write_values(rows[0].map, path / "out.tif"),
    ]


@pytest.mark.parametrize("write", writers())
def test_a_file_that_can_not_be_written_is_named(tmp_path: Path, write: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PixqError, match=r"file.out\.\w+: .*; free some disk space, or make it writable"):
        write(tmp_path / "file")
    for name in ("out.json", "out.csv", "out.npy", "out.tif"):
        (tmp_path / "taken" / name).mkdir(parents=True)
    with pytest.raises(PixqError, match=r"taken.out\.\w+: .*; free some disk space, or make it writable"):
        write(tmp_path / "taken")
    assert sorted(each.name for each in (tmp_path / "taken").iterdir()) == ["out.csv", "out.json", "out.npy", "out.tif"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here, which is a disk without room")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, *arguments: Any, **options: Any) -> Any:
        return opened(Path("/dev/full"), *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    for write in writers():
        with pytest.raises(PixqError, match=r"out\.\w+: No space left on device; free some disk space"):
            write(tmp_path)
