"""`update_stats`: counters by subject and event, exact although a job may run more than once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.times import Time
from jobs.stats.tables import counted_jobs, counters, insert_into

Name = Annotated[str, Field(min_length=1, max_length=255)]


class UpdateStatsArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: Name = Field(description="What is counted for, e.g. a user or a page.")
    event: Name = Field(description="What is counted, e.g. `signup`.")
    count: int = Field(1, strict=True, ge=-1_000_000_000, le=1_000_000_000, description="How many to add.")
    at: Time | None = Field(None, description="When it happened. Default: when the job was created.")


class UpdateStatsResult(BaseModel):
    counted: bool = Field(description="False when an earlier attempt of this job had counted already.")
    at: datetime


@job("update_stats", timeout=30, max_attempts=10)
async def update_stats(ctx: Context, args: UpdateStatsArgs) -> UpdateStatsResult:
    """Add to the counter of a subject and an event, exactly once for each job however often it runs."""
    async with ctx.session() as session, session.begin():
        counted = await _claim_count(session, ctx.job_id)
        if counted:
            await _add(session, args)
    return UpdateStatsResult(counted=counted, at=args.at or ctx.created_at)


async def read_counters(
    connection: AsyncConnection,
    *,
    subject: str | None = None,
    event: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 1_000,
) -> Sequence[Any]:
    """Read counters in the order of their names: those that come after (subject, event)."""
    statement = select(counters.c.subject, counters.c.event, counters.c["count"].label("count"))
    statement = statement.where(*_of(subject, event))
    if after is not None:
        statement = statement.where(tuple_(counters.c.subject, counters.c.event) > tuple_(*after))
    ordered = statement.order_by(counters.c.subject, counters.c.event).limit(limit)
    return (await connection.execute(ordered)).all()


async def sum_counters(connection: AsyncConnection, *, subject: str | None = None, event: str | None = None) -> int:
    """Add up counters."""
    total = select(func.coalesce(func.sum(counters.c["count"]), 0)).where(*_of(subject, event))
    return int((await connection.execute(total)).scalar_one())


def _of(subject: str | None, event: str | None) -> list[ColumnElement[bool]]:
    wanted = ((counters.c.subject, subject), (counters.c.event, event))
    return [column == value for column, value in wanted if value is not None]


async def _claim_count(session: AsyncSession, job_id: str) -> bool:
    statement = insert_into(session, counted_jobs).values(job_id=job_id)
    claimed = await session.execute(statement.on_conflict_do_nothing().returning(counted_jobs.c.job_id))
    return claimed.first() is not None


async def _add(session: AsyncSession, args: UpdateStatsArgs) -> None:
    statement = insert_into(session, counters).values(subject=args.subject, event=args.event, count=args.count)
    total = counters.c["count"] + statement.excluded["count"]
    await session.execute(statement.on_conflict_do_update(index_elements=["subject", "event"], set_={"count": total}))
