"""Idempotency keys: the first request with each key, and its answer."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, select, true

from service.ledger.models import IdempotencyKey, KeyHeld
from service.ledger.rows import insert_for, parameter, unfold
from service.tables import idempotency_keys, moment_text


def take_keys(connection: Connection, wanted: Sequence[tuple[IdempotencyKey, str]]) -> dict[str, KeyHeld]:
    """Take free or expired keys for the ids that are made; return which id each key now belongs to."""
    rows = [
        {
            "key": key.key,
            "fingerprint": key.fingerprint,
            "answer": key.answer,
            "job_id": made,
            "created_at": moment_text(key.created_at),
            "expires_at": moment_text(key.expires_at),
        }
        for key, made in wanted
    ]
    connection.execute(_insert_keys(connection.dialect.name), parameter(rows))
    return read_keys(connection, [key.key for key, _ in wanted])


def read_keys(connection: Connection, keys: Collection[str]) -> dict[str, KeyHeld]:
    rows = connection.execute(select(idempotency_keys).where(idempotency_keys.c.key.in_(keys))) if keys else ()
    return {row.key: KeyHeld(row.fingerprint, row.answer, row.job_id) for row in rows}


@cache
def _insert_keys(dialect: str) -> Any:
    columns = {column.name: column.type for column in idempotency_keys.c}
    new = unfold(dialect, "new", columns)
    statement = insert_for(dialect)(idempotency_keys).from_select(list(columns), select(new).where(true()))
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={name: statement.excluded[name] for name in columns if name != "key"},
        where=idempotency_keys.c.expires_at <= statement.excluded.created_at,
    )
