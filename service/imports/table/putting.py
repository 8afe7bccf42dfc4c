"""Puts the rows of a batch into a table, in one transaction with the import's new position."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from jobs.csv.records import BadRow
from jobs.csv.targets import Batch, Standing, Tried
from service.imports.position import moved
from service.imports.records import hold, record_moved
from service.imports.refusals import reason_of_row
from service.imports.table.records import Statements

Counts = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are written together: a list for each column, as in `Batch`, and where each row is in the batch."""

    values: Sequence[Sequence[Any]]
    places: range | list[int]

    def part(self, begin: int, end: int) -> "Rows":
        return Rows([one[begin:end] for one in self.values], self.places[begin:end])

    def __len__(self) -> int:
        return len(self.places)


def put_batch(
    connection: Connection,
    statements: Statements,
    batch: Batch,
    job_id: str,
    attempt: int,
    standing: Standing,
    now: datetime,
) -> Standing:
    """Write a batch with its bad rows and the import's new position. Raises `ImportTaken`."""
    hold(connection, job_id, attempt, standing)
    tried = put_rows(connection, statements, batch)
    new = moved(
        standing,
        batch.count,
        inserted=tried.inserted,
        updated=tried.updated,
        skipped=tried.skipped,
        failed=len(tried.bad),
    )
    return record_moved(connection, job_id, attempt, standing, new, now, tried.bad)


def put_rows(connection: Connection, statements: Statements, batch: Batch) -> Tried:
    """Write the rows of a batch, except those that the database refuses."""
    if connection.dialect.name == "postgresql":
        # A deferred constraint would refuse the whole batch at the commit.
        connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    all_rows = Rows(statements.bound(batch.values), range(len(batch.lines)))
    refused: list[tuple[int, str]] = []
    put = partial(_put, connection, statements)
    inserted, updated, skipped = map(sum, zip((0, 0, 0), *_in_parts(all_rows, put, refused), strict=True))
    bad = [*batch.bad, *(BadRow(batch.lines[place], why, batch.cells[place]) for place, why in refused)]
    return Tried(inserted, updated, skipped, sorted(bad, key=lambda row: row.line))


def _in_parts(rows: Rows, put: Callable[[Rows], Counts], refused: list[tuple[int, str]]) -> Iterator[Counts]:
    """Put rows, halving them until a refused row is found."""
    if not rows:
        return
    try:
        yield put(rows)
    except DBAPIError as error:
        reason = reason_of_row(error)
        if reason is None:
            raise
        if len(rows) == 1:
            refused.append((rows.places[0], reason))
            return
        half = len(rows) // 2
        yield from _in_parts(rows.part(0, half), put, refused)
        yield from _in_parts(rows.part(half, len(rows)), put, refused)


def _put(connection: Connection, statements: Statements, rows: Rows) -> Counts:
    """Put rows; return how many were inserted, updated and skipped."""
    inserted = updated = skipped = 0
    with connection.begin_nested():
        for part in _with_distinct_keys(rows, statements.key_places):
            known = 0
            if statements.on_conflict == "update":
                known = int(connection.exec_driver_sql(*statements.known(part.values)).scalar_one())
            written = sum(connection.exec_driver_sql(*ready).rowcount for ready in statements.inserts(part.values))
            if statements.on_conflict == "skip":
                skipped += len(part) - written
                inserted += written
            else:
                updated += known
                inserted += len(part) - known
    return inserted, updated, skipped


def _with_distinct_keys(rows: Rows, key_places: Sequence[int]) -> Iterator[Rows]:
    """Split rows where a key repeats: no statement updates a row twice, and the last one must win."""
    if not key_places:
        yield rows
        return
    seen: set[tuple[Any, ...]] = set()
    begin = 0
    for number, key in enumerate(zip(*(rows.values[place] for place in key_places), strict=True)):
        if key in seen:
            yield rows.part(begin, number)
            begin = number
            seen.clear()
        seen.add(key)
    yield rows.part(begin, len(rows))
