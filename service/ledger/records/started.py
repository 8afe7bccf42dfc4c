"""A waiting job begins an attempt. From the commit on, the worker's row is the lease and the number is the fence."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Integer, RowMapping, String, bindparam, exists, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from service.ledger.models import Start, Started
from service.ledger.records.guards import no_way_in, state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING, State
from service.tables import Moment, attempts, jobs, moment_text, workers

_COLUMNS = [
    "id",
    "kind",
    "attempt",
    "failures",
    "crashes",
    "max_attempts",
    "args",
    "sealed_args",
    "timeout_s",
    "queue",
    "arq_id",
    "created_at",
    "worker",
    "started_at",
]


async def record_started(connection: AsyncConnection, starts: Sequence[Start]) -> list[Started | None]:
    """Begin an attempt of each job that waits, is due, not expired, and of a known kind, under a living worker."""
    rows = [
        {
            "id": start.id,
            "worker": start.worker,
            "at": moment_text(start.at),
            "due_by": moment_text(start.due_by or start.at),
            "crashes_below": start.crashes_below,
        }
        for start in starts
    ]
    parameters = {**parameter(rows), "kinds": starts[0].kinds}
    taken = (await connection.execute(_start(connection.dialect.name), parameters)).mappings().all()
    if not taken:
        return [None] * len(starts)
    started = {row["id"]: _started(row) for row in taken}
    await connection.execute(
        insert(attempts),
        [
            {"job_id": one.id, "number": one.attempt, "worker": one.worker, "started_at": one.started_at}
            for one in started.values()
        ],
    )
    await tally(connection, ((one.worker, one.kind, "started") for one in started.values()), starts[0].at)
    return [started.pop(start.id, None) for start in starts]


def _started(row: RowMapping) -> Started:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    sealed_args = fields.pop("sealed_args")
    return Started(**fields | {"args": sealed_args or fields["args"]})


@cache
def _start(dialect: str) -> Any:
    columns: dict[str, TypeEngine[Any]] = {
        "id": String(255),
        "worker": String(64),
        "at": Moment(),
        "due_by": Moment(),
        "crashes_below": Integer(),
    }
    start = unfold(dialect, "start", columns)
    return (
        update(jobs)
        .where(
            jobs.c.id == start.c.id,
            state_is(*WAITING),
            jobs.c.run_at <= start.c.due_by,
            start.c.crashes_below.is_(None) | (jobs.c.crashes < start.c.crashes_below),
            no_way_in(jobs.c.kind).in_(bindparam("kinds", expanding=True)),
            jobs.c.expires_at.is_(None) | (jobs.c.expires_at > start.c.at),
            exists().where(workers.c.id == start.c.worker, workers.c.ended_at.is_(None)),
        )
        .values(
            state=State.RUNNING,
            attempt=jobs.c.attempt + 1,
            worker=start.c.worker,
            started_at=start.c.at,
            progress_done=None,
            progress_total=None,
            expires_at=None,  # it has been started in time; what comes later cannot undo that
            dispatch_epoch="",
        )
        .returning(*(jobs.c[name] for name in _COLUMNS))
    )
