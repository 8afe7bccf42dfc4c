"""Which rows hold secrets, and which key has sealed each: page by page, along the primary key."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from service.ledger.database import Database
from service.ledger.sealed import SealedColumn
from service.vault import HEAD_LENGTH, sealing_key_of

# Rows without a secret count too, so that a page is bounded. A JSON object is read whole to find its secret.
_PAGE = 5_000
_PAGE_OF_OBJECTS = 200


class SealedRow(NamedTuple):
    """A row with a secret. `key_id` is None if the secret is kept in clear."""

    key: tuple[Any, ...]
    key_id: str | None


async def rows_with_secrets(database: Database, of: SealedColumn) -> AsyncIterator[list[SealedRow]]:
    """Yield the rows that hold a secret, page by page; each page is a read of its own."""
    after: tuple[Any, ...] | None = None
    limit = _PAGE if of.part is None else _PAGE_OF_OBJECTS
    while True:
        async with database.connect() as connection:
            rows = (await connection.execute(page_of(of, after, limit))).all()
        yield [found for row in rows if (found := _found(row, of)) is not None]
        if len(rows) < limit:
            return
        after = tuple(rows[-1][:-1])


def page_of(of: SealedColumn, after: Sequence[Any] | None, limit: int) -> Select[Any]:
    """Ask for a page of rows, with the part that tells which key sealed their secrets."""
    value = func.substr(of.column, 1, HEAD_LENGTH) if of.part is None else of.column
    columns: list[ColumnElement[Any]] = [*of.key, value]
    page = select(*columns).order_by(*of.key).limit(limit)
    return page if after is None else page.where(tuple_(*of.key) > tuple_(*after))


def _found(row: Any, of: SealedColumn) -> SealedRow | None:
    *key, value = row
    kept = None if value is None else of.kept_in(value)
    return None if kept is None else SealedRow(tuple(key), sealing_key_of(kept))
