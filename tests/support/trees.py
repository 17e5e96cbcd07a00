"""Small dataset trees in the layouts that were published, for everybody's tests, and the way to the real data.

Images are smooth random photographs of a few dozen pixels; scores fall with the level. All is keyed by a seed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixq.datasets import DatasetIndex

SIZE = (48, 64)
"""Rows and columns of every image here, in pixels."""


def data_dir(name: str = "") -> Path:
    """The folder `name` of the real data (all of it by default), or a skip that says where it was looked for."""
    given = os.environ.get("PIXQ_TEST_DATA")
    base = Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (base / name).is_dir():
        pytest.skip(f"no {base / name}; set PIXQ_TEST_DATA to the folder of real data")
    return base / name


def photo(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A smooth random image with some grain: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC), dtype=np.int16)
    grainy: NDArray[np.uint8] = np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
    return grainy


def distorted(reference: NDArray[np.uint8], seed: int, level: int) -> NDArray[np.uint8]:
    """`reference` with noise that grows with `level`: (H, W, 3) uint8."""
    noise = np.random.default_rng(seed).integers(-8 * level, 8 * level + 1, reference.shape)
    noisy: NDArray[np.uint8] = np.clip(reference.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return noisy


def save(path: Path, image: NDArray[np.uint8]) -> None:
    """Write `image` as the extension of `path` says, whatever its case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".bmp": "BMP", ".png": "PNG", ".jpg": "JPEG"}[path.suffix.lower()]
    Image.fromarray(image).save(path, format=kind)


def write_tid(
    root: Path, *, references: int = 3, types: Iterable[int] = (1, 7), levels: int = 5, suffix: str = ".bmp"
) -> dict[str, float]:
    """A TID tree (`levels` is 4 in TID2008, 5 in TID2013); gives MOS (0 to 9) by file name.

    As published, references are `I01.BMP` and scores name `I01_01_1.bmp`, while the disk has `i01_01_1.bmp`.
    """
    scores: dict[str, float] = {}
    for reference in range(1, references + 1):
        clean = photo(reference)
        save(root / "reference_images" / f"I{reference:02d}{suffix.upper()}", clean)
        for kind in types:
            for level in range(1, levels + 1):
                name = f"{reference:02d}_{kind:02d}_{level}{suffix}"
                save(root / "distorted_images" / f"i{name}", distorted(clean, 100 * kind + level, level))
                scores[f"I{name}"] = 7.5 - level - kind / 100
    text = "".join(f"{score:.5f} {name}\n" for name, score in scores.items())
    (root / "mos_with_names.txt").write_text(text, encoding="utf-8")
    return scores


def write_kadid10k(
    root: Path, *, references: int = 3, types: Iterable[int] = (1, 10), levels: int = 5
) -> dict[str, float]:
    """A KADID-10k tree; gives "DMOS" (1 to 5, higher is better) by file name."""
    scores: dict[str, float] = {}
    rows = ["dist_img,ref_img,dmos,var"]
    for reference in range(1, references + 1):
        clean = photo(reference)
        save(root / "images" / f"I{reference:02d}.png", clean)
        for kind in types:
            for level in range(1, levels + 1):
                name = f"I{reference:02d}_{kind:02d}_{level:02d}.png"
                save(root / "images" / name, distorted(clean, 100 * kind + level, level))
                scores[name] = 5.0 - 0.75 * level
                rows.append(f"{name},I{reference:02d}.png,{scores[name]:.2f},0.5")
    (root / "dmos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scores


JIANJIN008 = {
    (1, 1): (0.95,),
    (1, 2): (0.95, 0.9),
    (2, 1): (0.93, 0.93),
    (2, 3): (0.97, 0.94, 0.9),
    (100, 1): (0.96, 0.95, 0.94, 0.93),
    (100, 25): (0.8,),
}
"""Groups of the small Jianjin008 tree: scores of levels 1, 2, ... by (reference, type)."""


def write_jianjin008(root: Path, groups: Mapping[tuple[int, int], Iterable[float]] = JIANJIN008) -> dict[str, float]:
    """A Jianjin008 tree; gives scores (0 to 1) by file name. References up to I81 are PNG, later ones BMP."""
    scores: dict[str, float] = {}
    for (reference, kind), levels in groups.items():
        suffix = ".png" if reference <= 81 else ".bmp"
        clean = photo(reference)
        save(root / "ref_img" / f"I{reference:02d}{suffix}", clean)
        for level, score in enumerate(levels, start=1):
            name = f"I{reference:02d}_{kind:02d}_{level:02d}{suffix}"
            save(root / "jnd_img" / name, distorted(clean, 100 * kind + level, level))
            scores[name] = score
    text = "".join(f"{name} {score}\n" for name, score in scores.items())
    (root / "mos.txt").write_text(text, encoding="utf-8")
    return scores


def write_pairs(root: Path, *, references: int = 3, levels: int = 2) -> dict[str, float]:
    """A tree of pairs with all optional columns; gives scores (0 to 1) by the distorted image's path."""
    scores: dict[str, float] = {}
    rows = ["reference,distorted,score,distortion,level,group"]
    for reference in range(1, references + 1):
        clean = photo(reference)
        save(root / "clean" / f"scene{reference}.png", clean)
        for level in range(1, levels + 1):
            name = f"noisy/scene{reference}/{level}.png"
            save(root / name, distorted(clean, level, level))
            scores[name] = 1.0 - 0.2 * level
            rows.append(f"clean/scene{reference}.png,{name},{scores[name]:.2f},noise,{level},scene{reference}")
    (root / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scores


def triplet_record(number: int, method: str = "new", score: float = 0.5, **metadata: Any) -> dict[str, Any]:
    """A record of a tree of triplets; crops of different numbers stand apart in their chart unless `metadata` says."""
    color = {0.0: "RED", 0.5: "ORANGE", 1.0: "GREEN"}[score]
    own = {
        "crop_id": number,
        "image_source": "chart.png",
        "bp_case": "single",
        "method": method,
        "color": color,
        "score": score,
        "roi": [20 * number, 0, 20, 20],
    }
    return {
        "unique_sample_id": 2 * number + (method == "ref"),
        "clean_image": number,
        "distorted_image": number,
        "score": score,
        "metadata": own | metadata,
    }


def write_triplets(root: Path, *, triplets: int = 6, test: Iterable[int] = (4, 5)) -> dict[str, float]:
    """A tree of triplets whose crops stand apart; gives scores (0, 0.5, 1) by the distorted file's path."""
    scores: dict[str, float] = {}
    sides: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    tested = set(test)
    for number in range(triplets):
        clean = photo(number, (20, 20))
        save(root / "clean" / f"{number}.png", clean)
        for i, method in enumerate(("new", "ref")):
            changed = clean.copy()
            changed[4:16, 4:16] = distorted(clean, 10 * number + i, 1 + number % 3)[4:16, 4:16]
            save(root / method / f"{number}.png", changed)
            score = ((number + i) % 3) / 2
            scores[f"{method}/{number}.png"] = score
            sides["test" if number in tested else "train"].append(triplet_record(number, method, score))
    for side, records in sides.items():
        (root / f"{side}_metadata.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    return scores


def write_label_table(
    root: Path, header: str, row: str, scores: Sequence[str], *, references: int = 3
) -> dict[str, float]:
    """A tree of `refs`, `images` and `labels.csv`, with one image of each reference per score; gives scores by image.

    `row` is a line with the fields image, reference, level and score.
    """
    rows, given = [header], {}
    for reference in range(1, references + 1):
        clean = photo(reference)
        save(root / "refs" / f"kodim{reference:02d}.png", clean)
        for level, score in enumerate(scores, start=1):
            name = f"kodim{reference:02d}_{level}.png"
            save(root / "images" / name, distorted(clean, level, level))
            rows.append(row.format(image=name, reference=f"kodim{reference:02d}.png", level=level, score=score))
            given[name] = float(score)
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return given


def write_live(root: Path, **options: Any) -> dict[str, float]:
    """LIVE as a table of labels, with scores beyond 0 and 100."""
    header = "image,reference,type,parameter,dmos,dmos_std,origin,kodak"
    return write_label_table(
        root, header, "{image},{reference},jpeg,{level},{score},2.1,genuine file,5", ("-2.5", "50", "105"), **options
    )


def write_midd_gar(root: Path, **options: Any) -> dict[str, float]:
    """MIDD-GAR with 10 people."""
    header = "image,reference,codec,quality,p_different,n_different,n_raters,confident,kodak"
    row = "{image},{reference},webpon,{level},{score},,10,1,7"
    return write_label_table(root, header, row, ("0", "0.3", "1"), **options)


def write_konjnd(root: Path) -> dict[str, float]:
    """Two ladders of five levels: one whose PJND range is 98 to 100, one with the PJNDs of four people."""
    truth = {
        "S1": {"codec": "JPEG", "pjnd_range": [97, 99], "critical_points_yx": None},
        "S2": {"codec": "BPG", "pjnds": [96, 97, 99, 100]},
    }
    shares = {"S1": (1.0, 1.0, 0.5, 0.0, 0.0), "S2": (1.0, 0.75, 0.5, 0.5, 0.25)}
    scores = {}
    for seed, (source, entry) in enumerate(truth.items(), start=1):
        clean = photo(seed)
        save(root / "images" / f"{source}.png", clean)
        for number, share in enumerate(shares[source], start=1):
            name = f"{source}_{entry['codec']}_{number:03d}.jpg"
            save(root / "images" / name, distorted(clean, number, number))
            scores[name] = share
    (root / "ground_truth.json").write_text(json.dumps({"images": truth}), encoding="utf-8")
    return scores


def write_konjnd1k(root: Path) -> dict[str, float]:
    """Two sources: JPEG by quality, rated by four people of whom one never notices, and BPG by level."""
    scores = {}
    rows = ["image_id,Compression type,ratings"]
    ratings: dict[str, tuple[str, list[int | None], tuple[float, ...]]] = {
        "SRC1": ("JPEG", [2, 2, 5, None], (0.0, 0.5, 0.5, 0.5, 0.75)),
        "SRC2": ("BPG", [1, 3, 60], (1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3)),
    }
    for seed, (source, (codec, pjnds, shares)) in enumerate(ratings.items(), start=1):
        clean = photo(seed)
        save(root / "source_image" / f"{source}.png", clean)
        rows.append(f'{source},{codec},"{json.dumps(pjnds)}"')
        for level, share in enumerate(shares, start=1):
            if codec == "JPEG":
                file = root / "jpeg" / f"{source}_JPEG_{101 - level:03d}.jpg"
                file.parent.mkdir(exist_ok=True)
                Image.fromarray(clean).save(file, quality=101 - level)
            else:
                file = root / "bpg" / source / f"{level}.png"
                smoothed = Image.fromarray(clean).resize((clean.shape[1] // (level + 1), clean.shape[0] // (level + 1)))
                file.parent.mkdir(parents=True, exist_ok=True)
                smoothed.resize((clean.shape[1], clean.shape[0])).save(file)
            scores[f"{source} {level}"] = share
    (root / "subjective_ratings.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scores


def write_csiq(root: Path) -> dict[str, float]:
    """Two references, two types at two levels."""
    scores = {}
    rows = ["image,type,level,dmos,dmos_std"]
    for seed, name in enumerate(("bridge", "1600"), start=1):
        clean = photo(seed)
        save(root / "src_imgs" / f"{name}.png", clean)
        for kind, folder, part in (("noise", "awgn", "AWGN"), ("jpeg 2000", "jpeg2000", "jpeg2000")):
            for level in (1, 2):
                file = f"{name}.{part}.{level}"
                save(root / "dst_imgs" / folder / f"{file}.png", distorted(clean, level, level))
                scores[file] = round(0.1 * level + 0.05 * seed, 3)
                rows.append(f"{name},{kind},{level},{scores[file]},0.1")
    (root / "csiq.DMOS.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scores


def write_aic3(root: Path) -> dict[str, float]:
    """Two sources, two codecs at two levels, and each source as a version of itself."""
    scores = {}
    rows = ["img_num,codec,dlevel,img_source,img_distorted,distortion,CI_min,CI_max"]
    for seed, name in enumerate(("00002", "00006"), start=1):
        clean = photo(seed)
        source = f"{name}_TE_crop.png"
        save(root / "PTC_images" / source, clean)
        rows.append(f"{name},source,0,{source},{source},0,0,0")
        for codec in ("AVIF", "JPEGXL"):
            for level in (1, 2):
                file = f"{name}_{codec}_{level}.png"
                save(root / "PTC_images" / file, distorted(clean, level, level))
                scores[file] = round(0.25 * level + 0.01 * seed, 3)
                rows.append(f"{name},{codec},{level},{source},{file},{scores[file]},0.1,0.9")
    (root / "JPEG_AIC_reconstructed_jnd_scores.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scores


#: Writes a small tree of each dataset.
WRITE: dict[str, Any] = {
    "jianjin008": write_jianjin008,
    "tid2008": lambda root: write_tid(root, levels=4),
    "tid2013": write_tid,
    "kadid10k": write_kadid10k,
    "pairs": write_pairs,
    "triplets": write_triplets,
    "live": write_live,
    "midd-gar": write_midd_gar,
    "mict": lambda root: write_label_table(
        root, "image,reference,type,parameter,mos", "{image},{reference},JPEG,{level},{score}", ("1", "3.5", "5")
    ),
    "csiq": write_csiq,
    "konjnd": write_konjnd,
    "konjnd1k": write_konjnd1k,
    "aic3": write_aic3,
    "thresholds": lambda root: write_label_table(
        root, "image,reference,stimulus,multiple,study", "{image},{reference},gabor,{score},x", ("0", "1", "4")
    ),
    "colour-pairs": lambda root: write_label_table(
        root, "image,reference,set,visual_difference", "{image},{reference},witt,{score}", ("0", "0.5", "3.2")
    ),
}


def problems(index: DatasetIndex) -> list[tuple[str, str]]:
    """Kind and file of each problem."""
    return [(problem.kind, problem.file) for problem in index.problems]


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first `old` in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def append(path: Path, line: str) -> None:
    """Add a line to a file."""
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
