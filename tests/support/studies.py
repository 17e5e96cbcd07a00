"""Small studies for everybody's tests: a folder with images and its `study.toml`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pixq.study.design.config import Quota, Source, Study, TruthSource
from support.trees import distorted, photo, save

LEVELS = (1, 10, 50, 100)


def write_ladder(
    folder: Path, name: str, *, levels: Iterable[int] = LEVELS, seed: int = 0, codec: str = "JPEG"
) -> None:
    """`NAME.png` and `NAME_CODEC_nnn.png`, where level v is number 101 - v."""
    clean = photo(seed)
    save(folder / f"{name}.png", clean)
    for level in levels:
        save(folder / f"{name}_{codec}_{101 - level:03d}.png", distorted(clean, level, 1 + level // 10))


def entry(name: str, **more: Any) -> dict[str, Any]:
    """A table of `[[source]]`, `[[training]]` or `[[test]]`."""
    return {
        "id": name,
        "codec": "JPEG",
        "reference": f"images/{name}.png",
        "levels": f"images/{name}_JPEG_*.png",
        "level": "101-n",
        **more,
    }


TRUTH: dict[str, Any] = {"pjnd_range": [10, 20], "points_yx": [[5, 5], [40, 60], [24, 32]]}


def tables(**more: Any) -> dict[str, Any]:
    """What a `study.toml` holds."""
    return {
        "title": "A test",
        "contact": "us@example.org",
        "consent": {"en": "I take part."},
        "quota": {"answers": 2, "images": 2, "tests": 1},
        "source": [entry(f"S{i}") for i in range(3)],
        "training": [entry(f"T{i}", **TRUTH) for i in range(1)],
        "test": [entry(f"H{i}", **TRUTH) for i in range(2)],
        **more,
    }


def toml(value: dict[str, Any]) -> str:
    """`value` as TOML, whose text, numbers and arrays JSON's are; all that is nested is an inline table."""

    def shown(each: Any) -> str:
        if isinstance(each, dict):
            return "{" + ", ".join(f"{key} = {shown(inner)}" for key, inner in each.items()) + "}"
        if isinstance(each, (list, tuple)):
            return "[" + ", ".join(map(shown, each)) + "]"
        return json.dumps(each, ensure_ascii=False)

    return "".join(f"{key} = {shown(each)}\n" for key, each in value.items())


def write_study(folder: Path, value: dict[str, Any] | None = None, *, levels: Iterable[int] = LEVELS) -> Path:
    """A folder with `study.toml` and all its images; gives the file."""
    value = tables() if value is None else value
    every = [each for kind in ("source", "training", "test") for each in value.get(kind, [])]
    for seed, each in enumerate(every):
        write_ladder(folder / "images", each["id"], levels=levels, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(toml(value), encoding="utf-8")
    return folder / "study.toml"


def study(sources: int = 12, hidden: int = 6, *, seed: int = 1, **quota: Any) -> Study:
    """A study in memory; its images are nowhere."""
    return Study(
        title="A test",
        contact="us@example.org",
        consent={"en": "I take part."},
        seed=seed,
        quota=Quota(**quota),
        source=tuple(Source(**entry(f"S{i}")) for i in range(sources)),
        test=tuple(TruthSource(**entry(f"H{i}", **TRUTH)) for i in range(hidden)),
    )
