"""Puts, claims and ends jobs in lanes, in the tests of the queue."""

from datetime import UTC, datetime, timedelta

from service.lane_rules import Rule
from service.queue import (
    BreakerChange,
    Entry,
    LaneState,
    Queue,
    Release,
    Room,
    Verdict,
)

ROOM = Room(100, 100)
BAD = Verdict(alive=False, reason="ConnectError")
GOOD = Verdict(alive=True)


async def build(queue: Queue, *rules: Rule, first: bool = True) -> None:
    await queue.lanes.rebuild(await queue.epoch(), rules, [], first=first)


def in_lanes(
    job_id: str, *lanes: str, due_in_s: float = -1, kind: str = "greet", priority: int = 0, limits: str | None = None
) -> Entry:
    due = datetime.now(UTC) + timedelta(seconds=due_in_s)
    return Entry(job_id, kind, "default", due, priority, lanes, limits)


async def claim(queue: Queue, room: Room = ROOM) -> list[str]:
    return [one.member.decode() for one in (await queue.claim(["default"], room)).claimed]


async def finish(queue: Queue, job_id: str, *lanes: str, verdict: Verdict | None = None) -> list[BreakerChange]:
    await queue.remove("default", [job_id.encode()])
    return await queue.lanes.release([Release(job_id, lanes, verdict)])


async def state(queue: Queue, lane: str) -> LaneState:
    return (await queue.lanes.states([lane]))[lane]


async def opens_in_s(queue: Queue, lane: str) -> float:
    opens_at = (await state(queue, lane)).opens_at
    assert opens_at is not None
    return (opens_at - datetime.now(UTC)).total_seconds()
