"""Calibrations and evaluations made by hand, for the tests of what reads them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixq.classes import NAMES
from pixq.decisions.calibration_file import Calibration, add_calibration
from pixq.evaluation.evaluation_file import EvaluationFile, write_evaluation

#: Names that are markup, code, quotes, another direction of writing, or very long.
HOSTILE = "<script>alert('x')</script>\"'&{{7*7}} ünï ‮ 图像 " + "long" * 30
CONTRACT = {
    "name": "MOS",
    "polarity": "higher-is-better",
    "minimum": 0.0,
    "maximum": 9.0,
    "unit": "mean opinion score",
    "raters": 33,
    "subject": "image",
    "synthetic": False,
    "note": "",
}
KINDS = ("white noise", "jpeg", "gaussian blur", "pixel interpolation: median", HOSTILE)


def png(seed: int) -> str:
    """A random patch of 20x20 as base64 PNG."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    smooth.save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode()


def estimate(value: float | None, half: float = 0.03) -> dict[str, float | None]:
    """A value with an interval of `half` to each side."""
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def metrics(share: float, n: int = 1200, groups: int = 40, half: float = 0.03) -> dict[str, Any]:
    """Figures of a method that is right in `share` of each class."""
    per_class = n // 3
    right = round(share * per_class)
    near, far = (per_class - right + 1) // 2, (per_class - right) // 2
    confusion = [[right, near, far], [near, right, far], [far, near, right]]
    values = {
        "accuracy": share,
        "balanced_accuracy": share,
        "macro_f1": share - 0.01,
        "recall_red": share,
        "recall_orange": share,
        "recall_green": share,
        "kappa": share - 0.1,
        "srcc": share + 0.05,
        "plcc": share + 0.06,
        "mse": 0.02,
        "ece": 0.05,
    }
    return {
        "n": sum(map(sum, confusion)),
        "groups": groups,
        "confusion": confusion,
        "estimates": {
            name: estimate(value, half if name not in ("mse", "ece") else 0.004) for name, value in values.items()
        },
    }


def nothing(groups: int = 0) -> dict[str, Any]:
    """Figures of no patch at all."""
    return {
        "n": 0,
        "groups": groups,
        "confusion": [[0] * 3] * 3,
        "estimates": {name: estimate(None) for name in metrics(0.5)["estimates"]},
    }


def data(**changes: Any) -> dict[str, Any]:
    """The patches of an evaluation."""
    return {
        "directory": "target/patches",
        "fingerprint": "ab" * 32,
        "dataset": {"name": "tid2013", "title": "TID2013", "licence": "free for research", "citation": "Ponomarenko"},
        "split": "test",
        "patches": 1200,
        "images": 60,
        "groups": 12,
        "by_class": {"Red": 400, "Orange": 400, "Green": 400},
        "label_contract": CONTRACT,
        **changes,
    }


def calibration(blake3: str, **changes: Any) -> dict[str, Any]:
    """A calibration of the weights `blake3`, as JSON holds it."""
    return {
        "name": "default",
        "created": "2026-11-22T20:00:00Z",
        "pixq": "0.1.0",
        "model": {"blake3": blake3},
        "data": data(split="validation"),
        "objective": "balanced_accuracy",
        "cost": None,
        "cuts": {
            "orange": {"value": 0.412, "low": 0.371, "high": 0.455},
            "green": {"value": 0.703, "low": 0.66, "high": 0.741},
        },
        "value": 0.7,
        "achieved": {"balanced_accuracy": estimate(0.74), "accuracy": estimate(0.73), "macro_f1": estimate(0.72)},
        "bootstrap": {"resamples": 1000, "level": 0.95, "seed": 0},
        "photos": [],
        "out_of_bag": estimate(0.69),
        "mapping": {
            "kind": "isotonic, linear between knots",
            "quality": {"score": [0.1, 0.4, 0.9], "value": [0.05, 0.5, 0.95]},
            "orange_or_better": {"score": [0.2, 0.5], "value": [0.1, 0.97]},
            "green": {"score": [0.5, 0.8], "value": [0.0, 0.9]},
        },
        "conformal": {"coverage": 0.9, "threshold": [0.62] * 3, "patches": 1200, "by_class": False, "groups": 12},
        "warnings": [],
        **changes,
    }


def evaluation(blake3: str, **changes: Any) -> dict[str, Any]:
    """An evaluation of the weights `blake3` with three rivals, as JSON holds it."""
    edges = np.linspace(-0.1, 1.1, 41)
    rng = np.random.default_rng(0)
    counts = {
        name: np.histogram(rng.normal(0.25 + 0.28 * number, 0.14, 400).clip(-0.1, 1.1), edges)[0].tolist()
        for number, name in enumerate(NAMES)
    }
    model = {
        "name": "model",
        "title": "the model",
        "kind": "model",
        "cuts": {"orange": 0.412, "green": 0.703},
        "patches": metrics(0.71),
        "images": metrics(0.78, 60),
        "by": {
            "distortion_type": {kind: metrics(0.5 + 0.08 * at, 240) for at, kind in enumerate(KINDS)},
            "level": {str(level): metrics(0.5 + 0.07 * level, 240) for level in range(1, 6)},
            "fusion": {"none": metrics(0.7, 600), "blend:0.5": nothing()},
            "<b>colour</b>": {"gr<e>y": metrics(0.6, 600), "red": metrics(0.8, 600)},
        },
    }
    model["patches"]["estimates"] |= {"coverage": estimate(0.91), "unsure": estimate(0.34)}
    rivals = [("psnr", "PSNR", "metric", 0.52), ("majority", "majority class", "majority", 1 / 3)]
    rivals += [
        ("boosting", "gradient boosting on PSNR, SSIM, gradients", "boosting", 0.79),
        ("ssim", "SSIM", "metric", 0.7),
    ]
    methods = [model]
    for name, title, kind, share in rivals:
        cuts = {"orange": 21.5, "green": 33.0} if kind == "metric" else None
        by = {"distortion_type": {each: metrics(share, 240) for each in KINDS}}
        methods.append(
            {
                "name": name,
                "title": title,
                "kind": kind,
                "cuts": cuts,
                "patches": metrics(share),
                "images": None,
                "by": by,
            }
        )
    # Nothing of a constant can be correlated.
    methods[2]["patches"]["estimates"] |= {"srcc": estimate(None), "plcc": estimate(None)}
    against = [
        {"name": "psnr", "metric": "balanced_accuracy", "value": 0.19, "low": 0.12, "high": 0.25},
        {"name": "majority", "metric": "balanced_accuracy", "value": 0.377, "low": 0.33, "high": 0.42},
        {"name": "boosting", "metric": "balanced_accuracy", "value": -0.08, "low": -0.12, "high": -0.03},
        {"name": "ssim", "metric": "balanced_accuracy", "value": 0.01, "low": -0.02, "high": 0.05},
        {"name": "psnr", "metric": "mse", "value": -0.01, "low": -0.02, "high": -0.005},
    ]
    examples = [
        {
            "row": row,
            "image_id": f"I0{row}_{HOSTILE}" if row == 0 else f"I0{row}_01_3",
            "distortion_type": KINDS[row % 5],
            "fusion": "blend:0.5",
            "truth": "Red",
            "answer": "Green" if row % 2 else "Orange",
            "score": 0.8 - 0.01 * row,
            "quality": 0.1,
            "reference_png": png(row),
            "distorted_png": png(row + 100),
        }
        for row in range(6)
    ]
    return {
        "format": "pixq evaluation",
        "schema_version": 1,
        "name": "tid2013-test",
        "created": "2026-11-22T21:00:00Z",
        "pixq": "0.1.0",
        "command": "pixq evaluate runs/a --on target/patches --name tid2013-test",
        "run": {"directory": "runs/a", "model_blake3": blake3, "model": "tiny", "head": "regression"},
        "calibration": "default",
        "data": data(),
        "bootstrap": {"resamples": 1000, "level": 0.95, "seed": 0},
        "warnings": ["There are few groups (12): intervals may be too narrow."],
        "methods": methods,
        "against": against,
        "histogram": {"edges": edges.tolist(), "counts": counts},
        "reliability": [
            {
                "low": low / 10,
                "high": (low + 1) / 10,
                "confidence": low / 10 + 0.05,
                "accuracy": 0.1 * low,
                "count": 40 * low,
            }
            for low in range(3, 10)
        ],
        "examples": {"best": [{**each, "answer": "Red"} for each in examples[:3]], "worst": examples},
        **changes,
    }


def model_alone(share: float, half: float = 0.03) -> list[dict[str, Any]]:
    """The methods of an evaluation without rivals, whose model is right in `share` of each class."""
    return [{**evaluation("x")["methods"][0], "patches": metrics(share, half=half)}]


def blake3_of(run: Path) -> str:
    """The digest of a run's weights."""
    digest: str = json.loads((run / "run.json").read_text())["files"]["model.safetensors"]["blake3"]
    return digest


def calibrate(run: Path, **changes: Any) -> None:
    """Give a run a calibration."""
    add_calibration(run, Calibration.model_validate_json(json.dumps(calibration(blake3_of(run), **changes))))


def evaluate(run: Path, **changes: Any) -> None:
    """Give a run an evaluation."""
    write_evaluation(run, EvaluationFile.model_validate_json(json.dumps(evaluation(blake3_of(run), **changes))))
