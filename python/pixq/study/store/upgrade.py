"""Upgrades the tables of older databases when they are opened, without touching what they hold.

Every version only adds columns and tables to the one before, and a new column is empty in old rows. To change the
tables, change `pixq.study.store.tables`, raise `SCHEMA`, and list the new columns in `_NEW_COLUMNS`; new tables are
created by themselves.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, insert, inspect, select, update
from sqlalchemy.schema import CreateColumn

from pixq.study.store.tables import assignments, facts, metadata

__all__ = ["SCHEMA", "UPGRADABLE", "stored_version", "upgrade_tables"]

#: Version of the tables.
SCHEMA = "2"
#: The columns that each version added.
_NEW_COLUMNS: dict[str, tuple[Column[object], ...]] = {"2": (assignments.c.fetched, assignments.c.watched)}
#: Older versions that can be upgraded.
UPGRADABLE = tuple(str(version) for version in range(1, int(SCHEMA)))


def stored_version(connection: Connection) -> str | None:
    """The version of the tables of a database; `None` if there are none."""
    if not inspect(connection).has_table(facts.name):
        return None
    return connection.execute(select(facts.c.value).where(facts.c.name == "schema")).scalar()


def upgrade_tables(connection: Connection) -> str:
    """Create missing tables, and bring those of an older version up to date; return the version that is stored then.

    Run in a transaction that holds the lock of `lock_drawing`. The tables of an unknown version stay as they are.
    """
    version = stored_version(connection)
    if version is not None and version not in (*UPGRADABLE, SCHEMA):
        return version
    if connection.dialect.name == "postgresql":
        # A server limits its statements, but indexes of many answers take a while.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    metadata.create_all(connection)
    if version is None:
        connection.execute(insert(facts).values(name="schema", value=SCHEMA))
    elif version != SCHEMA:
        for number in range(int(version) + 1, int(SCHEMA) + 1):
            for column in _NEW_COLUMNS.get(str(number), ()):
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}")
        # Missing indexes of tables that existed already.
        for table in metadata.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
        connection.execute(update(facts).where(facts.c.name == "schema").values(value=SCHEMA))
    return SCHEMA
