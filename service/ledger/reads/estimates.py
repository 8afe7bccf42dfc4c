"""How many jobs match a filter: counted if they are few, estimated if counting would walk through the history."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Executable,
    Integer,
    and_,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from service.ledger.reads import listing
from service.ledger.reads.listing import Filter, of_kinds, within_limits
from service.ledger.reads.members import count_members, far_end
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.states import State
from service.tables import job_tags, jobs

# Up to this number, jobs are counted one by one.
MOST_COUNTED = 10_000
_MOST_READ = 1_000
# SQLite has no statistics of its own, so a sample of rows stands for all.
_SAMPLE = 1_000
_ROW: Any = literal_column("jobs.rowid", Integer)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; `about` says that it is an estimate."""

    number: int
    about: bool = False


async def count_by_state(connection: AsyncConnection) -> Mapping[State, Count]:
    """Count the jobs in each state."""
    counted = {state: await _count_state(connection, state) for state in State}
    many = [state for state, count in counted.items() if count > MOST_COUNTED]
    estimates = await estimate(connection, [Filter(states=[state]) for state in many]) if many else []
    told = {state: Count(count) for state, count in counted.items()}
    return told | {state: Count(count, about=True) for state, count in zip(many, estimates, strict=True)}


async def _count_state(connection: AsyncConnection, state: State) -> int:
    some = select(jobs.c.id).where(jobs.c.state == state).limit(MOST_COUNTED + 1).subquery()
    return int((await connection.execute(select(func.count()).select_from(some))).scalar_one())


async def count_states_matching(connection: AsyncConnection, wanted: Filter) -> Mapping[State, int | None]:
    """Count the jobs that match a filter by state, whatever states it names; None where that would take long.

    Where there is much of a kind, of a state and of everything else, a sample tells next to nothing about a state of
    that kind.
    """
    wanted = replace(wanted, states=())
    if await far_end(connection, wanted, _MOST_READ) is None:
        counted = await _group_by_state(connection, wanted)
        if sum(counted.values()) <= MOST_COUNTED:
            return {state: counted.get(state, 0) for state in State}
    return {state: await _count_few(connection, replace(wanted, states=[state])) for state in State}


async def _group_by_state(connection: AsyncConnection, wanted: Filter) -> Mapping[State, int]:
    """Count few jobs, each of which is read: up to one more than may be counted."""
    page = listing.page_of([jobs.c.state], wanted, MOST_COUNTED + 1)
    if page is None:
        return {}
    found = page.subquery()
    counted = select(found.c.state, func.count()).group_by(found.c.state)
    return {State(state): count for state, count in await connection.execute(counted)}


async def _count_few(connection: AsyncConnection, wanted: Filter) -> int | None:
    """Count the jobs in a state, if there are few. Without an index of the state, all others would be read again."""
    if not listing.is_led_by_state(wanted) or await far_end(connection, wanted, _MOST_READ) is not None:
        return None
    counted = await count_members(connection, wanted, MOST_COUNTED + 1)
    return counted if counted <= MOST_COUNTED else None


async def count_matching(connection: AsyncConnection, wanted: Filter) -> Count:
    """Count the jobs that match a filter on indexes and columns; not for a filter that has to search inside jobs.

    Looks at a limited number of jobs in the index that the list is read from; at fewer if the jobs' own rows must be
    read.
    """
    is_narrowed = listing.is_narrowed(wanted)
    looks = _MOST_READ if is_narrowed or wanted.error_types else MOST_COUNTED
    end = await far_end(connection, wanted, looks)
    counted = looks
    if end is None or is_narrowed:
        counted = await count_members(connection, replace(wanted, until=end), MOST_COUNTED + 1)
    if end is None and counted <= MOST_COUNTED:
        return Count(counted)
    [estimated] = await estimate(connection, [wanted])
    return Count(max(counted, estimated), about=True)


async def estimate(connection: AsyncConnection, filters: Sequence[Filter]) -> Sequence[int]:
    """Estimate how many jobs each filter matches, at a cost that does not grow with the history."""
    if connection.dialect.name == "sqlite":
        return await _by_sample(connection, filters)
    return [await _by_plan(connection, one) for one in filters]


async def _by_plan(connection: AsyncConnection, wanted: Filter) -> int:
    """Ask Postgres what its statistics say."""
    told = (await connection.execute(_Explain(select(jobs.c.id).where(*_plainly(wanted))))).scalar_one()
    [plan] = json.loads(told) if isinstance(told, str) else told
    return int(plan["Plan"]["Plan Rows"])


async def _by_sample(connection: AsyncConnection, filters: Sequence[Filter]) -> Sequence[int]:
    """Look at a sample of rows, and take the share that matches for the share of all."""
    first, last = (await connection.execute(select(*_ends()))).one()
    if first is None:
        return [0] * len(filters)
    rows = range(first, last + 1)
    looked = sorted(random.sample(rows, min(_SAMPLE, len(rows))))  # nosec B311
    matches = [func.count(case((and_(true(), *_plainly(one)), 1))) for one in filters]
    wanted = is_one_of("sqlite", _ROW)
    asked = select(*matches).select_from(jobs).where(wanted)
    found = (await connection.execute(asked, ids_parameter("sqlite", map(str, looked)))).one()
    return [round(count * len(rows) / len(looked)) for count in found]


def _ends() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Read each end of the table by itself: for both together, SQLite would walk from one to the other."""
    return (
        select(func.min(_ROW)).select_from(jobs).scalar_subquery(),
        select(func.max(_ROW)).select_from(jobs).scalar_subquery(),
    )


def _plainly(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter in the form for which the planner has statistics."""
    is_tagged = exists().where(
        job_tags.c.tag == wanted.tag, job_tags.c.created_at == jobs.c.created_at, job_tags.c.job_id == jobs.c.id
    )
    asked: list[tuple[object, ColumnElement[bool]]] = [
        (wanted.states, jobs.c.state.in_(wanted.states)),
        (wanted.kinds, or_(false(), *of_kinds(jobs, wanted.kinds))),
        (wanted.queues, jobs.c.queue.in_(wanted.queues)),
        (wanted.error_types, jobs.c.error_type.in_(wanted.error_types)),
        (wanted.tag, is_tagged),
        (wanted.lane, (jobs.c.lane == wanted.lane) | (jobs.c.kind_lane == wanted.lane)),
        (wanted.flow, jobs.c.flow == wanted.flow),
        (wanted.fingerprint, jobs.c.fingerprint == wanted.fingerprint),
        (wanted.ids, jobs.c.id.in_(wanted.ids)),
    ]
    said = [condition for told, condition in asked if told not in (None, (), [])]
    return [*said, *_bounds(wanted), *within_limits(jobs, wanted)]


def _bounds(wanted: Filter) -> list[ColumnElement[bool]]:
    bounds = [
        (wanted.created_after, jobs.c.created_at.__gt__),
        (wanted.created_before, jobs.c.created_at.__lt__),
        (wanted.finished_after, jobs.c.finished_at.__gt__),
        (wanted.finished_before, jobs.c.finished_at.__lt__),
    ]
    return [compare(value) for value, compare in bounds if value is not None]


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


@compiles(_Explain)
def _write(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"
