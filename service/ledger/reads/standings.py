"""How jobs stand that a worker found on the queue, and could not start."""

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
    """How a job stands, for a worker that could not start it."""

    id: str
    arq_id: str | None
    kind: str
    state: State
    run_at: datetime
    priority: int
    crashes: int
    prefetched: int


async def standings_of(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Standing]:
    """Say for each id on the queue how the job that it stands for stands; nothing for an id without a row.

    Where an arq client used the id of an earlier job again, that is the waiting job which was recorded for it.
    """
    statement = select(*(jobs.c[name] for name in Standing.__slots__))
    by_id = {row.id: _standing(row) for row in await connection.execute(statement.where(jobs.c.id.in_(ids)))}
    others = [job_id for job_id in ids if job_id not in by_id or by_id[job_id].state not in WAITING]
    if not others:
        return by_id
    adopted = statement.where(jobs.c.arq_id.in_(others), state_is(*WAITING))
    return by_id | {row.arq_id: _standing(row) for row in await connection.execute(adopted)}


def _standing(row: Any) -> Standing:
    return Standing(
        row.id, row.arq_id, row.kind, State(row.state), row.run_at, row.priority, row.crashes, row.prefetched
    )
