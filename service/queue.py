"""The queue: ids of due jobs in Redis, under arq's own key names. Everything in it can be rebuilt from the ledger."""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import structlog
import uuid_utils
from arq.connections import ArqRedis
from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix, result_key_prefix
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

log = structlog.get_logger(__name__)

# Built-in TimeoutError and OSError: what redis-py lets through from a socket.
UNREACHABLE = (RedisError, OSError, TimeoutError)
CLAIM_HOLD_MS = 15_000
LONGEST_ID = 255
MAX_PAYLOAD_BYTES = 1024 * 1024
# A due job goes so far ahead for each step of its priority.
PRIORITY_STEP = timedelta(minutes=10)
# How soon an id that was set aside is offered to every worker again, in case nobody took it from there.
ASIDE_FOR = timedelta(seconds=60)
_ASIDE_KEPT_S = 600
_PARKED = "postlude:parked:"
_MARKER = "postlude:epoch"
_CLAIM = (Path(__file__).parent / "worker" / "claim.lua").read_text()
_RESULT_KEPT_S = 3600


def serialize(data: dict[str, Any]) -> bytes:
    """arq's job serializer: JSON, for pickle would run what it reads."""
    return json.dumps(data, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """arq's job deserializer; raises ValueError on anything but a JSON object."""
    try:
        loaded = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(loaded, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - to the caller, bad data of one more sort
    return loaded


def key_of(queue: str) -> str:
    """Name the sorted set of `queue`: arq's own for `default`, arq:queue:<name> for others."""
    return default_queue_name if queue == "default" else f"{default_queue_name}:{queue}"


def low_key_of(queue: str) -> str:
    """Name the sorted set of the due ids of negative priority. They are in the queue's own too, further behind."""
    return f"postlude:low:{queue}"


def aside_key_of(queue: str) -> str:
    """Name the set of the kinds that some worker did not know; <this>:<kind> has the ids, which stay in the queue."""
    return f"postlude:aside:{queue}"


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
    pool.connection_class = _naming_a_closed_transport(pool.connection_class)
    return ArqRedis(pool_or_conn=pool, job_serializer=serialize, job_deserializer=deserialize)


class PayloadUnreadable(Exception):
    """What stands at an id's `arq:job` key is nothing that an arq client wrote. The message says why."""


def _naming_a_closed_transport(connection_class: Any) -> Any:
    """Make a class of connections that says `ConnectionError` when its transport was reset since the last command.

    uvloop says RuntimeError there, which redis-py hands through: nobody would take it for Redis being away.
    """

    class Connection(connection_class):  # type: ignore[misc]
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                if "closed" not in str(error):
                    raise
                raise ConnectionLost("The connection to Redis was lost.") from error

    return Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """A job's place on a queue: at its due time, moved by its priority once that has come."""

    id: str
    kind: str
    queue: str
    due_at: datetime
    priority: int = 0

    def score(self, now: datetime) -> int:
        """Give its place in ms. It moves by priority when it is due: a job never runs early."""
        shift = self.priority * PRIORITY_STEP if self.due_at <= now else timedelta(0)
        return _ms(self.due_at) - shift // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An id taken off the head of a queue."""

    member: bytes
    queue: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim took. All of it was due by `due_by`, on Redis' clock, rounded up to its milliseconds."""

    claimed: list[Claimed]
    due_by: datetime


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
        if not entries:
            return
        now = datetime.now(UTC)
        places: dict[str, dict[str, int]] = {}
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.set(job_key_prefix + entry.id, _payload(entry), nx=True)
                places.setdefault(key_of(entry.queue), {})[entry.id] = entry.score(now)
                if entry.priority < 0 and entry.due_at <= now:
                    places.setdefault(low_key_of(entry.queue), {})[entry.id] = entry.score(now)
            # In one command each, for a thousand of them: refilling a wiped Redis takes half as long.
            pipe.delete(*(in_progress_key_prefix + entry.id for entry in entries))
            for key, scores in places.items():
                pipe.zadd(key, scores, nx=True)
            await pipe.execute()

    async def prioritise(self, entries: Iterable[Entry]) -> None:
        """Move jobs that have come due to the places of their priorities; one that has left the queue stays away."""
        now = datetime.now(UTC)
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: entry.score(now)}, xx=True)
                if entry.priority < 0:
                    pipe.zadd(low_key_of(entry.queue), {entry.id: entry.score(now)})
            await pipe.execute()

    async def missing(self, entries: Sequence[Entry]) -> set[Entry]:
        """Say which of `entries` are not on their queues, in one round trip."""
        by_queue: dict[str, list[Entry]] = {}
        for entry in entries:
            by_queue.setdefault(entry.queue, []).append(entry)
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue, ones in by_queue.items():
                pipe.zmscore(key_of(queue), [one.id for one in ones])
            scores = await pipe.execute()
        found = zip(by_queue.values(), scores, strict=True)
        return {one for ones, given in found for one, score in zip(ones, given, strict=True) if score is None}

    async def put_again(self, member: str, queue: str, due_at: datetime) -> None:
        """Move an arq client's id, which stayed on the queue while it ran, to its next due time."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.zadd(key_of(queue), {member: _ms(due_at)})
            pipe.delete(in_progress_key_prefix + member)
            await pipe.execute()

    async def claim(self, queues: Sequence[str], count: int, kinds: Sequence[str] = ()) -> Taken:
        """Take up to `count` due ids, a share from each queue; nobody else gets them for `CLAIM_HOLD_MS`.

        The first queue comes first where the count cannot be shared. Of what was set aside only `kinds` are taken.
        Content of Redis that would be in every claim's way is mended, and reported in the log.
        """
        keys = [name for queue in queues for name in (key_of(queue), low_key_of(queue), aside_key_of(queue))]
        args: tuple[int | str, ...] = (count, CLAIM_HOLD_MS, in_progress_key_prefix, _PARKED, 4 * LONGEST_ID, *kinds)
        now_ms, mended, *members = await cast(Awaitable[list[Any]], self._claim(keys=keys, args=args))
        for what, key, member in mended:
            log.error(what.decode(), key=key.decode(), found=_shown(member), **_MENDED[what.decode()])
        claimed = [Claimed(one, queue) for queue, some in zip(queues, members, strict=True) for one in some]
        return Taken(claimed, datetime.fromtimestamp((now_ms + 1) / 1000, UTC))

    async def put_back(self, entries: Sequence[Entry]) -> None:
        """Let go of claimed ids: each comes due at its entry's time, unless it has left the queue."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: _ms(entry.due_at)}, xx=True)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()

    async def set_aside(self, entries: Sequence[Entry], now: datetime) -> None:
        """Let go of claimed ids whose kinds the claimer does not know, where only claimers that know them look."""
        async with self.redis.pipeline(transaction=True) as pipe:
            for entry in entries:
                kinds, ids = aside_key_of(entry.queue), f"{aside_key_of(entry.queue)}:{entry.kind}"
                pipe.zadd(key_of(entry.queue), {entry.id: _ms(now + ASIDE_FOR)}, xx=True)
                pipe.zadd(ids, {entry.id: entry.score(now)})
                pipe.sadd(kinds, entry.kind)
                pipe.expire(ids, _ASIDE_KEPT_S)
                pipe.expire(kinds, _ASIDE_KEPT_S)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()

    async def remove(self, queue: str, members: Sequence[bytes]) -> None:
        """Take ids off for good, with all that belongs to them."""
        if not members:
            return
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrem(key_of(queue), *members)
            pipe.zrem(low_key_of(queue), *members)
            for prefix in (job_key_prefix, in_progress_key_prefix):
                pipe.delete(*(prefix.encode() + member for member in members))
            await pipe.execute()

    async def payload(self, member: str) -> bytes | None:
        """Read what a plain arq client stored with its id; None when there is nothing. Raises `PayloadUnreadable`."""
        try:
            payload: bytes = await self.redis.getrange(job_key_prefix + member, 0, MAX_PAYLOAD_BYTES)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise PayloadUnreadable("its payload is not of Redis' type string") from error
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadUnreadable(f"its payload is larger than {MAX_PAYLOAD_BYTES} bytes")
        return payload or None

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
    try:
        return deserialize(payload).get("postlude") == 1
    except ValueError:
        return False


def _payload(entry: Entry) -> bytes:
    # arq's field names; the args stay in the ledger.
    data: dict[str, Any] = {"t": None, "f": entry.kind, "a": [], "k": {}, "et": _ms(entry.due_at), "postlude": 1}
    return json.dumps(data, separators=(",", ":")).encode()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _shown(member: bytes) -> str:
    return member[:LONGEST_ID].decode(errors="backslashreplace")


def _new_marker() -> str:
    return uuid_utils.uuid7().hex


# What the claim script mends, and what to say of it.
_MENDED = {
    "queue_key_parked": {
        "reason": "it was not of the type that a queue has; it was renamed to what was found",
        "remedy": "see who writes to this Redis, then delete the renamed key; the sweep puts accepted jobs again",
    },
    "queue_member_removed": {"reason": "it is empty or too long: it can be no job's id"},
    "endless_claim_ended": {
        "reason": "its arq:in-progress key had no expiry, and would have kept it from every worker",
    },
}
