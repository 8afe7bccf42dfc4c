"""A kind that always fails, on a queue of its own: each replay costs its jobs exactly one attempt."""

from pydantic import BaseModel

from jobs import Context, job

MEMBERS = "members"


class Args(BaseModel):
    pass


@job("always_fails", queue=MEMBERS, max_attempts=1)
async def always_fails(ctx: Context, args: Args) -> None:
    raise ValueError("as always")
