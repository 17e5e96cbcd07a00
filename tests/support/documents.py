"""The Markdown files that users read, and their code blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: README, CONTRIBUTING, the pages of the site, and what lies beside the code, relative to the root.
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.relative_to(ROOT).parts
    ),
    "python/pixq/study/web/flicker-jnd/README.md",
    "python/pixq/default/MODEL_CARD.md",
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str, *languages: str) -> list[tuple[int, str]]:
    """(line, text) of the fenced blocks of `document` in `languages`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start(2)) + 1, m[2]) for m in _FENCE.finditer(text) if m[1] in languages]


def prose(document: str) -> str:
    """The text of `document` with code blocks emptied, line for line."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.sub(r"^(```+|:::+).*?^\1$", lambda m: "\n" * m[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
