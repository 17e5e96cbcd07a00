"""Addresses for participants: the page works at the root of a host only, and what can't work is refused."""

from __future__ import annotations

import pytest

from pixq.errors import PixqError
from pixq.study.session.participants import check_url


@pytest.mark.parametrize(
    "url",
    ["https://study.example.org", "https://study.example.org/", "http://127.0.0.1:8009", "http://[::1]:8009/",
     "https://STUDY.example.org:8443"],
)  # fmt: skip
def test_an_address_at_which_the_page_works(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/flicker", "has the path /flicker"),
        ("https://example.org//", "has the path //"),
        ("https://example.org/?a=b", "has a query or a fragment"),
        ("https://example.org?", "has a query or a fragment"),
        ("https://example.org/#a", "has a query or a fragment"),
        ("https://user:secret@example.org", "contains a name or a password"),
        ("https://user@example.org/", "pass https://example.org"),
        ("https://example.org:port", "must be like https"),
        ("https://example.org:0", "must be like https"),
        ("https://example.org:99999", "must be like https"),
        ("https://exa mple.org", "must be like https"),
        ("https://example.org/\n", "must be like https"),
        ("https://[::1", "must be like https"),
        ("ftp://example.org", "must be like https"),
        ("javascript:alert(1)", "must be like https"),
        ("example.org", "must be like https"),
        ("", "must be like https"),
    ],
)
def test_an_address_at_which_it_does_not_is_refused(url: str, said: str) -> None:
    with pytest.raises(PixqError) as caught:
        check_url(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
