"""README.md, CONTRIBUTING.md and the documentation: their snippets run, their commands and links exist."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixq.cli import app
from pixq.datasets import Adapter
from pixq.errors import PixqError
from support.documents import DOCUMENTS, ROOT, blocks


def every(*languages: str) -> list[object]:
    return [
        pytest.param(document, line, text, id=f"{document}:{line}")
        for document in DOCUMENTS
        for line, text in blocks(document, *languages)
    ]


@pytest.fixture(scope="module")
def after_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `pixq demo` was run; what it printed is in `printed`."""
    folder = tmp_path_factory.mktemp("readme")
    done = subprocess.run(
        [sys.executable, "-m", "pixq", "demo"],
        cwd=folder,
        # As it is given here, it may be relative.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (folder / "printed").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/getting-started.md"])
def test_the_demo_prints_what_documents_show(document: str, after_the_demo: Path) -> None:
    def lines(text: str) -> list[str]:
        return [re.sub(r"[\d.]+ s$", "", line) for line in text.splitlines() if line]

    ((_, block),) = blocks(document, "text")
    printed = lines((after_the_demo / "printed").read_text(encoding="utf-8"))
    assert [line for line in lines(block) if line not in printed] == []


@pytest.mark.slow
@pytest.mark.parametrize(("document", "line", "text"), every("python"))
def test_snippets_run_and_print_what_they_say(
    document: str, line: int, text: str, after_the_demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(after_the_demo)
    examples = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, document, document, line - 1)
    assert examples.examples, f"{document}, line {line}: write the snippet with >>> and its output"
    complaints: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        examples, out=complaints.append
    )
    assert not complaints, "".join(complaints)


def test_there_are_snippets() -> None:
    snippets = [document for document in DOCUMENTS for _ in blocks(document, "python")]
    assert len(snippets) >= 9
    assert {"README.md", "docs/predict.md", "docs/patch-sets.md", "docs/training.md"} <= set(snippets)


def commands(text: str) -> list[str]:
    return [line.removeprefix("$ ").split(" #")[0].strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("document", "line", "text"), every("sh", "console"))
def test_commands_exist(document: str, line: int, text: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands(text):
        match shlex.split(command):
            case ["make", *names]:
                assert {name for name in names if "=" not in name} <= targets, f"{document}, line {line}: {command}"
            case ["pixq", verb, *rest] if not verb.startswith("-"):
                # Parsed, not run: most name folders that only their reader has.
                rest = [word for word in rest if word not in ("\\",)]
                app.parse_args([verb, *rest], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_to_files_exist(document: str) -> None:
    # What a page of the site includes is linked from where it lies.
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / document).read_text(encoding="utf-8")):
        assert (folder / target).exists(), f"{document} links to {target}, which is not there"


@pytest.fixture
def worked_adapter() -> Adapter:
    """The adapter of docs/extending.md."""
    (text,) = [text for _, text in blocks("docs/extending.md", "python") if "index_mine" in text]
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("".join(example.source for example in doctest.DocTestParser().get_examples(text)), names)
    adapter: Adapter = names["MINE"]
    return adapter


def write_mine(root: Path, scores: str) -> None:
    for file in ("references/sea.png", "distorted/sea_blur_1.png", "distorted/sea_blur_2.png", "distorted/odd.png"):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).touch()
    (root / "scores.txt").write_text(scores, encoding="utf-8")


def test_the_worked_adapter_tells_all_that_is_wrong(worked_adapter: Adapter, tmp_path: Path) -> None:
    scores = "sea_blur_2.png 2\n\nsea_blur_1.png 4\nsea_noise_1.png 3\nSea_Blur_01.PNG 4\n"
    write_mine(tmp_path, scores)
    index = worked_adapter.index(tmp_path)
    assert [(p.image_id, p.distortion_type, p.level, p.quality) for p in index.pairs] == [
        ("sea_blur_1", "blur", 1.0, 0.75),
        ("sea_blur_2", "blur", 2.0, 0.25),
    ]
    assert [(p.kind, p.file, p.detail) for p in index.problems] == [
        ("missing", "distorted/sea_noise_1.png", "scores.txt, line 4; not on disk"),
        ("duplicate", "distorted/Sea_Blur_01.PNG", "scores.txt, line 5, repeats line 3, which was taken"),
        ("extra", "distorted/odd.png", "no line of scores.txt needs it"),
    ]
    write_mine(tmp_path, scores + "sea_blur_2.png 3\n")
    assert [p.image_id for p in worked_adapter.index(tmp_path).pairs] == ["sea_blur_1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sea_blur_1.png", "'sea_blur_1.png' is not `<ref>_<type>_<level>.png <score>`; fix it"),
        ("sea.png 3", "'sea.png 3' is not `<ref>"),
        ("../sea_blur_1.png 3", "the file name '../sea_blur_1.png', which is not plain"),
        ("sea_blur_1.png high", "the score 'high' is not a finite number"),
        ("sea_blur_1.png 6", "score 6 lies outside the scale 1 to 5"),
    ],
)
def test_the_worked_adapter_names_a_wrong_line(
    line: str, message: str, worked_adapter: Adapter, tmp_path: Path
) -> None:
    write_mine(tmp_path, f"sea_blur_2.png 2\n{line}\n")
    with pytest.raises(PixqError) as caught:
        worked_adapter.index(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'scores.txt'}, line 2: ")
    assert message in str(caught.value)


def test_the_worked_adapter_names_a_wrong_root(worked_adapter: Adapter, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="nowhere: no such folder"):
        worked_adapter.index(tmp_path / "nowhere")
    with pytest.raises(PixqError, match=r"no references, distorted, scores\.txt; the root must hold"):
        worked_adapter.index(tmp_path)
