"""Jobs by id: as they are shown, and the version that tells whether they have changed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, cast, func, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import state_is
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.sealed import JOB_ARGS, vault_of
from service.ledger.states import State
from service.tables import attempts, jobs
from service.vault import Vault

# `sealed_args` carry secrets, and `trace_context` is for tracing: neither is ever read for answers. A page shows only
# the id of the trace.
SHOWN = [column for column in jobs.c if column.name not in ("sealed_args", "trace_context")]


class JobVersion(NamedTuple):
    """The version of a job: it differs after every change."""

    state: State
    attempt: int
    run_at: datetime
    finished_at: datetime | None
    progress_done: int | None
    progress_total: int | None


async def get_job(connection: AsyncConnection, job_id: str) -> RowMapping | None:
    return (await connection.execute(select(*SHOWN).where(jobs.c.id == job_id))).mappings().first()


async def get_jobs(connection: AsyncConnection, ids: Sequence[str]) -> Sequence[RowMapping]:
    """Return the jobs that exist, in no order."""
    dialect = connection.dialect.name
    return (await connection.execute(_shown(dialect), ids_parameter(dialect, ids))).mappings().all()


@cache
def _shown(dialect: str) -> Any:
    return select(*SHOWN).where(is_one_of(dialect, jobs.c.id))


async def whose_jobs(connection: AsyncConnection, ids: Collection[str]) -> Sequence[RowMapping]:
    """Return the kind, label and queue of jobs, by which principals are limited."""
    asked = select(jobs.c.id, jobs.c.kind, jobs.c.label, jobs.c.queue).where(jobs.c.id.in_(sorted(ids)))
    return (await connection.execute(asked)).mappings().all()


async def get_attempts(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, list[RowMapping]]:
    """Return the attempts of each job, first to last. A running attempt is only in its job's row."""
    dialect = connection.dialect.name
    by_job: dict[str, list[RowMapping]] = {job_id: [] for job_id in ids}
    for row in (await connection.execute(_attempts(dialect), ids_parameter(dialect, ids))).mappings():
        by_job[row["job_id"]].append(row)
    return by_job


@cache
def _attempts(dialect: str) -> Any:
    of_job = {"job_id": jobs.c.id, "number": jobs.c.attempt, "worker": jobs.c.worker, "started_at": jobs.c.started_at}
    running = select(*(of_job.get(column.name, cast(null(), column.type)).label(column.name) for column in attempts.c))
    ended = select(attempts).where(is_one_of(dialect, attempts.c.job_id))
    both = union_all(ended, running.where(is_one_of(dialect, jobs.c.id), state_is(State.RUNNING)))
    return both.order_by("job_id", "number")


class StoredArgs(NamedTuple):
    """A job's args as its attempts read them: `kept` in its row, opened by `vault`. Never for answers."""

    job_id: str
    kept: str
    vault: Vault

    @property
    def whole(self) -> str:
        """JSON, secrets in clear. Raises `SecretUnreadable`."""
        return JOB_ARGS.open(self.vault, self.kept, self.job_id)


async def stored_args(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, StoredArgs]:
    """Return the args of jobs as attempts read them."""
    kept = func.coalesce(jobs.c.sealed_args, jobs.c.args).label("kept")
    vault = vault_of(connection)
    dialect = connection.dialect.name
    wanted = select(jobs.c.id, kept).where(is_one_of(dialect, jobs.c.id))
    rows = (await connection.execute(wanted, ids_parameter(dialect, ids))).all()
    return {job_id: StoredArgs(job_id, args, vault) for job_id, args in rows}


async def states_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, tuple[State, str]]:
    """Return (state, kind) of each job that exists."""
    rows = await connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.kind).where(jobs.c.id.in_(ids)))
    return {row.id: (State(row.state), row.kind) for row in rows}


async def flow_of(connection: AsyncConnection, job_id: str) -> str | None:
    """Return the flow that a job is in, if it is in one."""
    flow: str | None = await connection.scalar(select(jobs.c.flow).where(jobs.c.id == job_id))
    return flow


async def versions_of(connection: AsyncConnection, ids: Collection[str]) -> dict[str, JobVersion]:
    """Return the version of each job that exists."""
    dialect = connection.dialect.name
    rows = await connection.execute(_versions(dialect), ids_parameter(dialect, ids))
    return {job_id: JobVersion(*rest) for job_id, *rest in rows}


@cache
def _versions(dialect: str) -> Any:
    columns = [jobs.c[name] for name in JobVersion._fields]
    return select(jobs.c.id, *columns).where(is_one_of(dialect, jobs.c.id))


async def adopted_as(
    connection: AsyncConnection, enqueued_at: Mapping[str, datetime]
) -> Mapping[str, tuple[str, State]]:
    """Find, by arq id, the jobs as which arq clients' jobs were recorded: they have the same enqueue times."""
    columns = (jobs.c.id, jobs.c.state, jobs.c.arq_id, jobs.c.created_at)
    rows = await connection.execute(select(*columns).where(jobs.c.arq_id.in_(enqueued_at)))
    return {row.arq_id: (row.id, State(row.state)) for row in rows if row.created_at == enqueued_at[row.arq_id]}
