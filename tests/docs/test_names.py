"""What the documentation names exists: modules and their members, files, options of commands; and its form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from pixq.cli import app
from pixq.study.design.config import Qualification, Signature, TruthSource
from pixq.study.design.survey import QUESTION_KINDS, check_survey, parse_survey
from support.documents import DOCUMENTS, ROOT, blocks, prose

#: Options of other programs than pixq.
FOREIGN_OPTIONS = {"--nproc-per-node"}


@cache
def options_of_commands() -> set[str]:
    """All options of pixq's commands, as their help names them."""
    return {*re.findall(r"--[a-z][a-z-]*", app.generate_docs()), "--help", "--debug", *FOREIGN_OPTIONS}


def resolve(name: str) -> object:
    """The object of a dotted name such as `pixq.scoring.scorer.Scorer.map`."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("pixq"):
                raise
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(f"{name} does not exist")


def names_in(text: str) -> Iterator[str]:
    """Dotted names of pixq in inline code, roles and directives of autodoc."""
    for code in re.findall(r"`([^`\n]+)`", text):
        if match := re.fullmatch(r"(?:[^<]*<|~)?(pixq(?:\.\w+)+)>?(?:\(.*\))?", code):
            yield match[1]
    yield from re.findall(r"^\.\. auto\w+:: (pixq(?:\.\w+)*)", text, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_pixq_resolve(document: str) -> None:
    for name in names_in((ROOT / document).read_text(encoding="utf-8")):
        try:
            resolve(name)
        except (AssertionError, AttributeError):
            pytest.fail(f"{document} names {name}, which does not exist")


def test_names_are_found() -> None:
    text = "{mod}`pixq.cli` {meth}`Scorer.map <pixq.scoring.scorer.Scorer.map>` `pixq.load()` `pixq predict`"
    assert list(names_in(text)) == ["pixq.cli", "pixq.scoring.scorer.Scorer.map", "pixq.load"]
    assert len(list(names_in((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))) >= 10
    with pytest.raises(AttributeError):
        resolve("pixq.scoring.scorer.Scorer.nothing")


def test_new_names_of_the_changelog_resolve() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Renamed")[2].partition("###")[0]
    rows = re.findall(r"^\| `pixq\.[^|]* \| (`[^|]*) \|$", text, re.MULTILINE)
    assert len(rows) > 20
    for row in rows:
        first, *rest = re.findall(r"`([\w.]+)`", row)
        for name in (first, *(f"{first.rpartition('.')[0]}.{other}" for other in rest)):
            resolve(name)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_of_the_repository_exist(document: str) -> None:
    for path in re.findall(r"`((?:python|rust|tests|tools|benches|docs)/[\w./-]*)`", prose(document)):
        # What a command makes is no file of the repository.
        if not path.startswith("docs/_build"):
            assert (ROOT / path).exists(), f"{document} names {path}, which does not exist"


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.startswith(("README", "docs/"))])
def test_options_exist(document: str) -> None:
    for code in re.findall(r"`([^`\n]+)`", prose(document)):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
            assert option in options_of_commands(), f"{document} names {option}, which no command has"


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_lines_are_short(document: str) -> None:
    # Tables, pictures and titles can't be broken.
    long = [
        f"{document}, line {number}: {len(line)} characters"
        for number, line in enumerate(prose(document).splitlines(), start=1)
        if len(line) > 100 and not line.startswith(("|", "![", "#"))
    ]
    assert long == []


def test_tables_of_study_toml_are_valid() -> None:
    for _, text in blocks("docs/study.md", "toml"):
        tables = tomllib.loads(text)
        for source in tables.get("test", []):
            TruthSource.model_validate(source)
        questions = parse_survey(tables.get("survey", []))
        check_survey(questions, ["en"])
        if questions:
            assert {question.kind for question in questions} == set(QUESTION_KINDS)
        if "qualification" in tables:
            Qualification.model_validate(tables["qualification"])
        if "platform" in tables:
            Signature.model_validate(tables["platform"]["signature"])
        assert set(tables) <= {"test", "survey", "qualification", "platform"}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_command_and_page_is_in_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert "commands" in index
    assert "cyclopts} pixq.cli:app" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_pictures_are_small_and_used() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    assert sum(path.stat().st_size for path in pictures) < 300_000
    pages = "".join((ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    assert [path.name for path in pictures if path.name not in pages] == []


@pytest.mark.slow
def test_make_pictures_draws_those_that_are_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.syspath_prepend(ROOT / "tools")
    pytest.importorskip("skimage")
    import_module("pictures").draw(tmp_path)
    committed = {path.name: path for path in (ROOT / "docs" / "pictures").iterdir() if path.suffix != ".svg"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(committed)
    for path in tmp_path.iterdir():
        with Image.open(path) as drawn, Image.open(committed[path.name]) as picture:
            assert drawn.size == picture.size
