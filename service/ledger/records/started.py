"""A waiting job begins an attempt. From the commit on, the worker's row is the lease and the number is the fence."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Integer, String, bindparam, exists, func, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from service.ledger.models import Start, Started
from service.ledger.records.guards import no_way_in, state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING, State
from service.tables import Moment, jobs, moment_text, workers

_WHOLE_ARGS = func.coalesce(jobs.c.sealed_args, jobs.c.args)


async def record_started(connection: AsyncConnection, starts: Sequence[Start]) -> list[Started | None]:
    """Begin an attempt of each job that waits, is due, not expired, and of a known kind, under a living worker.

    While it runs, the job's row is all that is written of it; `record_finished` adds the attempt's own.
    """
    rows = [_row(start) for start in starts]
    parameters = {**parameter(rows), "kinds": starts[0].kinds}
    taken = (await connection.execute(_start(connection.dialect.name), parameters)).all()
    started = {one.id: one for one in map(Started._make, taken)}
    await tally(connection, ((one.worker, one.kind, "started") for one in started.values()), starts[0].at)
    return [started.pop(start.id, None) for start in starts]


def _row(start: Start) -> dict[str, Any]:
    at = moment_text(start.at)
    due_by = at if start.due_by is None else moment_text(start.due_by)
    return {"id": start.id, "worker": start.worker, "at": at, "due_by": due_by, "crashes_below": start.crashes_below}


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
        .returning(*(_WHOLE_ARGS if name == "args" else jobs.c[name] for name in Started._fields))
    )
