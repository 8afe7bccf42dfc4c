"""Callbacks are recorded with the end of the job or the flow that has them: exactly one of each, whatever dies."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import uuid_utils
from sqlalchemy import Connection, delete, insert, select

from service.errors import SecretUnreadable
from service.flow_tables import callback_jobs, callbacks
from service.ledger.callbacks import Owner, is_called, job_of
from service.ledger.final_json import final_json
from service.ledger.models import Callback, NewJob
from service.ledger.records.edges import Edge, insert_edges
from service.ledger.records.inserted import insert_jobs
from service.ledger.rows import ids_parameter, insert_for, is_one_of
from service.ledger.sealed import CALLBACK_ARGS, vault_of
from service.ledger.states import State
from service.tables import jobs
from service.vault import Vault

# Args as they are shown: a callback gets no secrets.
_TOLD = [column for column in jobs.c if column.name not in ("sealed_args", "trace_context")]


def insert_callbacks(connection: Connection, owned: Sequence[tuple[str, Callback]]) -> None:
    """Keep callbacks until their owners end."""
    vault = vault_of(connection)
    rows = [
        {"owner": owner, "event": event, "template": CALLBACK_ARGS.sealed(vault, template, owner, event)}
        for owner, (event, template) in owned
    ]
    if rows:
        connection.execute(insert_for(connection.dialect.name)(callbacks).on_conflict_do_nothing(), rows)


def delete_callbacks(connection: Connection, owners: Collection[str]) -> None:
    """Delete the callbacks of deleted jobs or flows, and the record of their jobs. The jobs themselves stay."""
    for table in (callbacks, callback_jobs):
        connection.execute(delete(table).where(table.c.owner.in_(owners)))


def call_back_jobs(connection: Connection, ids: Sequence[str], at: datetime) -> list[NewJob]:
    """Enqueue the callbacks of jobs that have just ended; return their jobs."""
    if not ids:
        return []
    dialect = connection.dialect.name
    shown = select(*_TOLD).where(is_one_of(dialect, jobs.c.id))
    rows = connection.execute(shown, ids_parameter(dialect, ids)).mappings()
    return call_back(connection, [Owner(row["id"], "job", State(row["state"]), final_json(row)) for row in rows], at)


def call_back(connection: Connection, owners: Sequence[Owner], at: datetime) -> list[NewJob]:
    """Enqueue the callbacks for how their `owners` have just ended; return their jobs."""
    if not owners:
        return []
    by_id = {owner.id: owner for owner in owners}
    dialect, vault = connection.dialect.name, vault_of(connection)
    found = select(callbacks).where(is_one_of(dialect, callbacks.c.owner)).order_by(*callbacks.primary_key)
    kept = connection.execute(found, ids_parameter(dialect, by_id)).all()
    called = [
        (row, job_of(_opened(vault, row), id=str(uuid_utils.uuid7()), now=at, owner=by_id[row.owner]))
        for row in kept
        if is_called(row.event, by_id[row.owner].state)
    ]
    if not called:
        return []
    insert_jobs(connection, [job for _, job in called])
    noted = [{"owner": row.owner, "event": row.event, "job_id": job.id, "recorded_at": at} for row, job in called]
    connection.execute(insert(callback_jobs), noted)
    # So that its attempts get the result of the job that called it.
    of_jobs = [(row.owner, job.id) for row, job in called if by_id[row.owner].sort == "job"]
    insert_edges(connection, [Edge(owner, job_id, "ended", "met") for owner, job_id in of_jobs])
    return [job for _, job in called]


def _opened(vault: Vault, row: Any) -> str:
    """Return a template with its secrets in clear, or unchanged if they cannot be read: the attempt will say why."""
    try:
        return CALLBACK_ARGS.opened(vault, row.template, row.owner, row.event)
    except SecretUnreadable:
        template: str = row.template
        return template
