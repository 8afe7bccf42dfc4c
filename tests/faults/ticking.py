"""A kind with a schedule, for the faults of cron."""

from jobs import Context, job
from tests.faults.kinds import WorkArgs, leave_effect


@job("fault_tick", cron="*/5 * * * * *")
async def tick(ctx: Context, _args: WorkArgs) -> None:
    """Come due every five seconds."""
    leave_effect(ctx)
