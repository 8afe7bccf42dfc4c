"""Operations as they are shown, and the ones that nobody carries out any more."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import COUNTED_AS, unindexed
from service.ledger.operations import Operation, OperationState, Place, read_place
from service.ledger.states import TERMINAL, State
from service.operation_tables import LIVE_OPERATION_SQL, operation_failures, operation_members, operations
from service.tables import jobs

# Of a larger replay, only this many of the newest members are judged: each is a row to look up.
MOST_LOOKED_AT = 5_000
_COLUMNS = [operations.c[name] for name in Operation.__dataclass_fields__]


class MemberFailed(NamedTuple):
    id: str
    reason: str
    message: str | None


class Orphan(NamedTuple):
    """A live operation that nobody carries out: its job has ended, or is gone, or it never had one."""

    id: str
    job_id: str | None
    job_state: str | None
    job_error: str | None


class Aftermath(NamedTuple):
    """What became of the jobs that a replay let run again; only of the newest if `is_all` is False."""

    looked_at: int
    succeeded: int
    failed: int
    is_all: bool

    @property
    def live(self) -> int:
        return self.looked_at - self.succeeded - self.failed


class FailedAgain(NamedTuple):
    id: str
    label: str
    error_type: str | None
    error_message: str | None
    finished_at: datetime | None


async def get_operation(connection: AsyncConnection, operation_id: str) -> Operation | None:
    row = (await connection.execute(one_operation(operation_id))).first()
    return None if row is None else operation_of(row)


def one_operation(operation_id: str) -> Select[Any]:
    return select(*_COLUMNS).where(operations.c.id == operation_id)


def operation_of(row: Any) -> Operation:
    """Read a row of `one_operation`."""
    values = row._asdict() | {
        "state": OperationState(row.state),
        "dry_run": bool(row.dry_run),
        "skipped": from_json(row.skipped),
        "cursor": read_place(row.cursor),
    }
    return Operation(**values)


async def list_operations(connection: AsyncConnection, after: Place | None, limit: int) -> Sequence[Operation]:
    """Return a page of operations, newest first."""
    created_at, operation_id = operations.c.created_at, operations.c.id
    statement = select(*_COLUMNS).order_by(created_at.desc(), operation_id.desc()).limit(limit)
    if after is not None:
        at, last_id = after
        beyond = (created_at < at) | ((created_at == at) & (operation_id < last_id))
        statement = statement.where(created_at <= at, beyond)
    return [operation_of(row) for row in await connection.execute(statement)]


async def failures_of(connection: AsyncConnection, operation_id: str) -> Sequence[MemberFailed]:
    """Return the first members that it failed on."""
    statement = select(operation_failures.c.job_id, operation_failures.c.reason, operation_failures.c.message)
    rows = await connection.execute(
        statement.where(operation_failures.c.operation_id == operation_id).order_by(operation_failures.c.job_id.desc())
    )
    return [MemberFailed(*row) for row in rows]


async def live_operations(connection: AsyncConnection, limit: int) -> Sequence[Operation]:
    """Return operations that have not ended, newest first."""
    statement = select(*_COLUMNS).where(_is_live()).order_by(operations.c.created_at.desc()).limit(limit)
    return [operation_of(row) for row in await connection.execute(statement)]


async def aftermath_of(connection: AsyncConnection, operation_id: str) -> Aftermath:
    """Count what became of the members of a replay."""
    newest = _newest_members(operation_id, MOST_LOOKED_AT + 1).subquery()
    statement = select(jobs.c.state, func.count()).join_from(newest, jobs, jobs.c.id == newest.c.job_id)
    rows = (await connection.execute(statement.group_by(jobs.c.state))).all()
    states: dict[str, int] = {row[0]: row[1] for row in rows}
    found = sum(states.values())
    looked_at = found - states.get(State.CANCELLED, 0)
    succeeded, failed = states.get(State.SUCCEEDED, 0), states.get(State.FAILED, 0)
    return Aftermath(looked_at, succeeded, failed, is_all=found <= MOST_LOOKED_AT)


async def failed_again(connection: AsyncConnection, operation_id: str, limit: int) -> Sequence[FailedAgain]:
    """Return members of a replay that have failed since, newest first; see `aftermath_of`."""
    newest = _newest_members(operation_id, MOST_LOOKED_AT).subquery()
    statement = (
        select(jobs.c.id, COUNTED_AS, jobs.c.error_type, jobs.c.error_message, jobs.c.finished_at)
        .join_from(newest, jobs, jobs.c.id == newest.c.job_id)
        .where(unindexed(jobs.c.state) == State.FAILED)
        .limit(limit)
    )
    return [FailedAgain(*row) for row in await connection.execute(statement)]


def _newest_members(operation_id: str, limit: int) -> Select[Any]:
    statement = select(operation_members.c.job_id).where(operation_members.c.operation_id == operation_id)
    return statement.order_by(operation_members.c.job_id.desc()).limit(limit)


async def orphans_among_operations(connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Orphan]:
    """Return the live operations that nobody carries out."""
    alone = operations.c.job_id.is_(None) & (operations.c.runner_until <= now)
    ended = operations.c.job_id.is_not(None) & (jobs.c.state.is_(None) | jobs.c.state.in_(TERMINAL))
    rows = await connection.execute(
        select(operations.c.id, operations.c.job_id, jobs.c.state, jobs.c.error_message)
        .outerjoin_from(operations, jobs, jobs.c.id == operations.c.job_id)
        .where(_is_live(), alone | ended)
        .order_by(operations.c.created_at)
        .limit(limit)
    )
    return [Orphan(*row) for row in rows]


def _is_live() -> Any:
    # `state` without its table, in the words of the partial index.
    return text(LIVE_OPERATION_SQL.replace("state", "operations.state"))
