"""Writes of how far an import is, and of its bad rows."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from jobs.csv.records import MOST_COLUMNS, BadRow
from jobs.csv.targets import ImportTaken, Standing
from service.imports.position import COUNTS, IS_AT, at, columns_of
from service.imports.tables import import_errors, imports
from service.ledger.rows import insert_for

_TAKEN = "A later attempt has taken the import over, or this one has missed its progress."
# The most characters of a bad row that are kept until its file is written.
_MOST_CHARACTERS = 64 * 1024
# Made once: making them takes SQLAlchemy ten times as long as running them.
_HOLDING = select(imports.c.job_id).where(IS_AT).with_for_update()
_MOVING = update(imports).where(IS_AT)


def record_taken_over(connection: Connection, job_id: str, attempt: int, now: datetime) -> Standing | None:
    """Let only this attempt continue an import, and no earlier one; None: it has not begun.

    Raises `ImportTaken` if a later attempt already continues it.
    """
    named = [imports.c[name] for name in ("form", *COUNTS, "planned")]
    mine = imports.c.job_id == job_id, imports.c.attempt <= attempt
    taking = update(imports).where(*mine).values(attempt=attempt, updated_at=now)
    row = connection.execute(taking.returning(imports.c.rows_done.label("rows"), *named)).mappings().first()
    if row is not None:
        return Standing(**row)
    if connection.execute(select(imports.c.job_id).where(imports.c.job_id == job_id)).first() is not None:
        raise ImportTaken(_TAKEN)
    return None


def record_begun(connection: Connection, job_id: str, attempt: int, form: str, now: datetime) -> Standing:
    """Record that an import begins. Raises `ImportTaken` if another attempt has begun it."""
    new = {"job_id": job_id, "attempt": attempt, "form": form, **columns_of(Standing(), now)}
    connection.execute(insert_for(connection.dialect.name)(imports).values(new).on_conflict_do_nothing())
    standing = record_taken_over(connection, job_id, attempt, now)
    if standing is None or standing.form != form:
        raise ImportTaken(_TAKEN)
    return standing


def record_moved(
    connection: Connection,
    job_id: str,
    attempt: int,
    standing: Standing,
    new: Standing,
    now: datetime,
    bad: Sequence[BadRow] = (),
) -> Standing:
    """Record how far an import is now, and its bad rows. Raises `ImportTaken` unless it is where `standing` says."""
    if bad:
        connection.execute(insert_for(connection.dialect.name)(import_errors), [_error(job_id, row) for row in bad])
    if connection.execute(_MOVING, at(job_id, attempt, standing) | columns_of(new, now)).rowcount != 1:
        raise ImportTaken(_TAKEN)
    return new


def hold(connection: Connection, job_id: str, attempt: int, standing: Standing) -> None:
    """Make other attempts at this import wait until the transaction ends. Raises `ImportTaken`."""
    if connection.execute(_HOLDING, at(job_id, attempt, standing)).first() is None:
        raise ImportTaken(_TAKEN)


def _error(job_id: str, row: BadRow) -> dict[str, Any]:
    cells, left = [], _MOST_CHARACTERS
    for cell in row.cells[:MOST_COLUMNS]:
        cells.append(cell[:left])
        left -= len(cells[-1])
    return {
        "job_id": job_id,
        "line": row.line,
        "reason": row.reason.replace("\0", "\ufffd"),
        "cells": json.dumps(cells),  # in ASCII, even NUL and what cannot be encoded
    }


def delete_imports(connection: Connection, ids: Sequence[str]) -> None:
    """Delete imports and their bad rows."""
    for table in (import_errors, imports):
        connection.execute(delete(table).where(table.c.job_id.in_(ids)))
