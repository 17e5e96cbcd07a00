"""The published JSON Schemas against a plain statement of the same rules, and against what pixq itself reads."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from pixq.patches.schema import ImageLine, Manifest, RecordLine
from pixq.predict.json_file import Prediction
from pixq.schemas import schema

# What a value must be, as functions of it.

Rule = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def anything(value: Any) -> bool:
    return True


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def integer(value: Any) -> bool:
    return number(value) and value == int(value)


def between(low: float, high: float, kind: Rule = integer) -> Rule:
    return lambda value: kind(value) and low <= value <= high


def at_least(low: float) -> Rule:
    return between(low, float("inf"))


def one_of(*values: object) -> Rule:
    return lambda value: not isinstance(value, bool) and value in values


def written_as(pattern: str) -> Rule:
    return lambda value: text(value) and re.fullmatch(pattern, value) is not None


def or_null(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def either(*rules: Rule) -> Rule:
    return lambda value: any(rule(value) for rule in rules)


def list_of(rule: Rule, least: int = 0, most: float = float("inf")) -> Rule:
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(rule, value))


def map_of(rule: Rule, least: int = 0) -> Rule:
    return lambda value: isinstance(value, dict) and len(value) >= least and all(map(rule, value.values()))


def keys(optional: dict[str, Rule] | None = None, /, **required: Rule) -> Rule:
    rules = required | (optional or {})
    return lambda value: (
        isinstance(value, dict)
        and required.keys() <= value.keys() <= rules.keys()
        and all(rules[key](value[key]) for key in value)
    )


count, positive, share = at_least(0), at_least(1), between(0, 1, number)
digest = written_as("[0-9a-f]{64}")
split = one_of("train", "validation", "test")
fusion = one_of("none", "copy", "blend", "paste")
roi = keys(y=count, x=count, height=positive, width=positive)
near = keys(references=list_of(text, 2, 2), bits=between(0, 64))

intent = or_null(one_of("relative colorimetric"))
background = one_of("black", "white", "checker")

RULES: dict[str, Rule] = {
    "manifest": keys(
        {"pixels": keys(colours=one_of("sRGB", "raw"), intent=intent, background=or_null(background))},
        format=one_of("pixq patch set"),
        schema_version=one_of(1),
        pixq_version=text,
        dataset=keys(name=text, title=text, licence=text, citation=text),
        label_contract=keys(
            name=text,
            polarity=one_of("higher-is-better", "lower-is-better"),
            minimum=number,
            maximum=number,
            unit=text,
            raters=or_null(integer),
            subject=one_of("image", "patch"),
            synthetic=flag,
            note=text,
        ),
        label=keys(kind=one_of("image", "energy"), meaning=text),
        geometry=keys(size=positive, roi=roi),
        fusions=list_of(keys(type=fusion, alpha=or_null(share)), 1),
        sampling=either(
            keys(type=one_of("grid"), stride=positive), keys(type=one_of("random", "texture"), n=positive)
        ),
        seed=count,
        min_difference=between(0, 255),
        unchanged=one_of("keep", "drop"),
        filter=keys(buckets=or_null(list_of(text)), max_levels=or_null(integer), excluded=map_of(positive)),
        splits=keys(
            {"given": text},
            by=one_of("reference"),
            ratio=list_of(number, 3, 3),
            folds=positive,
            images=keys(train=count, validation=count, test=count),
            groups=map_of(keys(split=split, fold=count)),
        ),
        photos=keys(sha256=map_of(digest), same=list_of(text), near_duplicates=list_of(near)),
        counts=keys(
            images=count, skipped=count, problems=count, patches=count,
            records=count, unchanged=count, dropped=count, identical=count,
        ),
        skipped=list_of(
            keys(
                kind=one_of("missing", "duplicate", "corrupt", "unusable"),
                image_id=or_null(text), file=text, reason=text, blake3=or_null(text),
            )
        ),
        problems=list_of(
            keys(
                kind=one_of("missing", "duplicate", "extra", "corrupt", "leak"), file=text, detail=text, left_out=flag
            )
        ),
        images=keys(file=one_of("images.jsonl"), lines=count, bytes=count, blake3=digest),
        shards=list_of(
            keys(
                name=written_as("shard-[0-9]{5}"), split=split, groups=list_of(text), reference_rows=count,
                distorted_rows=count, records=count, files=map_of(keys(bytes=count, blake3=digest)),
            )
        ),
        identity=map_of(anything),
    ),
    "image": keys(
        {"attributes": map_of(text, 1), "reference_profile": or_null(text), "distorted_profile": or_null(text)},
        image_id=text, reference_id=text, group=text, distortion_type=text, level=or_null(number), MOS=number,
        quality=share, PSNR_image=or_null(number),
        bucket=list_of(one_of("no_flicker", "slight_flicker", "same_score")),
        split=split, fold=count, shard=text, reference=text, distorted=text, blend_with=or_null(text),
        height=positive, width=positive, reference_icc=flag, distorted_icc=flag, reference_blake3=digest,
        distorted_blake3=digest, blend_with_blake3=or_null(text), patches=count, records=count, unchanged=count,
        identical=count,
    ),
    "record": keys(
        image_id=text, patch_id=count, coords=keys(x=count, y=count), distortion_type=text, MOS=number,
        PSNR=or_null(number), fusion_type=fusion, alpha=or_null(share), quality=share, reference_row=count,
        distorted_row=count, PSNR_roi=or_null(number), identical=flag,
    ),
    "prediction": keys(
        {
            "pixels": or_null(
                keys(
                    colours=one_of("sRGB", "raw"), intent=intent, reference_profile=or_null(text),
                    distorted_profile=or_null(text), backgrounds=list_of(background), background=or_null(background),
                    frame=or_null(integer), reference_notes=list_of(text), distorted_notes=list_of(text),
                )
            )
        },
        format=one_of("pixq prediction"),
        schema_version=one_of(1),
        pixq=text,
        reference=text,
        distorted=text,
        model=keys(name=text, blake3=digest),
        calibration=or_null(text),
        cuts=keys(orange=either(number, one_of("always", "never")), green=either(number, one_of("always", "never"))),
        grid=keys(height=positive, width=positive, size=positive, stride=positive, rows=positive, columns=positive),
        image=keys(
            quality=share, worst=share, shares=keys(Red=share, Orange=share, Green=share), unsure=or_null(share),
            identical=share,
        ),
        warnings=list_of(text),
        patches=keys(
            **{"class": list_of(one_of("Red", "Orange", "Green"), 1)},
            y=list_of(count, 1), x=list_of(count, 1), score=list_of(or_null(number), 1), quality=list_of(share, 1),
            identical=list_of(flag, 1), unsure=or_null(list_of(flag, 1)),
        ),
    ),
}  # fmt: skip

TYPES: dict[str, Any] = {"manifest": Manifest, "image": ImageLine, "record": RecordLine, "prediction": Prediction}
HEX = "0123456789abcdef" * 4
DOCUMENTS: dict[str, dict[str, Any]] = {
    "manifest": {
        "format": "pixq patch set",
        "schema_version": 1,
        "pixq_version": "1.0",
        "dataset": {"name": "pairs", "title": "", "licence": "", "citation": ""},
        "label_contract": {
            "name": "MOS", "polarity": "lower-is-better", "minimum": -1.5, "maximum": 9, "unit": "", "raters": 30,
            "subject": "image", "synthetic": False, "note": "",
        },
        "label": {"kind": "energy", "meaning": ""},
        "geometry": {"size": 20, "roi": {"y": 4, "x": 4, "height": 12, "width": 12}},
        "fusions": [{"type": "blend", "alpha": 0.5}, {"type": "copy", "alpha": None}],
        "sampling": {"type": "grid", "stride": 20},
        "seed": 2**64 - 1,
        "min_difference": 255,
        "unchanged": "drop",
        "pixels": {"colours": "sRGB", "intent": "relative colorimetric", "background": "white"},
        "filter": {"buckets": ["same_score"], "max_levels": 3, "excluded": {"more than 3 levels": 4}},
        "splits": {
            "by": "reference", "ratio": [0.5, 0.5, 0], "folds": 5,
            "images": {"train": 1, "validation": 1, "test": 0},
            "groups": {"a": {"split": "train", "fold": 0}},
            "given": "kept",
        },
        "photos": {"sha256": {"a": HEX}, "same": ["why"], "near_duplicates": [{"references": ["a", "b"], "bits": 8}]},
        "counts": {
            "images": 1, "skipped": 1, "problems": 1, "patches": 6, "records": 12, "unchanged": 0, "dropped": 0,
            "identical": 0,
        },
        "skipped": [{"kind": "unusable", "image_id": "b", "file": "b.png", "reason": "", "blake3": HEX}],
        "problems": [{"kind": "leak", "file": "b.png", "detail": "", "left_out": True}],
        "images": {"file": "images.jsonl", "lines": 1, "bytes": 500, "blake3": HEX},
        "shards": [
            {
                "name": "shard-00000", "split": "train", "groups": ["a"], "reference_rows": 6, "distorted_rows": 6,
                "records": 12, "files": {"shard-00000.jsonl": {"bytes": 10, "blake3": HEX}},
            }
        ],
        "identity": {"seed": 0},
    },
    "image": {
        "image_id": "b", "reference_id": "a", "group": "a", "distortion_type": "noise", "level": 1.5, "MOS": 4,
        "quality": 0.5, "PSNR_image": 30.1, "bucket": ["no_flicker", "slight_flicker"], "split": "test", "fold": 0,
        "shard": "shard-00000", "reference": "a.png", "distorted": "b.png", "blend_with": "c.png", "height": 40,
        "width": 60, "reference_icc": True, "distorted_icc": False, "reference_blake3": HEX, "distorted_blake3": HEX,
        "blend_with_blake3": HEX, "patches": 6, "records": 12, "unchanged": 0, "identical": 0,
        "attributes": {"method": "new"}, "reference_profile": "Display P3", "distorted_profile": None,
    },
    "record": {
        "image_id": "b", "patch_id": 0, "coords": {"x": 20, "y": 0}, "distortion_type": "noise", "MOS": 4.5,
        "PSNR": 30.1, "fusion_type": "blend", "alpha": 0.5, "quality": 0.5, "reference_row": 0, "distorted_row": 0,
        "PSNR_roi": None, "identical": False,
    },
    "prediction": {
        "format": "pixq prediction",
        "schema_version": 1,
        "pixq": "1.0",
        "reference": "a.png",
        "distorted": "b.png",
        "model": {"name": "tiny", "blake3": HEX},
        "calibration": "photos",
        "cuts": {"orange": "always", "green": 0.66},
        "grid": {"height": 20, "width": 40, "size": 20, "stride": 20, "rows": 1, "columns": 2},
        "image": {
            "quality": 0.9, "worst": 0.5, "shares": {"Red": 0, "Orange": 0.5, "Green": 0.5}, "unsure": 0.5,
            "identical": 0.5,
        },
        "warnings": ["look"],
        "pixels": {
            "colours": "sRGB", "intent": "relative colorimetric", "reference_profile": "Display P3",
            "distorted_profile": None, "backgrounds": ["black", "white"], "background": "white",
            "frame": None, "reference_notes": [], "distorted_notes": ["is damaged"],
        },
        "patches": {
            "y": [0, 0], "x": [0, 20], "score": [0.5, None], "quality": [0.5, 1], "class": ["Orange", "Green"],
            "identical": [False, True], "unsure": [True, False],
        },
    },
}  # fmt: skip

VALUES: list[Any] = [
    None, True, 0, 1, 3.0, -1, 0.5, -0.5, 1.5, 65, 256, "", "x", HEX, HEX.upper(), HEX[1:], f"{HEX}a", "never",
    "test", "shard-1", "shard-00001", "shard-000001", [], [None], [True], [0.5], [1, 2, 3], ["a", "b"],
    ["a", "b", "c"], ["no_flicker"], ["Red"], [-1], {}, {"a": 1}, {"a": 0}, {"a": "b"}, {"a": HEX}, {"a": {}},
    {"type": "random", "n": 5}, {"type": "texture", "n": 0}, {"type": "grid", "n": 5}, {"type": "random", "stride": 5},
]  # fmt: skip


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, as the keys that lead to it."""
    yield before
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*before, key))


def changed(document: Any, place: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of the document with another value at one place."""
    if not place:
        return change(document)
    document = copy.copy(document)
    document[place[0]] = changed(document[place[0]], place[1:], change)
    return document


def mutants(document: dict[str, Any]) -> Iterator[Any]:
    """Other values everywhere; objects with a key more or less, lists with an item more or less."""
    yield document
    for place in places(document):
        for value in VALUES:
            yield changed(document, place, lambda _, value=value: value)
        part = document
        for key in place:
            part = part[key]
        if isinstance(part, dict):
            for key in part:
                yield changed(document, place, lambda part, key=key: {k: v for k, v in part.items() if k != key})
            for value in (1, "b", HEX, {"split": "train", "fold": 0}):
                yield changed(document, place, lambda part, value=value: {**part, "extra": value})
        if isinstance(part, list):
            yield changed(document, place, lambda part: part[1:])
            for value in (None, True, -1, 0.5, 2, "x", "b", {}, *part[:1]):
                yield changed(document, place, lambda part, value=value: [*part, value])


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_a_schema_accepts_what_the_rules_accept(name: str) -> None:
    published = schema(name)  # type: ignore[arg-type]
    Draft202012Validator.check_schema(published)
    validator, rule = Draft202012Validator(published), RULES[name]
    verdicts = set()
    for document in mutants(DOCUMENTS[name]):
        assert validator.is_valid(document) == rule(document), document
        verdicts.add(rule(document))
    assert rule(DOCUMENTS[name])
    assert verdicts == {True, False}


@pytest.mark.parametrize("name", RULES)
def test_pixq_reads_what_its_schema_accepts(name: str) -> None:
    reader, rule = TypeAdapter(TYPES[name]), RULES[name]
    for document in mutants(DOCUMENTS[name]):
        try:
            reader.validate_json(json.dumps(document))
            accepted = True
        except ValidationError:
            accepted = False
        # A prediction must also agree with itself. Whole numbers written as 3.0 are refused, and True passes for a 1.
        text = json.dumps(document)
        if '"schema_version": true' not in text and (accepted or (name != "prediction" and "3.0" not in text)):
            # `read_prediction` looks at these two keys itself.
            written = {"format": "pixq prediction", "schema_version": 1} if name == "prediction" else {}
            assert accepted == rule(written | document if isinstance(document, dict) else document), document


@pytest.mark.parametrize(
    ("name", "title", "description"),
    [
        ("manifest", "manifest.json of a pixq patch set", "What a patch set says about itself."),
        ("image", "an image pair of a pixq patch set", "A line of images.jsonl: one image pair."),
        ("record", "a record of a pixq patch set", "A line of a shard's .jsonl: one fused patch."),
        ("prediction", "a pixq prediction", "What a model says about an image pair."),
    ],
)
def test_a_schema_says_what_it_describes(name: str, title: str, description: str) -> None:
    published = schema(name)  # type: ignore[arg-type]
    assert published["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (published["title"], published["description"]) == (title, description)
    for part in (published, *published.get("$defs", {}).values()):
        assert part["description"], part["title"]
        # Nothing that is not described is written, and all that is described is written, but for these.
        assert part["additionalProperties"] is False
        later = {"pixels", "reference_profile", "distorted_profile", "frame", "notes"}
        later |= {"visibility", "cut_scale", "jnd", "viewing", "display", "distance", "task"}
        later |= {"pixels_per_degree", "peak_luminance", "ambient"}
        later |= {"kind", "observers", "raters", "noticed", "pjnd_range"}
        assert set(part["properties"]) - set(part.get("required", [])) <= {"given", "attributes", *later}


def test_descriptions_stand_beside_the_keys() -> None:
    record = schema("record")["properties"]
    assert record["reference_row"]["description"] == "row in the shard's reference.npy"
    assert record["PSNR"]["description"].endswith("null where it equals its reference")
    manifest = schema("manifest")["$defs"]
    assert manifest["PhotosEntry"]["properties"]["near_duplicates"]["description"] == "references that look alike"
