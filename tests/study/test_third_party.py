"""The licences of others' software go with it: in the wheel, beside the served page, in the page on a disk."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("third_party", ROOT / "tools" / "third_party.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["third_party"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def notices(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `tools/third_party.py` writes."""
    patch = pytest.MonkeyPatch()
    patch.setattr(tool, "NOTICES", tmp_path_factory.mktemp("notices") / "notices.txt")
    tool.write_notices()
    text: str = tool.NOTICES.read_text("utf-8")
    patch.undo()
    return text


def test_every_crate_of_the_module_is_named_with_its_terms(tool: ModuleType, notices: str) -> None:
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    known = {f"{package['name']} {package['version']}" for package in locked}
    linked = {f"{crate.name} {crate.version}" for crate in tool.crates()}
    assert linked <= known
    names = {name.split()[0] for name in linked}
    # Used directly, and by another crate; not what is for tests, or pixq's own.
    assert {"pyo3", "png", "turbojpeg-sys", "crossbeam-deque"} <= names
    assert not {"criterion", "proptest", "pixq-core"} & names
    for name in linked:
        # In the list, and above its texts.
        assert notices.count(name) >= 2, name
    assert "This software is based in part on the work of the Independent JPEG" in notices
    assert "libjpeg-turbo" in notices
    assert notices.count("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION") < 20


def test_every_package_of_the_page_is_named_with_its_terms(tool: ModuleType, notices: str) -> None:
    text = tool.page_notices()
    holders = {"jspsych": "Joshua R. de Leeuw", "seedrandom": "David Bau", "auto-bind": "Sindre Sorhus"}
    for name, holder in holders.items():
        assert f"\n{name} " in text
        assert holder in text
    assert text.count("Permission is hereby granted, free of charge") >= 4
    assert "esbuild" not in text
    page = ROOT / "python" / "pixq" / "study" / "page"
    assert (page / "licenses.txt").read_text("utf-8") == text, "build the page again: run `make`"
    assert text in notices


def test_what_has_no_terms_is_an_error(tool: ModuleType, tmp_path: Path) -> None:
    package = tool.Package("a", "1", "BSD-3-Clause", "Somebody", "", tmp_path)
    with pytest.raises(tool.MissingLicence, match=r"a 1 \(BSD-3-Clause\) has no licence file"):
        package.texts()
    (tmp_path / "COPYING").write_text("as you like")
    assert package.texts() == ["as you like"]


def test_a_wheel_has_them(notices: str, tmp_path: Path) -> None:
    # Its metadata, without compiling anything. The file is there if anything was built here.
    here = ROOT / "THIRD-PARTY-NOTICES.txt"
    if not here.exists():
        here.write_text(notices, encoding="utf-8")
    bins = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{bins}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = ["maturin", "pep517", "write-dist-info", "--metadata-directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    [made] = tmp_path.glob("pixq-*.dist-info/licenses/THIRD-PARTY-NOTICES.txt")
    assert made.read_text("utf-8") == here.read_text("utf-8")
    # The page's own are beside it.
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["maturin"]["include"]
    assert {"path": "python/pixq/study/page/*", "format": ["sdist", "wheel"]} in included
