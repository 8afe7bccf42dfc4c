"""The queue: ids of due jobs in Redis, under arq's own key names. Everything in it can be rebuilt from the ledger."""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import uuid_utils
from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix, result_key_prefix
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

# Built-in TimeoutError and OSError: what redis-py lets through from a socket.
UNREACHABLE = (RedisError, OSError, TimeoutError)
CLAIM_HOLD_MS = 15_000
_MARKER = "postlude:epoch"
_CLAIM = (Path(__file__).parent / "worker" / "claim.lua").read_text()
_RESULT_KEPT_S = 3600


def serialize(data: dict[str, Any]) -> bytes:
    """arq's job serializer: JSON, for pickle would run what it reads."""
    return json.dumps(data, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """arq's job deserializer; raises ValueError on anything but a JSON object."""
    loaded = json.loads(data)
    if not isinstance(loaded, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - to the caller, bad data of one more sort
    return loaded


def key_of(queue: str) -> str:
    """Name the sorted set of `queue`: arq's own for `default`, arq:queue:<name> for others."""
    return default_queue_name if queue == "default" else f"{default_queue_name}:{queue}"


def open_redis(url: str) -> ArqRedis:
    """Make a client whose every call ends within seconds; connections are made when they are needed."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=20,
        timeout=2,  # for a free connection
        socket_timeout=3,
        socket_connect_timeout=1,
        health_check_interval=30,
    )
    return ArqRedis(pool_or_conn=pool, job_serializer=serialize, job_deserializer=deserialize)


@dataclass(frozen=True, slots=True)
class Entry:
    """A job to put on the queue."""

    id: str
    kind: str
    queue: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """An id taken off the head of a queue."""

    member: bytes
    queue: str


class Queue:
    """Puts, claims and removes ids. Every method raises one of `UNREACHABLE` when Redis does not answer."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis
        self._claim = redis.register_script(_CLAIM)
        self._putting = asyncio.Lock()
        self._to_put: list[Entry] = []
        self._next_put: asyncio.Task[None] | None = None

    async def put(self, entries: Iterable[Entry]) -> None:
        """Put jobs on their queues; one that is there already keeps its place. A left-over claim is lifted.

        All that wait at the same moment go in one round trip.
        """
        self._to_put += entries
        if self._next_put is None:
            self._next_put = asyncio.create_task(self._put_waiting(), name="queue-put")
            self._next_put.add_done_callback(_note_error)
        await asyncio.shield(self._next_put)

    async def _put_waiting(self) -> None:
        async with self._putting:
            entries, self._to_put, self._next_put = self._to_put, [], None
            await self._put_all(entries)

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.set(job_key_prefix + entry.id, _payload(entry), nx=True)
                pipe.delete(in_progress_key_prefix + entry.id)
                pipe.zadd(key_of(entry.queue), {entry.id: _score(entry.due_at)}, nx=True)
            await pipe.execute()

    async def put_again(self, member: str, queue: str, due_at: datetime) -> None:
        """Move an arq client's id, which stayed on the queue while it ran, to its next due time."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.zadd(key_of(queue), {member: _score(due_at)})
            pipe.delete(in_progress_key_prefix + member)
            await pipe.execute()

    async def claim(self, queue: str, count: int) -> list[Claimed]:
        """Take up to `count` due ids; nobody else gets them for `CLAIM_HOLD_MS`."""
        args: tuple[int | str, ...] = (count, CLAIM_HOLD_MS, in_progress_key_prefix)
        members = await cast(Awaitable[list[bytes]], self._claim(keys=[key_of(queue)], args=args))
        return [Claimed(member, queue) for member in members]

    async def release(self, members: Sequence[bytes]) -> None:
        """Let go of ids that were claimed for nothing. They stay moved ahead, so that nobody claims them in a loop."""
        if members:
            await self.redis.delete(*(in_progress_key_prefix.encode() + member for member in members))

    async def remove(self, queue: str, members: Sequence[bytes]) -> None:
        """Take ids off for good, with all that belongs to them."""
        if not members:
            return
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrem(key_of(queue), *members)
            for prefix in (job_key_prefix, in_progress_key_prefix):
                pipe.delete(*(prefix.encode() + member for member in members))
            await pipe.execute()

    async def payload(self, member: str) -> bytes | None:
        """Read what a plain arq client stored with its id."""
        return cast(bytes | None, await self.redis.get(job_key_prefix + member))

    async def hold(self, member: str, for_s: float) -> None:
        """Show arq's clients that the job is in progress, for at most `for_s` seconds."""
        await self.redis.set(in_progress_key_prefix + member, b"1", px=int(for_s * 1000))

    async def finish_adopted(self, member: str, queue: str, result: bytes) -> None:
        """End arq's protocol for an id: the result where `Job.result()` looks, nothing left on the queue."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.set(result_key_prefix + member, result, ex=_RESULT_KEPT_S)
            pipe.zrem(key_of(queue), member)
            pipe.delete(job_key_prefix + member, in_progress_key_prefix + member)
            await pipe.execute()

    async def epoch(self) -> str:
        """Name this life of this Redis: another server, a restart or a wipe is another epoch."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.set(_MARKER, _new_marker(), nx=True)
            pipe.get(_MARKER)
            pipe.info("server")
            _, marker, server = await pipe.execute()
        return f"{marker.decode()}:{server['run_id'][:16]}"


def _note_error(put: asyncio.Task[None]) -> None:
    """Those who wait for a put hear of its error; when none does any more, asyncio need not complain."""
    if not put.cancelled():
        put.exception()


def is_own_payload(payload: bytes) -> bool:
    """Whether a payload was written by `put`, not by a plain arq client."""
    return b'"postlude":1' in payload


def _payload(entry: Entry) -> bytes:
    # arq's field names; the args stay in the ledger.
    data: dict[str, Any] = {"t": None, "f": entry.kind, "a": [], "k": {}, "et": _score(entry.due_at), "postlude": 1}
    return json.dumps(data, separators=(",", ":")).encode()


def _score(due_at: datetime) -> int:
    return int(due_at.timestamp() * 1000)


def _new_marker() -> str:
    return uuid_utils.uuid7().hex
