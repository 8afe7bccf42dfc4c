"""A waiting job begins an attempt. From the commit on, the worker's row is the lease and the number is the fence."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, String, bindparam, exists, func, update

from service.ledger.models import Start, Started
from service.ledger.records.guards import no_way_in, state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING, State
from service.tables import Moment, jobs, workers

_ANY_CRASHES = 2**31 - 1
# Of a `Started`, the last two fields are the start's own.
_READ = len(Started._fields) - 2
_WHOLE_ARGS = func.coalesce(jobs.c.sealed_args, jobs.c.args)


def record_started(connection: Connection, starts: Sequence[Start]) -> list[dict[str, Started]]:
    """Begin an attempt of each job that waits, is due, not expired, and of a known kind, under a living worker.

    Gives, by id, those that may be performed. While one runs, the job's row is all that is written of it;
    `record_finished` adds the attempt's own.
    """
    return [_record_started(connection, start) for start in starts]


def _record_started(connection: Connection, start: Start) -> dict[str, Started]:
    parameters = {
        **parameter([{"id": job_id} for job_id in start.ids]),
        "worker": start.worker,
        "at": start.at,
        "due_by": start.due_by or start.at,
        "crashes_below": start.crashes_below if start.crashes_below is not None else _ANY_CRASHES,
        "kinds": start.kinds,
    }
    taken = connection.execute(_start(connection.dialect.name), parameters)
    started = {row[0]: Started._make((*row, start.worker, start.at)) for row in taken.all()}
    tally(connection, ((start.worker, one.kind, "started") for one in started.values()), start.at)
    return started


@cache
def _start(dialect: str) -> Any:
    start = unfold(dialect, "start", {"id": String(255)})
    worker, at = bindparam("worker", type_=String), bindparam("at", type_=Moment)
    return (
        update(jobs)
        .where(
            jobs.c.id == start.c.id,
            state_is(*WAITING),
            jobs.c.run_at <= bindparam("due_by", type_=Moment),
            jobs.c.crashes < bindparam("crashes_below", type_=Integer),
            no_way_in(jobs.c.kind).in_(bindparam("kinds", expanding=True)),
            jobs.c.expires_at.is_(None) | (jobs.c.expires_at > at),
            exists().where(workers.c.id == worker, workers.c.ended_at.is_(None)),
        )
        .values(
            state=State.RUNNING,
            attempt=jobs.c.attempt + 1,
            worker=worker,
            started_at=at,
            progress_done=None,
            progress_total=None,
            expires_at=None,  # it has been started in time; what comes later cannot undo that
            dispatch_epoch="",
        )
        .returning(*(_WHOLE_ARGS if name == "args" else jobs.c[name] for name in Started._fields[:_READ]))
    )
