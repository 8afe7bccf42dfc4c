"""A kind that records what its attempts are given, for tests of changes, whose worker runs in the same loop."""

import asyncio
from collections import defaultdict

from pydantic import BaseModel

from jobs import Context, RetryPolicy, job


class Notes:
    """What attempts saw, by job; and how many attempts with one name ran at once at most."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self.now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)


notes = Notes()


class NotesArgs(BaseModel):
    name: str = ""
    seconds: float = 0.0


@job("notes", max_attempts=1, retry=RetryPolicy(delays=(0.05,)))
async def take_notes(ctx: Context, args: NotesArgs) -> None:
    notes.seen[ctx.job_id].append((args.name, ctx.timeout.total_seconds()))
    notes.now[args.name] += 1
    notes.most[args.name] = max(notes.most[args.name], notes.now[args.name])
    try:
        await asyncio.sleep(args.seconds)
    finally:
        notes.now[args.name] -= 1
