"""`study.toml`: what is let in, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pixq.errors import PixqError
from pixq.study.design.config import Study, read_study
from support.studies import TRUTH, entry, tables, toml, write_study


def written(folder: Path, value: dict[str, Any]) -> Path:
    path = folder / "study.toml"
    path.write_text(toml(value), encoding="utf-8")
    return path


def test_what_is_not_said_is_as_the_paper_had_it(tmp_path: Path) -> None:
    value = tables()
    del value["quota"]
    value["test"] = [entry(f"H{i}", **TRUTH) for i in range(2)]
    study = read_study(written(tmp_path, value))
    assert (study.width_cm, study.height_cm, study.distance_cm, study.min_screen_cm) == (13.797, 10.347, 30.0, 17.0)
    assert (study.hertz, study.clicks, study.min_window, study.scaling) == (8.0, 3, (1360, 760), "physical")
    quota = study.quota
    assert (quota.max_sessions, quota.screen_after, quota.screen_below) == (20, 10, 0.7)
    assert (quota.answers, quota.images, quota.tests) == (30, 10, 2)
    assert study.platform.kind == "local"


def test_the_folder_and_the_file_are_the_same_study(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    study = read_study(tmp_path)
    assert study == read_study(path)
    assert study.folder == tmp_path
    assert [each.id for each in study.everything] == ["S0", "S1", "S2", "T0", "H0", "H1"]
    assert study.test[0].points_yx[1] == (40.0, 60.0)


def test_a_consent_text_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "consent.de.txt").write_text("Ich nehme teil – freiwillig.", encoding="utf-8")
    value = tables(languages=["en", "de"], consent={"en": "Yes.", "de": {"file": "consent.de.txt"}})
    assert read_study(written(tmp_path, value)).consent == {"en": "Yes.", "de": "Ich nehme teil – freiwillig."}


def test_a_study_is_told_without_its_folder(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path))
    told = study.model_dump(mode="json")
    assert "folder" not in told
    assert Study.model_validate_json(study.model_dump_json()) == study.model_copy(update={"folder": Path()})


def changed(**more: Any) -> dict[str, Any]:
    return tables(**more)


def source(**more: Any) -> dict[str, Any]:
    return changed(source=[entry("S0", **more)])


def hidden(**more: Any) -> dict[str, Any]:
    return changed(test=[entry("H0", **TRUTH | more)])


def prolific(**more: Any) -> dict[str, Any]:
    return {"kind": "prolific", "done": "A", "screened_out": "B", "failed": "C", **more}


WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": (changed(hertzz=8), ("hertzz: is not a known key",)),
    "unknown key inside": (changed(quota={"tests": 1, "answer": 3}), ("quota.answer: is not a known key",)),
    "truth of a source": (source(pjnd_range=[1, 2]), ("source[S0].pjnd_range: is not a known key",)),
    "missing title": ({k: v for k, v in tables().items() if k != "title"}, ("title: is missing",)),
    "no source": (changed(source=[]), ("source",)),
    "text for a number": (changed(seed="one"), ("seed: is 'one'", "integer")),
    "flag for a number": (changed(clicks=True), ("clicks: is True",)),
    "too fast": (changed(hertz=61.0), ("hertz: is 61.0", "60")),
    "unknown scaling": (changed(scaling="big"), ("scaling: is 'big'", "'physical' or 'native'")),
    "one id twice": (changed(training=[entry("S1", **TRUTH)]), ("'S1'", "rename one")),
    "absolute": (source(reference="/etc/passwd"), ("source[S0].reference", "inside the study's folder")),
    "dots": (source(reference="images/../../a.png"), ("source[S0].reference", "inside the study's folder")),
    "dots in a pattern": (source(levels="../*.png"), ("source[S0].levels", "inside the study's folder")),
    "drive": (source(reference="C:/a.png"), ("source[S0].reference", "inside the study's folder")),
    "backslash": (source(reference="..\\a.png"), ("source[S0].reference", "inside the study's folder")),
    "empty path": (source(reference=""), ("source[S0].reference", "inside the study's folder")),
    "rule": (source(level="n-101"), ("source[S0].level", '"101-n"')),
    "id": (source(id="a/b"), ("source[a/b].id", "letters")),
    "range backwards": (hidden(pjnd_range=[20, 10]), ("test[H0].pjnd_range", "swap them")),
    "range above": (hidden(pjnd_range=[20, 101]), ("test[H0].pjnd_range[2]: is 101", "100")),
    "one point": (hidden(points_yx=[[1, 2]]), ("test[H0].points_yx", "2")),
    "three numbers": (hidden(points_yx=[[1, 2, 3], [4, 5]]), ("test[H0].points_yx[1]",)),
    "point outside": (hidden(points_yx=[[1, -2], [3, 4]]), ("test[H0].points_yx", "outside the image")),
    "no truth": (changed(test=[entry("H0")]), ("test[H0].pjnd_range: is missing",)),
    "more tests than there are": (changed(quota={"tests": 3}), ("quota.tests", "[[test]] has 2", "lower it")),
    "language without consent": (changed(languages=["en", "de"]), ("consent", "'de'", "add consent.de")),
    "consent without language": (changed(consent={"en": "a", "de": "b"}), ("consent", "'de'", "languages")),
    "default language": (changed(default_language="de"), ("default_language", "'de'")),
    "language": (changed(languages=["English"]), ("languages[1]", "language tag")),
    "folder": (changed(folder="/"), ("folder: is not a known key",)),
    "consent file": (changed(consent={"en": {"file": "no.txt"}}), ("consent.en: no.txt", "write the consent text")),
    "consent file outside": (changed(consent={"en": {"file": "../a.txt"}}), ("consent.en: ../a.txt", "inside")),
    "consent table": (changed(consent={"en": {"path": "a"}}), ("consent.en", "file =")),
    "window": (changed(min_window=[0, 5]), ("min_window", "[1360, 760]")),
    "codes of Prolific": (changed(platform={"kind": "prolific", "done": "A"}), ("platform", "screened_out and failed")),
    "one code for two": (changed(platform={"done": "A", "failed": "A"}), ("platform", "each its own")),
    "plain http": (changed(platform={"url": "http://a.example/?c={code}"}), ("platform.url", "https://")),
    "url without code": (changed(platform={"url": "https://a.example/"}), ("platform.url", "{code}")),
    "other braces": (changed(platform={"url": "https://a.example/{code}/{x}"}), ("platform.url", "no other")),
    "script": (changed(platform={"url": "https://a.example/{code}\"><b>"}), ("platform.url", "no spaces")),
    "signature without domain": (changed(platform=prolific(signature={})), ("platform.signature.domain: is missing",)),
    "address for a domain": (
        changed(platform=prolific(signature={"domain": "https://a.example"})),
        ("platform.signature.domain", "like study.example.org"),
    ),
    "keys by plain http": (
        changed(platform=prolific(signature={"domain": "a.example", "jwks": "http://a.example/k"})),
        ("platform.signature.jwks", "https://"),
    ),
    "keys elsewhere": (
        changed(platform=prolific(signature={"domain": "a.example", "jwks": "../k.json"})),
        ("platform.signature.jwks", "inside the study's folder"),
    ),
    "signature of no platform": (changed(platform={"signature": {"domain": "a.example"}}), ("platform", "remove it")),
    "share of answers": (changed(qualification={"unwatched": 2}), ("qualification.unwatched: is 2",)),
    "code of another outcome": (
        changed(platform=prolific(), qualification={"code": "B"}), ("qualification.code: is 'B'", "give its own")
    ),
    "a NUL": (changed(contact="a\x00b"), ("NUL character", "remove it")),
    "platform": (changed(platform={"kind": "mturk"}), ("platform.kind: is 'mturk'", "'prolific', 'link' or 'local'")),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_names_the_file_the_key_and_the_fix(tmp_path: Path, name: str) -> None:
    value, words = WRONG[name]
    path = written(tmp_path, value)
    with pytest.raises(PixqError) as caught:
        read_study(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    for word in words:
        assert word in said, said


def test_files_that_are_no_study(tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="pixq study new"):
        read_study(tmp_path)
    path = tmp_path / "study.toml"
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(PixqError, match="UTF-8"):
        read_study(path)
    path.write_text("title = \n", encoding="utf-8")
    with pytest.raises(PixqError, match=r"is not valid TOML: .*line 1"):
        read_study(path)
    for text in ("1" * 5000, "[" * 5000, "source = 3\ntitle='a'\ncontact='b'\nconsent.en='c'", "consent = 3"):
        path.write_text(f"a = {text}" if text[0] in "1[" else text, encoding="utf-8")
        with pytest.raises(PixqError, match=r"study\.toml: "):
            read_study(path)


def test_a_consent_file_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    inside = tmp_path / "study"
    inside.mkdir()
    (inside / "consent.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(PixqError, match="lies outside"):
        read_study(written(inside, tables(consent={"en": {"file": "consent.txt"}})))
