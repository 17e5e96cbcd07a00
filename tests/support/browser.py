"""A browser for the tests of pages; run as a program, it finds one or fetches one.

In this order: `PIXQ_BROWSER`; Chromium or Chrome on PATH; what Playwright has downloaded. As a program,
`python tests/support/browser.py` lets Playwright download one where there is none, or else Debian install its own, and
says in one line what came of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: Seconds for a download, and for an installation.
PATIENCE = 240

#: Contrast of every text with what lies under it (WCAG 2.2), where it is below 4.5. Text on a chart's coloured bands
#: is left to `test_text_stands_out_from_every_fill`.
FAINT = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
    .reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
  const under = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest('title, desc, style, [class^="on-"]')) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(parse(element.closest('svg') ? style.fill : style.color)), light(under(element))];
    const contrast = (Math.max(one, two) + .05) / (Math.min(one, two) + .05);
    if (contrast < 4.5) found.push([contrast, node.textContent.trim().slice(0, 60)]);
  }
  return found;
}"""


def find() -> Path | None:
    """The browser that tests use; `None` where there is none."""
    given = os.environ.get("PIXQ_BROWSER")
    if given:
        return Path(given)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    return next((path for path in _downloads() if path.is_file() and os.access(path, os.X_OK)), None)


def _downloads() -> Iterator[Path]:
    """Where Playwright puts browsers, the newest first."""
    home = Path.home()
    folder = {
        "darwin": home / "Library" / "Caches" / "ms-playwright",
        "win32": Path(os.environ.get("LOCALAPPDATA", home)) / "ms-playwright",
    }.get(sys.platform, home / ".cache" / "ms-playwright")
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or folder)
    names = ("headless_shell", "chrome-headless-shell", "chrome", "headless_shell.exe", "chrome-headless-shell.exe")
    for release in sorted(folder.glob("chromium*-*"), reverse=True):
        for name in names:
            yield from release.glob(f"*/{name}")


@contextmanager
def opened(*options: str) -> Iterator[Any]:
    """A headless browser of Playwright's, with more options of Chromium's.

    It skips where there is none, and fails where `PIXQ_REQUIRE_BROWSER` is 1.
    """
    path = find()
    if path is None:
        _none("no browser: install Chromium or Chrome, or name one in PIXQ_BROWSER")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _none("no Playwright: pip install --group test installs it")
    with sync_playwright() as playwright:
        # Nothing but pages of our own is opened, and a container's root has no sandbox.
        sandbox = [] if hasattr(os, "geteuid") and os.geteuid() != 0 else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-dev-shm-usage", *options])
        try:
            yield browser
        finally:
            browser.close()


def _none(why: str) -> NoReturn:
    if os.environ.get("PIXQ_REQUIRE_BROWSER") == "1":
        pytest.fail(why)
    pytest.skip(why)


def _tried(command: list[str]) -> bool:
    """Whether a command worked; it is quiet, and is ended when it takes too long."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _starts(path: Path | None) -> bool:
    """Whether there is a browser, and its libraries with it."""
    return path is not None and _tried([str(path), "--version"])


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and "ID=debian" in release.read_text("utf-8").splitlines()


def fetch() -> str:
    """Find a browser, or get one; gives one line that says which, or why there is none."""
    if _starts(find()):
        return f"browser tests use {find()}"
    tried = ["no Chromium or Chrome is installed"]
    _tried([sys.executable, "-m", "playwright", "install", "chromium-headless-shell"])
    if _starts(find()):
        return f"browser tests use {find()}, which Playwright downloaded"
    tried.append("Playwright's own could not be downloaded, or does not start")
    if _is_debian() and shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        if not _tried(install):
            _tried(["apt-get", "update"])
            _tried(install)
        if _starts(find()):
            return f"browser tests use {find()}, of Debian's package chromium"
        tried.append("Debian's package could not be installed")
    else:
        tried.append("only root on Debian may install a package here")
    outcome = "will fail" if os.environ.get("PIXQ_REQUIRE_BROWSER") == "1" else "will be skipped"
    return f"browser tests {outcome}: {'; '.join(tried)}. Install Chromium, or name a browser in PIXQ_BROWSER"


if __name__ == "__main__":
    print(f"pixq: {fetch()}")
