"""Texts of consents in the database: those that pages show, and those that people agreed to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from pixq.study.store.tables import consents, sessions

__all__ = ["save_texts", "select_agreed_texts", "select_digest"]


def select_digest(connection: Connection, version: str, language: str) -> str | None:
    """The digest of the text that was kept of a version in a language, if one was."""
    query = select(consents.c.digest).where(consents.c.version == version, consents.c.language == language)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def select_agreed_texts(connection: Connection) -> dict[str, tuple[str, str, str]]:
    """Version, language and text of all consents that somebody agreed to, by digest."""
    query = select(consents).where(consents.c.digest.in_(select(sessions.c.consent)))
    return {row.digest: (row.version, row.language, row.text) for row in connection.execute(query)}


def save_texts(connection: Connection, texts: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Keep texts by version and language; gives those of which people agreed to another. Then nothing is kept."""
    new = {
        each: (hashlib.sha256(json.dumps([*each, words]).encode()).hexdigest(), words) for each, words in texts.items()
    }
    agreed = set(connection.execute(select(sessions.c.consent).distinct()).scalars())
    known = {each: select_digest(connection, *each) for each in new}
    other = [each for each, (digest, _) in new.items() if known[each] not in (None, digest)]
    if wrong := [each for each in other if known[each] in agreed]:
        return wrong
    connection.execute(delete(consents).where(consents.c.digest.in_([known[each] for each in other])))
    for (version, language), (digest, words) in new.items():
        if known[version, language] != digest:
            connection.execute(insert(consents).values(digest=digest, version=version, language=language, text=words))
    return []
