"""`update_stats`: counters by subject and event, exact although a job may run more than once."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.times import Time
from jobs.stats.counters import Count, Counters

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
    count = Count(args.subject, args.event, args.count)
    counted = await ctx.capability(Counters).count_once(ctx.job_id, count)
    return UpdateStatsResult(counted=counted, at=args.at or ctx.created_at)
