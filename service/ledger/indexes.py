"""Indexes on Postgres that are built while everything goes on, because their tables may be large.

A plain CREATE INDEX keeps writers waiting for as long as it takes; CREATE INDEX CONCURRENTLY cannot be part of a
transaction. So these indexes come after all migrations: each one that the tables name and the database lacks is built
in turn. An interrupted build leaves an invalid index behind, which is dropped and built again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import Connection, Index, MetaData, Table, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, DropIndex

from service.ledger.database import Database

log = structlog.get_logger(__name__)

# What a migration appends to the name of an index that a new one of the same name will replace.
REPLACED = "_replaced"
_TURN_EVERY_S = 0.2
_TOLD_EVERY_S = 10.0
# Waiting for it within a statement would deadlock: the build waits for running statements.
_TAKE_TURN = text("SELECT pg_try_advisory_lock(hashtext('postlude indexes'))")
_LEAVE = text("SELECT pg_advisory_unlock(hashtext('postlude indexes'))")
_STANDING = text(
    "SELECT built.relname, indisvalid FROM pg_index JOIN pg_class AS built ON built.oid = indexrelid"
    " JOIN pg_class AS of_table ON of_table.oid = indrelid"
    " WHERE of_table.relname IN :tables AND pg_table_is_visible(of_table.oid)"
).bindparams(bindparam("tables", expanding=True))


# A build waits for every older transaction, such as a dump, or one that somebody left open.
_UNDER_WAY = text(
    "SELECT index_relid::regclass::text AS index, phase, nullif(current_locker_pid, 0) AS waits_for_pid"
    " FROM pg_stat_progress_create_index WHERE datname = current_database()"
)


async def build_missing(database: Database, tables: Iterable[Table]) -> None:
    """Build missing and invalid indexes; drop replaced ones. Does nothing on SQLite, where migrations do all of it.

    Safe to repeat, and to stop at any moment; simultaneous calls take turns. Raises `LedgerUnavailable`.
    """
    if database.dialect != "postgresql":
        return
    wanted = concurrent_indexes(tables)
    async with database.autocommitting() as connection:
        await _take_turn(connection)
        try:
            async with _told(database):
                await _build(connection, wanted)
        except BaseException:
            await connection.invalidate()  # the turn ends with its session, which may already be gone
            raise
        await connection.execute(_LEAVE)


def are_whole(connection: Connection, tables: Iterable[Table]) -> bool:
    """Whether the database has all indexes that the tables name."""
    if connection.dialect.name != "postgresql":
        return True
    wanted = [index for table in tables for index in table.indexes]
    valid = {row.relname for row in connection.execute(_STANDING, _names(wanted)) if row.indisvalid}
    return all(index.name in valid for index in wanted)


def concurrent_indexes(tables: Iterable[Table]) -> list[Index]:
    """Return the indexes of tables, in the form that is built while others write."""
    copies = MetaData()
    indexes = [index for table in tables for index in table.to_metadata(copies).indexes]
    for index in indexes:
        index.dialect_kwargs["postgresql_concurrently"] = True
    return sorted(indexes, key=lambda index: str(index.name))


@asynccontextmanager
async def _told(database: Database) -> AsyncIterator[None]:
    """Log every few seconds what is being built, and which process it waits for."""
    telling = asyncio.create_task(_tell(database))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait({telling})


async def _tell(database: Database) -> None:
    while True:
        await asyncio.sleep(_TOLD_EVERY_S)
        async with database.connect() as connection:
            for row in await connection.execute(_UNDER_WAY):
                log.info("index_under_way", index=row.index, phase=row.phase, waits_for_pid=row.waits_for_pid)


async def _take_turn(connection: AsyncConnection) -> None:
    while True:
        if (await connection.execute(_TAKE_TURN)).scalar_one():
            return
        await asyncio.sleep(_TURN_EVERY_S)


async def _build(connection: AsyncConnection, wanted: Sequence[Index]) -> None:
    standing = {row.relname: row for row in await connection.execute(_STANDING, _names(wanted))}
    for index in wanted:
        stands = standing.get(str(index.name))
        if stands is not None and not stands.indisvalid:
            log.info("index_dropped", index=index.name, reason="its build was cut off")
            await connection.execute(DropIndex(index))
        if stands is None or not stands.indisvalid:
            log.info("index_begun", index=index.name)
            await connection.execute(CreateIndex(index))
    for name in standing:
        if name.endswith(REPLACED):
            replaced = Index(name, postgresql_concurrently=True)
            await connection.execute(DropIndex(replaced, if_exists=True))


def _names(wanted: Sequence[Index]) -> dict[str, Any]:
    return {"tables": sorted({index.table.name for index in wanted if index.table is not None})}
