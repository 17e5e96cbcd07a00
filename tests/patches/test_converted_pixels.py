"""Patch sets of images with profiles and with transparent pixels, and what is known of older sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq import PixqError
from pixq._core import decode
from pixq.datasets.photos import fingerprint
from pixq.evaluation.baselines import baseline_scores
from pixq.io.atomic import checksum
from pixq.io.images import ReadOptions
from pixq.patches.plan import BuildSettings, Sampling
from pixq.patches.store import PatchSet
from pixq.report.commands import build_command
from support import icc, trees
from support.built import lines, make, pixq

P3 = icc.rgb_profile(icc.P3, 2.2, "P3 by hand")
RAW = ReadOptions(colour_management=False)


def settings(**changes: Any) -> BuildSettings:
    return BuildSettings(sampling=Sampling("random", None, 3), ratio=(1, 0, 0), **changes)


def tree(root: Path, mode: str = "RGB", profile: bytes | None = P3) -> Path:
    """Two references with a profile, and distorted images without."""
    rows = ["reference,distorted,score,distortion,level"]
    root.mkdir()
    for n in range(2):
        clean = trees.photo(n, (50, 60))
        reference = Image.fromarray(clean).convert(mode)
        if mode == "RGBA":
            reference.putpixel((n, 0), (9, 9, 9, 100))
        reference.save(root / f"r{n}.png", icc_profile=profile)
        trees.save(root / f"d{n}.png", trees.distorted(clean, n, 2))
        rows.append(f"r{n}.png,d{n}.png,0.5,noise,2")
    (root / "pairs.csv").write_text("\n".join(rows))
    return root


def patch_of(out: Path, source: Any) -> None:
    """The set's reference patches are cut from these pixels."""
    for record, image in ((line, lines(out / "images.jsonl")[0]) for line in lines(out / "shard-00000.jsonl")[:3]):
        y, x = record["coords"]["y"], record["coords"]["x"]
        patch = np.load(out / "shard-00000.reference.npy")[record["reference_row"]]
        assert np.array_equal(patch, source(image["reference"])[y : y + 20, x : x + 20])


def test_patches_are_cut_from_converted_pixels(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    converted = make("pairs", root, tmp_path / "converted", settings())
    patch_of(converted.out, lambda file: decode(root / file))
    assert converted.manifest["pixels"] == {
        "colours": "sRGB", "intent": "relative colorimetric", "background": None,
    }  # fmt: skip
    image = lines(converted.out / "images.jsonl")[0]
    assert (image["reference_icc"], image["reference_profile"], image["distorted_profile"]) == (
        True,
        "P3 by hand",
        None,
    )
    raw = make("pairs", root, tmp_path / "raw", settings(reading=RAW))
    patch_of(raw.out, lambda file: decode(root / file, colour_management=False))
    assert raw.manifest["pixels"] == {"colours": "raw", "intent": None, "background": None}
    # A photo is the same photo in both.
    assert converted.manifest["photos"]["sha256"] == raw.manifest["photos"]["sha256"]
    assert raw.manifest["photos"]["sha256"]["r0"] == fingerprint(root / "r0.png").sha256
    with pytest.raises(PixqError, match='other settings: colours is null there and "sRGB" here'):
        make("pairs", root, tmp_path / "raw", settings())
    assert "--no-colour-management" in build_command(raw.manifest, "out")
    assert "--no-colour-management" not in build_command(converted.manifest, "out")


def test_sets_of_earlier_versions_are_known_to_be_raw(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    out = make("pairs", root, tmp_path / "out", settings(reading=RAW)).out
    scores = baseline_scores(PatchSet(out), root, ["psnr"])["psnr"]
    assert list(scores) == [image["PSNR_image"] for image in PatchSet(out).images]
    # As an earlier version wrote it.
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["pixels"]
    images = lines(out / "images.jsonl")
    for image in images:
        del image["reference_profile"], image["distorted_profile"]
    old = tmp_path / "old"
    out.rename(old)
    text = "".join(json.dumps(image, ensure_ascii=False, separators=(",", ":")) + "\n" for image in images)
    (old / "images.jsonl").write_text(text)
    info = checksum(old / "images.jsonl")
    manifest["images"] |= {"bytes": info.bytes, "blake3": info.blake3}
    (old / "manifest.json").write_text(json.dumps(manifest))
    patches = PatchSet(old)
    assert patches.reading == RAW
    # Metrics of whole images are those of the pixels that the patches were cut from.
    np.testing.assert_array_equal(baseline_scores(patches, root, ["psnr"])["psnr"], scores)
    converted = PatchSet(make("pairs", root, tmp_path / "new", settings()).out)
    assert not np.array_equal(baseline_scores(converted, root, ["psnr"])["psnr"], scores)
    # The same settings are complete already.
    assert make("pairs", root, old, settings(reading=RAW)).complete_before


def test_transparent_images_need_a_background(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree", "RGBA", None)
    command = ["build-patches", "--dataset", "pairs", "--root", root, "--patches", 3, "--sampling", "random"]
    refused = pixq(*command, "--out", tmp_path / "refused", "--split", "1,0,0")
    assert refused.code == 1
    assert (
        "r0.png: has transparent pixels; save it without them, or choose what lies under them: --background white"
        in refused.err
    )
    assert pixq(*command, "--out", tmp_path / "out", "--split", "1,0,0", "--background", "white").code == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["pixels"]["background"] == manifest["identity"]["background"] == "white"
    patch_of(tmp_path / "out", lambda file: decode(root / file, background="white"))
    assert PatchSet(tmp_path / "out").reading == ReadOptions(background="white")
    assert "--background white" in build_command(manifest, "out")
    for options in (["--kinds", "jpeg"], []):
        distort = pixq("distort", root, "--out", tmp_path / "distorted", *options)
        assert (distort.code, distort.err.count("has transparent pixels")) == (2, 1)
    both = pixq("distort", root, "--out", tmp_path / "distorted", "--kinds", "jpeg", "--background", "white")
    assert both.code == 0
    wrong = pixq(*command, "--out", tmp_path / "wrong", "--background", "black,white")
    assert wrong.code == 2
