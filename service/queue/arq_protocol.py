"""arq's protocol for the jobs of plain arq clients: payload, in progress, next attempt, result.

Each method takes many jobs, and makes one round trip for all of them or for each hundred.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from service.queue.codec import MAX_PAYLOAD_BYTES, PayloadUnreadable, milliseconds
from service.queue.keys import in_progress_key_prefix, job_key_prefix, key_of, result_key_prefix

RESULT_KEPT_S = 3600
# A result may have 256 KiB. A hundred of them in one transaction burden neither side.
_AT_ONCE = 100


class Again(NamedTuple):
    """The next attempt of an arq job, whose id stayed on its queue while the last one ran."""

    member: str
    queue: str
    due_at: datetime


class Result(NamedTuple):
    """The result that an arq client's `Job.result()` returns, in arq's own format."""

    member: str
    queue: str
    result: bytes


Payload = bytes | PayloadUnreadable | None


class ArqProtocol:
    """Reads and writes what arq's clients look at. Every method raises one of `UNREACHABLE`."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def payloads(self, members: Sequence[str]) -> dict[str, Payload]:
        """Return the payload of each id: None if it has none, an error if the payload cannot be a job's."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.getrange(job_key_prefix + member, 0, MAX_PAYLOAD_BYTES)
            found = await pipe.execute(raise_on_error=False)
        return {member: _payload(payload) for member, payload in zip(members, found, strict=True)}

    async def hold(self, for_s: Mapping[str, float]) -> None:
        """Show jobs to arq's clients as in progress, each for at most the given seconds."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for member, seconds in for_s.items():
                pipe.set(in_progress_key_prefix + member, b"1", px=int(seconds * 1000))
            await pipe.execute()

    async def settle(self, words: Sequence[Again | Result]) -> None:
        """Move ids to the times of their next attempts, and store the results of jobs that have ended."""
        for first in range(0, len(words), _AT_ONCE):
            async with self._redis.pipeline(transaction=True) as pipe:
                for word in words[first : first + _AT_ONCE]:
                    _settle(pipe, word)
                await pipe.execute()


def _payload(found: Any) -> Payload:
    if isinstance(found, ResponseError) and "WRONGTYPE" in str(found):
        return PayloadUnreadable("its payload is not of Redis' type string")
    if isinstance(found, Exception):
        raise found
    if len(found) > MAX_PAYLOAD_BYTES:
        return PayloadUnreadable(f"its payload is larger than {MAX_PAYLOAD_BYTES} bytes")
    payload: bytes = found
    return payload or None


def _settle(pipe: Any, word: Again | Result) -> None:
    match word:
        case Again(member, queue, due_at):
            pipe.zadd(key_of(queue), {member: milliseconds(due_at)})
            pipe.delete(in_progress_key_prefix + member)
        case Result(member, queue, result):
            pipe.set(result_key_prefix + member, result, ex=RESULT_KEPT_S)
            pipe.zrem(key_of(queue), member)
            pipe.delete(job_key_prefix + member, in_progress_key_prefix + member)
