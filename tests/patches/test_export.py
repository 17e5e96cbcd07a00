"""`pixq export`: the notebooks' folders, Parquet and NumPy, read back by other programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.export import export
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet
from support.built import lines, make, mistake, pixels, pixq
from support.trees import write_jianjin008


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    root = tmp_path_factory.mktemp("set")
    write_jianjin008(root / "jj", {(n, 1): (0.9, 0.5, 0.2) for n in range(1, 6)})
    # One level is the reference itself: nothing changed, so there is no PSNR.
    (root / "jj" / "jnd_img" / "I01_01_02.png").write_bytes((root / "jj" / "ref_img" / "I01.png").read_bytes())
    fusions = (Fusion("copy"), Fusion("blend", 0.5))
    chosen = BuildSettings(fusions=fusions, buckets=("no_flicker", "slight_flicker"))
    make("jianjin008", root / "jj", root / "out", chosen)
    return PatchSet(root / "out")


def test_the_notebooks_layout(patches: PatchSet, tmp_path: Path) -> None:
    out = export(patches, "png", tmp_path / "png")
    assert sorted(path.name for path in out.iterdir()) == [
        "blend", "clean", "copy", "metadata.json", "test.json", "train.json", "validation.json",
    ]  # fmt: skip
    listed = json.loads((out / "metadata.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert len(listed) == len(patches)
    everything, records = patches.fused(), patches.records
    nothing_changed = 0
    for i, entry in enumerate(listed):
        metadata, name = entry["metadata"], entry["unique_sample_id"]
        image, fusion = patches.images[records.image[i]], patches.fusions[records.fusion[i]]
        assert name == f"{fusion.name}_patch_{i:04}.png"
        assert np.array_equal(pixels(out / metadata["method"] / name), everything[i])
        assert np.array_equal(pixels(out / "clean" / name), patches.reference[records.reference_row[i]])
        assert entry["clean_image"] == f"{image['reference_id']}.png"
        assert entry["distorted_image"] == f"{image['image_id']}.png"
        assert metadata["roi"] == [records.x[i], records.y[i], 20, 20]
        assert (metadata["mos_original"], metadata["mos_normalized"]) == (image["MOS"], image["quality"])
        nothing_changed += metadata["distorted_psnr"] is None
        expected = (
            ("GREEN", 1.0) if entry["score"] >= 0.66 else ("ORANGE", 0.5) if entry["score"] >= 0.33 else ("RED", 0.0)
        )
        assert (metadata["color"], metadata["score_binned"]) == expected
    assert nothing_changed == 6 * 2
    assert {entry["metadata"]["color"] for entry in listed} == {"GREEN", "ORANGE", "RED"}
    split = {name: json.loads((out / f"{name}.json").read_text())["data"] for name in ("train", "validation", "test")}
    assert {name: len(entries) for name, entries in split.items()} == {
        name: len(patches.select(split=name)) for name in split
    }
    sources = {name: {entry["metadata"]["image_source"] for entry in entries} for name, entries in split.items()}
    assert not sources["train"] & sources["test"]


def test_two_blends_go_to_two_folders(tmp_path: Path) -> None:
    write_jianjin008(tmp_path / "jj", {(n, 1): (0.9,) for n in range(1, 6)})
    fusions = (Fusion("blend", 0.5), Fusion("blend", 0.25))
    make("jianjin008", tmp_path / "jj", tmp_path / "out", BuildSettings(fusions=fusions))
    out = export(PatchSet(tmp_path / "out"), "png", tmp_path / "png")
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"clean", "blend-0.5", "blend-0.25"}


def test_parquet(patches: PatchSet, tmp_path: Path) -> None:
    table = pq.read_table(export(patches.select(split="train"), "parquet", tmp_path / "train.parquet"))
    train = patches.select(split="train")
    assert table.num_rows == len(train)
    fused = np.stack([np.frombuffer(row.as_py(), np.uint8).reshape(20, 20, 3) for row in table["fused"]])
    assert np.array_equal(fused, train.fused())
    assert np.array_equal(table["quality"].to_numpy(), train.records.quality)
    psnr = table["PSNR"].to_pylist()
    assert [value is None for value in psnr] == train.records.identical.tolist()
    assert set(table["split"].to_pylist()) == {"train"}
    assert json.loads(table.schema.metadata[b"label_contract"])["polarity"] == "higher-is-better"


def test_npy(patches: PatchSet, tmp_path: Path) -> None:
    out = export(patches, "npy", tmp_path / "npy")
    assert np.array_equal(np.load(out / "fused.npy"), patches.fused())
    assert np.array_equal(np.load(out / "reference.npy"), patches.reference[patches.records.reference_row])
    assert np.array_equal(np.load(out / "quality.npy"), patches.records.quality)
    entries = lines(out / "records.jsonl")
    assert [entry["quality"] for entry in entries] == patches.records.quality.tolist()
    assert [entry["split"] for entry in entries] == [patches.images[i]["split"] for i in patches.records.image]


def test_an_export_appears_whole_or_not_at_all(patches: PatchSet, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for kind in ("png", "npy", "parquet"):
        with pytest.raises(KeyboardInterrupt):
            export(patches, kind, tmp_path / kind, stop)
    assert list(tmp_path.iterdir()) == []


def test_mistakes(patches: PatchSet, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert "already exists" in mistake(pixq("export", patches.directory, "--out", tmp_path / "mine"))
    assert "the patch set has no fusion 'none'" in mistake(
        pixq("export", patches.directory, "--out", tmp_path / "new", "--fusion", "none")
    )
    with pytest.raises(PixqError, match="unknown format 'zip'; choose png, parquet, npy"):
        export(patches, "zip", tmp_path / "new")
    done = pixq("export", patches.directory, "--out", tmp_path / "new", "--format", "npy", "--split", "test")
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]
