"""A platform is one entry of a table: addresses, codes and the check of `study.toml` derive from it."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from pixq.study.design.config import Platform
from pixq.study.design.platforms import PLATFORMS, PlatformKind
from pixq.study.session.participants import completion, person, rehearsal_address
from support.studying import KEY

NEW = PlatformKind(
    name="panel", person="panelist", visit="wave", pattern=re.compile(r"[0-9]{3,9}"), refusal="open it from the panel",
    codes="the codes of the panel", url="https://panel.example/back?code={code}",
)  # fmt: skip


def test_a_platform_needs_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="is 'panel'; it should be 'prolific', 'link' or 'local'"):
        Platform(kind="panel")
    monkeypatch.setitem(PLATFORMS, "panel", NEW)
    with pytest.raises(ValidationError, match="needs done, screened_out and failed: the codes of the panel"):
        Platform(kind="panel", done="A")
    platform = Platform(kind="panel", done="A", screened_out="B", failed="C")
    assert completion(platform, "failed") == {"code": "C", "url": "https://panel.example/back?code=C"}
    address = rehearsal_address("panel", KEY, "12345", "678")
    assert address == {"panelist": "12345", "wave": "678"}
    found = person("panel", KEY, address)
    assert found.id == KEY.pseudonym("panel", "12345")
    assert found.visit not in (None, person("panel", KEY, {**address, "wave": "679"}).visit)
    for wrong in ({"panelist": "12345"}, {"wave": "678"}, {**address, "panelist": "x"}):
        with pytest.raises(ValueError, match="open it from the panel"):
            person("panel", KEY, wrong)
