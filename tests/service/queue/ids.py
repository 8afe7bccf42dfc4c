"""Puts, claims and finds ids in the tests of the queue."""

from datetime import UTC, datetime, timedelta

from arq.jobs import Job
from redis.asyncio import Redis

from service.queue import (
    CLAIM_HOLD_MS,
    UNREACHABLE,
    Entry,
    Queue,
    Room,
    deserialize,
    key_of,
)

HOLD = timedelta(milliseconds=CLAIM_HOLD_MS)


async def epoch_of(queue: Queue) -> str | None:
    try:
        return await queue.epoch()
    except UNREACHABLE:
        return None


def entry(job_id: str, due_in_s: float = -1, queue: str = "default") -> Entry:
    return Entry(job_id, "greet", queue, datetime.now(UTC) + timedelta(seconds=due_in_s))


async def claim(queue: Queue, count: int = 100, name: str = "default") -> list[str]:
    return [claimed.member.decode() for claimed in (await queue.claim([name], Room(count))).claimed]


async def score(redis: Redis, member: str) -> float | None:
    found: float | None = await redis.zscore(key_of("default"), member)
    return found


def seconds_from_now(score_ms: float | None) -> float:
    assert score_ms is not None
    return score_ms / 1000 - datetime.now(UTC).timestamp()


def arq_job(queue: Queue, job_id: str) -> Job:
    return Job(job_id, queue.redis, _deserializer=deserialize)
