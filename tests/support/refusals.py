"""How a call is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def check_refusal(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """The call raises exactly this type with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    assert str(caught.value) == message
