"""What jobs have kept for later attempts, as it is shown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.particulars import checkpoints_of
from service.step_tables import job_steps


class Kept(NamedTuple):
    """The steps of a job, in the order in which they ended, and its checkpoint as JSON."""

    steps: Sequence[RowMapping] = ()
    checkpoint: str | None = None


NOTHING_KEPT = Kept()


async def kept_by(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Kept]:
    """Return what each of the jobs has kept."""
    if not ids:
        return {}
    steps: dict[str, list[RowMapping]] = {job_id: [] for job_id in ids}
    order = (job_steps.c.finished_at, job_steps.c.started_at, job_steps.c.name)
    chosen = select(job_steps).where(job_steps.c.job_id.in_(ids)).order_by(*order)
    for row in (await connection.execute(chosen)).mappings():
        steps[row["job_id"]].append(row)
    checkpoints = await checkpoints_of(connection, ids)
    return {job_id: Kept(steps[job_id], checkpoints.get(job_id)) for job_id in ids}
