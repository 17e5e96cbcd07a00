"""How the study's page is built: from a lock file that anyone can use, and when its sources changed."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "python" / "pixq" / "study" / "web"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The builder, with a folder of its own: two sources and a page."""
    spec = importlib.util.spec_from_file_location("study_page", ROOT / "tools" / "study_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    web, page, serve = tmp_path / "web", tmp_path / "page", tmp_path / "serve"
    names = {
        web: ("src/main.ts", "package-lock.json", "test/a.test.ts", "node_modules/a/b.js"),
        serve: ("flicker.js", "page.css", "icon.svg", "constants.json"),
        page: ("index.html", "page.js", "page.css", "offline.js", "flicker-jnd.js", "licenses.txt"),
    }
    for folder, files in names.items():
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")
            os.utime(folder / name, (100, 200 if folder == page else 100))
    (tmp_path / ".git").mkdir()
    values = {"ROOT": tmp_path, "WEB": web, "PAGE": page, "ASSETS": serve, "CONSTANTS": (serve / "constants.json",)}
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_the_lock_file_names_no_private_place() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text("utf-8"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert {"node_modules/jspsych", "node_modules/esbuild", "node_modules/typescript"} <= set(packages)
    for name, each in packages.items():
        assert "resolved" not in each, name
        assert each["integrity"].startswith("sha512-"), name


def test_versions_are_exact() -> None:
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert all(version[0].isdigit() for version in versions.values()), versions


def test_the_alternation_exists_once() -> None:
    sources = [path for path in WEB.rglob("*.ts") if "node_modules" not in path.parts]
    assert any("http/assets/flicker.js" in path.read_text("utf-8") for path in sources)
    for path in sources:
        assert "setInterval(1" not in path.read_text("utf-8"), path
    assert not (WEB / "src" / "flicker.js").exists()


@pytest.mark.parametrize(
    "name", ["web/src/main.ts", "web/package-lock.json", "serve/flicker.js", "serve/constants.json"]
)
def test_it_is_built_when_a_source_changed(tool: ModuleType, tmp_path: Path, name: str) -> None:
    assert tool.is_current()
    os.utime(tmp_path / name, (300, 300))
    assert not tool.is_current()


@pytest.mark.parametrize("name", ["web/test/a.test.ts", "web/node_modules/a/b.js"])
def test_it_is_not_built_for_what_is_not_in_it(tool: ModuleType, tmp_path: Path, name: str) -> None:
    os.utime(tmp_path / name, (300, 300))
    assert tool.is_current()


def test_a_source_distribution_has_it_already(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".git").rmdir()
    os.utime(tmp_path / "web" / "src" / "main.ts", (300, 300))
    assert tool.is_current()
    (tmp_path / "page" / "page.js").unlink()
    assert not tool.is_current()


def test_node_is_asked_for_only_where_it_is_needed(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tool._requires(["maturin"]) == ["maturin"]
    (tmp_path / "page" / "page.js").unlink()
    assert tool._requires(["maturin"]) == ["maturin", tool.NODE]
    monkeypatch.setenv(tool.WITHOUT, "1")
    assert tool._requires(["maturin"]) == ["maturin"]


def test_without_npm_pip_says_what_to_do(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page" / "page.js").unlink()

    def fail() -> None:
        raise tool.Failed("npm ci failed:\nno network")

    written: list[bool] = []
    monkeypatch.setattr(tool, "install", fail)
    monkeypatch.setattr(tool, "write_notices", lambda: written.append(True))
    with pytest.raises(SystemExit, match=r"no network(.|\n)*PIXQ_WITHOUT_PAGE=1"):
        tool._packed(lambda folder: "a.whl", "dist")
    monkeypatch.setenv(tool.WITHOUT, "1")
    assert not written
    assert tool._packed(lambda folder: "a.whl", "dist") == "a.whl"
    assert written, "a wheel without the page contains crates all the same"


def test_without_npm_make_says_what_to_do(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page" / "page.js").unlink()

    def fail() -> None:
        raise tool.Failed("npm ci failed:\nno network")

    monkeypatch.setattr(tool, "install", fail)
    monkeypatch.setattr("sys.argv", ["study_page.py"])
    assert tool.main() == 1
    assert "no network\npixq: PIXQ_WITHOUT_PAGE=1 make" in capsys.readouterr().err
    monkeypatch.setenv(tool.WITHOUT, "1")
    assert tool.main() == 0
    assert "left out" in capsys.readouterr().err
