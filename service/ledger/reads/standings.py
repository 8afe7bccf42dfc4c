"""The standing of jobs that a worker found on the queue but could not start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import state_is
from service.ledger.states import WAITING, State
from service.tables import jobs


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of a job, for a worker that could not start it."""

    id: str
    arq_id: str | None
    kind: str
    queue: str
    state: State
    run_at: datetime
    priority: int
    crashes: int
    prefetched: int
    lane: str | None
    kind_lane: str | None
    lane_limits: str | None


async def standings_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Standing]:
    """Return the standing of the job of each id on the queue that has one.

    If an arq client reused the id of an earlier job, its job is the waiting one recorded for the client.
    """
    statement = select(*(jobs.c[name] for name in Standing.__slots__))
    by_id = {row.id: _standing(row) for row in await connection.execute(statement.where(jobs.c.id.in_(ids)))}
    others = [job_id for job_id in ids if job_id not in by_id or by_id[job_id].state not in WAITING]
    if not others:
        return by_id
    adopted = statement.where(jobs.c.arq_id.in_(others), state_is(*WAITING))
    return by_id | {row.arq_id: _standing(row) for row in await connection.execute(adopted)}


def _standing(row: Any) -> Standing:
    return Standing(**row._asdict() | {"state": State(row.state)})
