"""What became of the jobs of ticks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import COUNTED_AS
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.states import State
from service.tables import jobs, workers


class TickJob(NamedTuple):
    """A tick's job as it is now; `worker` is the name of the machine that ran it last."""

    id: str
    label: str
    state: State
    started_at: datetime | None
    finished_at: datetime | None
    error_type: str | None
    error_message: str | None
    worker: str | None


async def jobs_of_ticks(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, TickJob]:
    """Return the jobs that still exist, by id."""
    if not ids:
        return {}
    dialect = connection.dialect.name
    rows = await connection.execute(_statement(dialect), ids_parameter(dialect, ids))
    return {job_id: TickJob(job_id, label, State(state), *rest) for job_id, label, state, *rest in rows}


@cache
def _statement(dialect: str) -> Any:
    columns = (jobs.c.id, COUNTED_AS, jobs.c.state, jobs.c.started_at, jobs.c.finished_at)
    worker = select(workers.c.hostname).where(workers.c.id == jobs.c.worker).scalar_subquery()
    shown = (*columns, jobs.c.error_type, jobs.c.error_message, func.coalesce(worker, jobs.c.worker))
    return select(*shown).where(is_one_of(dialect, jobs.c.id))
