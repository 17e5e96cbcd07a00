"""Stores the consent texts that pages show, and finds those that people agreed to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from pixq.study.store.tables import consents, sessions

__all__ = ["save_texts", "select_agreed_texts", "select_digest"]


def select_digest(connection: Connection, version: str, language: str) -> str | None:
    """The digest of the stored text of a version in a language, or `None`."""
    query = select(consents.c.digest).where(consents.c.version == version, consents.c.language == language)
    digest = connection.execute(query).scalar()
    return None if digest is None else str(digest)


def select_agreed_texts(connection: Connection) -> dict[str, tuple[str, str, str]]:
    """Version, language and text of the texts that people agreed to, by digest."""
    query = select(consents).where(consents.c.digest.in_(select(sessions.c.consent)))
    return {row.digest: (row.version, row.language, row.text) for row in connection.execute(query)}


def save_texts(connection: Connection, texts: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Store texts by version and language, unless people agreed to another text; return those that conflict."""
    new = {key: hashlib.sha256(json.dumps([*key, text]).encode()).hexdigest() for key, text in texts.items()}
    agreed = set(connection.execute(select(sessions.c.consent).distinct()).scalars())
    stored = {key: select_digest(connection, *key) for key in new}
    changed = [key for key, digest in new.items() if stored[key] not in (None, digest)]
    if conflicts := [key for key in changed if stored[key] in agreed]:
        return conflicts
    connection.execute(delete(consents).where(consents.c.digest.in_([stored[key] for key in changed])))
    for (version, language), digest in new.items():
        if stored[version, language] != digest:
            text = texts[version, language]
            connection.execute(insert(consents).values(digest=digest, version=version, language=language, text=text))
    return []
