"""What a report says in words: numbers with intervals, contracts, verdicts, and the commands that repeat a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pixq.decisions.calibration_file import Calibration
from pixq.evaluation.files import METRICS, Difference, EvaluationFile, Metrics
from pixq.patches.schema import Manifest
from pixq.runs.directory import RunInfo

__all__ = [
    "build_command",
    "calibrate_command",
    "chance",
    "contract",
    "fusion_name",
    "interval",
    "mix",
    "plain",
    "seconds",
    "signed",
    "status",
    "text_on",
    "train_command",
    "verdict",
]

DASH = "–"


def plain(value: float | None, metric: str = "") -> str:
    """A metric's value; a dash where it is not defined.

    Examples
    --------
    >>> plain(0.12345), plain(0.12345, "mse"), plain(None)
    ('0.123', '0.1235', '–')
    """
    if value is None:
        return DASH
    text = f"{value:.4f}" if metric == "mse" else f"{value:.3f}"
    return text.replace("-", "−")


def signed(value: float | None, metric: str = "") -> str:
    """A difference, with its sign.

    Examples
    --------
    >>> signed(0.0312), signed(-0.5)
    ('+0.031', '−0.500')
    """
    if value is None:
        return DASH
    return ("−" if value < 0 else "+") + plain(abs(value), metric)


def interval(low: float | None, high: float | None, metric: str = "", *, sign: bool = False) -> str:
    """A confidence interval; nothing where there is none."""
    if low is None or high is None:
        return ""
    show = signed if sign else plain
    return f"{show(low, metric)} to {show(high, metric)}"


def seconds(value: float) -> str:
    """A time as people say it.

    Examples
    --------
    >>> seconds(3.21), seconds(125.0), seconds(7384.0)
    ('3.2 s', '2 min 5 s', '2 h 3 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{value // 60:.0f} min {value % 60:.0f} s"
    return f"{value // 3600:.0f} h {value % 3600 // 60:.0f} min"


def contract(label: Mapping[str, Any]) -> str:
    """A label contract as a sentence; a key that is missing is left out.

    Examples
    --------
    >>> contract({"name": "MOS", "polarity": "lower-is-better", "minimum": 0.0, "maximum": 100.0, "subject": "image"})
    'MOS, from 0 to 100; lower is better; a score of the whole image, which its patches share.'
    """
    told = str(label.get("name", "score"))
    if "minimum" in label and "maximum" in label:
        told += f", from {label['minimum']:g} to {label['maximum']:g}"
    if label.get("unit"):
        told += f" ({label['unit']})"
    parts = [told]
    if "polarity" in label:
        parts.append(str(label["polarity"]).replace("-", " "))
    subject = label.get("subject")
    if subject == "image":
        parts.append("a score of the whole image, which its patches share")
    elif subject == "patch":
        parts.append("a score of the patch itself")
    if label.get("raters"):
        parts.append(f"{label['raters']} raters a score")
    if label.get("synthetic"):
        parts.append("synthetic: no person gave it")
    note = f" {label['note']}" if label.get("note") else ""
    return "; ".join(parts) + "." + note


def fusion_name(fusion: Mapping[str, Any]) -> str:
    """A fusion as --fusion takes it."""
    alpha = fusion.get("alpha")
    return str(fusion["type"]) if alpha is None else f"{fusion['type']}:{alpha:g}"


def verdict(difference: Difference, title: str) -> tuple[str, str]:
    """Whether the model beats a rival: `better`, `worse`, `same` or `unknown`, and a sentence.

    Examples
    --------
    >>> verdict(Difference(name="psnr", metric="accuracy", value=0.1, low=0.05, high=0.2), "PSNR")
    ('better', 'beats PSNR: +0.100 (+0.050 to +0.200)')
    >>> verdict(Difference(name="psnr", metric="mse", value=0.1, low=0.05, high=0.2), "PSNR")[0]
    'worse'
    """
    name, (value, low, high) = difference.metric, (difference.value, difference.low, difference.high)
    if value is None:
        return "unknown", f"cannot be compared with {title}: one of the two is not defined"
    size = signed(value, name)
    if low is None or high is None:
        return "unknown", f"differs from {title} by {size}, without an interval"
    span = f"{size} ({interval(low, high, name, sign=True)})"
    if low <= 0.0 <= high:
        return "same", f"not distinguishable from {title}: {span}"
    wins = (low > 0.0) == (METRICS[name][1] is not False)
    return ("better", f"beats {title}: {span}") if wins else ("worse", f"loses to {title}: {span}")


def chance(figures: Metrics) -> float | None:
    """The balanced accuracy of guessing: one in the classes that there are; `None` where there is none."""
    classes = sum(any(row) for row in figures.confusion)
    return 1 / classes if classes else None


def chance_words(figures: Metrics) -> str:
    """Whether a balanced accuracy is better than guessing; nothing where that can't be told."""
    each, guess = figures.estimates.get("balanced_accuracy"), chance(figures)
    if each is None or each.low is None or guess is None:
        return ""
    return f"above chance ({guess:.3f})" if each.low > guess else f"not above chance ({guess:.3f})"


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def mix(color: str, share: float) -> str:
    """`share` of a colour on white, both `#rrggbb`.

    Examples
    --------
    >>> mix("#c93a32", 0.0), mix("#c93a32", 1.0)
    ('#ffffff', '#c93a32')
    """
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in _rgb(color))


def luminance(color: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_on(color: str) -> str:
    """Black or white, whichever stands out more from `color`: a contrast of 4.5 or more on any colour.

    Examples
    --------
    >>> text_on("#ffffff"), text_on("#0072b2")
    ('#000000', '#ffffff')
    """
    light = luminance(color)
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#ffffff"


def _command(*words: object) -> str:
    """A command for a shell, an option a line where it is long."""
    quoted = [shlex.quote(str(word)) for word in words]
    line = " ".join(quoted)
    if len(line) <= 84:
        return line
    lines = [""]
    for word in quoted:
        if word.startswith("--") and len(lines[-1]) > 60:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def build_command(manifest: Manifest, out: str) -> str:
    """The `pixq build-patches` that makes a patch set again, but for where its dataset lies."""
    dataset, sampling, splits = manifest["dataset"]["name"], manifest["sampling"], manifest["splits"]
    words: list[object] = ["pixq", "build-patches", "--root", "DATASET", "--dataset", dataset]
    label = manifest["label_contract"]
    if "by its user" in label["note"]:
        words += ["--polarity", label["polarity"]]
    if dataset == "pairs":
        words += ["--score-range", f"{label['minimum']:g},{label['maximum']:g}", "--unit", label["unit"]]
    words += ["--fusion", *map(fusion_name, manifest["fusions"]), "--label", manifest["label"]["kind"]]
    words += ["--sampling", sampling["type"]]
    words += ["--stride", sampling["stride"]] if "stride" in sampling else ["--patches", sampling["n"]]
    words += ["--min-difference", manifest["min_difference"], "--unchanged", manifest["unchanged"]]
    words += ["--bucket", *(manifest["filter"]["buckets"] or ["all"])]
    if manifest["filter"]["max_levels"] is not None:
        words += ["--max-levels", manifest["filter"]["max_levels"]]
    words += ["--split", ",".join(f"{share:g}" for share in splits["ratio"]), "--folds", splits["folds"]]
    geometry = manifest["geometry"]
    words += ["--seed", manifest["seed"], "--patch-size", geometry["size"], "--roi-size", geometry["roi"]["height"]]
    if "max_pixels" in manifest["identity"]:
        words += ["--max-pixels", manifest["identity"]["max_pixels"]]
    return _command(*words, "--out", out)


def train_command(info: RunInfo, run: str, out: str, *options: str) -> str:
    """The `pixq train`, or `pixq adapt`, that makes a run again in `out`, by its own recipe."""
    if info.adapted is not None:
        begun, target = info.adapted.get("from", {}), info.adapted.get("to", {})
        where = [begun.get("directory", "RUN"), "--to", target.get("directory", "PATCHES")]
        return _command("pixq", "adapt", *where, "--how", info.adapted.get("how", ""), "--out", out)
    if info.started_from is not None:
        options += ("--from", info.started_from.directory)
        options += () if info.started_from.only is None else ("--only", info.started_from.only)
    words = ["pixq", "train", info.patches["directory"], "--recipe", f"{run}/recipe.toml", "--out", out]
    return _command(*words, "--device", info.hardware.get("device", "auto"), *options)


def status(info: RunInfo) -> str:
    """How a run ended."""
    ends = {"epochs": "finished, all epochs", "patience": "finished, stopped early"}
    return ends.get(info.status, f"not finished, {info.status}")


def calibrate_command(calibration: Calibration, run: str) -> str:
    """The `pixq calibrate` that makes a calibration again, in its own place."""
    words = ["pixq", "calibrate", run, "--target", calibration.data.directory, "--name", calibration.name]
    words += ["--split", calibration.data.split, "--objective", calibration.objective]
    if calibration.cost is not None:
        words += ["--cost", "/".join(",".join(f"{cost!r}" for cost in row) for row in calibration.cost)]
    if calibration.conformal is not None:
        words += ["--coverage", repr(calibration.conformal.coverage)]
    drawn = calibration.bootstrap
    words += ["--resamples", str(drawn.resamples), "--level", repr(drawn.level), "--seed", str(drawn.seed)]
    return _command(*words, "--force")


def find_warnings(
    info: RunInfo,
    manifest: Manifest | None,
    changed: bool,
    calibrations: Sequence[Calibration],
    evaluations: Sequence[EvaluationFile],
) -> list[str]:
    """All that a reader must know before the numbers, the gravest first."""
    found = []
    if info.status not in ("epochs", "patience"):
        found.append(f"The run is not finished: its status is {info.status}. Go on with pixq train --resume.")
    weights = info.files.get("model.safetensors", {}).get("blake3")
    for calibration in calibrations:
        if weights is not None and calibration.model.blake3 != weights:
            found.append(f"Calibration {calibration.name} was made with other weights than this run's; calibrate anew.")
    for evaluation in evaluations:
        name = f"Evaluation {evaluation.name}"
        if weights is not None and evaluation.run.model_blake3 != weights:
            found.append(f"{name} was made with other weights than this run's; evaluate anew.")
        own = evaluation.data.fingerprint == info.patches["fingerprint"]
        if own and evaluation.data.split in ("train", "validation"):
            used = "trained on" if evaluation.data.split == "train" else "used to stop training and keep weights"
            found.append(f"{name} is on the {evaluation.data.split} split, which was {used}: its figures are too good.")
        for calibration in calibrations:
            same = (calibration.data.fingerprint, calibration.data.split)
            if calibration.name == evaluation.calibration and same == (
                evaluation.data.fingerprint,
                evaluation.data.split,
            ):
                found.append(f"{name} is on the very patches that its cuts were chosen on: its figures are too good.")
    if changed:
        found.append("The patch set is not the one that was trained on: its fingerprint is another.")
    contracts = [("The labels that were trained on", info.patches["label_contract"])]
    contracts += [(f"The labels of evaluation {each.name}", each.data.label_contract) for each in evaluations]
    contracts += [(f"The labels of calibration {each.name}", each.data.label_contract) for each in calibrations]
    found += [f"{what} are synthetic: no person gave them." for what, label in contracts if label.get("synthetic")]
    found += [f"Calibration {each.name}: {text}" for each in calibrations for text in each.warnings]
    # An evaluation repeats what its calibration warned of.
    said = {f"calibration {each.name}: {text}" for each in calibrations for text in each.warnings}
    found += [f"Evaluation {each.name}: {text}" for each in evaluations for text in each.warnings if text not in said]
    if manifest is not None and (problems := len(manifest["problems"])):
        found.append(
            f"The dataset had {problems} problems when it was cut; {len(manifest['skipped'])} images were left out."
        )
    return found
