"""Kinds for tests of flows, loaded through `POSTLUDE_JOBS`."""

import asyncio
from dataclasses import dataclass, field

from pydantic import BaseModel

from jobs import Context, Discard, Retry, job


@dataclass
class Notes:
    """What ran, in order, and which jobs shall fail, by the names in the args; jobs in `held` stay until released."""

    ran: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    held: dict[str, asyncio.Event] = field(default_factory=dict)


NOTES: dict[str, Notes] = {}
"""By a name of the test's own; the test makes it."""


class NoteArgs(BaseModel):
    of: str
    name: str


@job("note", max_attempts=1)
async def note(_ctx: Context, args: NoteArgs) -> str:
    """Record that it ran; fail if it should."""
    notes = NOTES[args.of]
    if args.name in notes.held:
        await notes.held[args.name].wait()
    if args.name in notes.failing:
        raise Discard(f"{args.name} is to fail")
    notes.ran.append(args.name)
    return args.name


@job("note_twice", max_attempts=5)
async def note_twice(ctx: Context, args: NoteArgs) -> str:
    """Record each attempt; the first ones fail as often as they should."""
    notes = NOTES[args.of]
    notes.ran.append(f"{args.name}:{ctx.attempt}")
    if args.name in notes.failing:
        raise Retry("not yet", after=0.2)
    return args.name
