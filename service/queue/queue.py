"""Puts ids on queues, claims them, and takes them off."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import structlog
import uuid_utils
from arq.connections import ArqRedis

from service import agreed_time
from service.queue.arq_protocol import ArqProtocol
from service.queue.codec import milliseconds, payload_of
from service.queue.keys import (
    MARKER,
    PARKED,
    aside_key_of,
    in_progress_key_prefix,
    job_key_prefix,
    key_of,
    low_key_of,
    wake_key_of,
)
from service.queue.refusals import is_not_allowed

log = structlog.get_logger(__name__)

CLAIM_HOLD_MS = 15_000
LONGEST_ID = 255
# A due job goes so far ahead for each step of its priority.
PRIORITY_STEP = timedelta(minutes=10)
_PRIORITY_STEP_MS = PRIORITY_STEP // timedelta(milliseconds=1)
# How soon an id that was set aside is offered to every worker again, in case nobody took it from there.
ASIDE_FOR = timedelta(seconds=60)
_ASIDE_KEPT_S = 600
_CLAIM = (Path(__file__).parent / "claim.lua").read_text()
_PUT = (Path(__file__).parent / "put.lua").read_text()
_REMOVE = (Path(__file__).parent / "remove.lua").read_text()
_AT_ONCE = 1_000


class Entry(NamedTuple):
    """A job's place on a queue: at its due time, moved by its priority once that has come."""

    id: str
    kind: str
    queue: str
    due_at: datetime
    priority: int = 0

    def score(self, now: datetime) -> int:
        """Return its place in ms. It moves by priority when it is due: a job never runs early."""
        shift_ms = self.priority * _PRIORITY_STEP_MS if self.priority and self.due_at <= now else 0
        return milliseconds(self.due_at) - shift_ms


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
        self.arq = ArqProtocol(redis)
        self._claim = redis.register_script(_CLAIM)
        self._put = redis.register_script(_PUT)
        self._remove = redis.register_script(_REMOVE)
        self._writing = asyncio.Lock()
        self._to_put: list[Entry] = []
        self._to_remove: dict[str, list[bytes]] = {}
        self._next_flush: asyncio.Task[None] | None = None

    async def put(self, entries: Iterable[Entry]) -> None:
        """Put jobs on their queues; one that is there already keeps its place. A left-over claim is lifted.

        All that wait at the same moment go in one round trip, after what is to be removed.
        """
        self._to_put += entries
        await asyncio.shield(self._flush())

    async def remove(self, queue: str, members: Iterable[bytes]) -> None:
        """Take ids off for good, with all that belongs to them."""
        await asyncio.shield(self.remove_soon(queue, members))

    def remove_soon(self, queue: str, members: Iterable[bytes]) -> asyncio.Future[None]:
        """The same, to be awaited by nobody: an id that stays comes up again, and its start is refused."""
        self._to_remove.setdefault(queue, []).extend(members)
        return self._flush()

    def _flush(self) -> asyncio.Task[None]:
        if self._next_flush is None:
            self._next_flush = asyncio.create_task(self._write_waiting(), name="queue-write")
            self._next_flush.add_done_callback(_note_error)
        return self._next_flush

    async def _write_waiting(self) -> None:
        async with self._writing:
            to_put, self._to_put = self._to_put, []
            to_remove, self._to_remove = self._to_remove, {}
            self._next_flush = None
            if any(to_remove.values()):
                await self._remove_all(to_remove)
            for start in range(0, len(to_put), _AT_ONCE):
                await self._put_all(to_put[start : start + _AT_ONCE])

    async def _remove_all(self, members: Mapping[str, Sequence[bytes]]) -> None:
        for queue, some in members.items():
            for start in range(0, len(some), _AT_ONCE):
                args: tuple[str | bytes, ...] = (
                    job_key_prefix,
                    in_progress_key_prefix,
                    *some[start : start + _AT_ONCE],
                )
                await cast(Awaitable[None], self._remove(keys=[key_of(queue), low_key_of(queue)], args=args))

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        now = agreed_time.now()
        queues = list({entry.queue: None for entry in entries})
        keys = [name for queue in queues for name in (key_of(queue), low_key_of(queue), wake_key_of(queue))]
        args: list[str | int] = [job_key_prefix, in_progress_key_prefix]
        for entry in entries:
            is_low = int(entry.priority < 0 and entry.due_at <= now)
            payload = payload_of(entry.kind, entry.due_at)
            args += (queues.index(entry.queue), is_low, entry.id, entry.score(now), payload)
        await cast(Awaitable[None], self._put(keys=keys, args=args))

    async def woken(self, queues: Sequence[str], within_s: float) -> bool:
        """Wait until something is put on one of `queues`, or until `within_s`; one waiting worker hears of each put."""
        keys = [wake_key_of(queue) for queue in queues]
        # Its type says whole seconds; Redis takes parts of one.
        return await cast(Awaitable[Any], self.redis.blpop(keys, timeout=cast(int, within_s))) is not None

    async def next_due_ms(self, queues: Sequence[str]) -> float | None:
        """Return the place of the first id of all `queues`, in ms on Redis' clock; None where there is none."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zrange(key_of(queue), 0, 0, withscores=True)
            heads = await pipe.execute()
        return min((score for head in heads for _, score in head), default=None)

    async def has_out_of_order(self, queues: Sequence[str]) -> bool:
        """Whether there are due ids that do not stand at their due times: of negative priority, or set aside."""
        keys = [name(queue) for queue in queues for name in (low_key_of, aside_key_of)]
        return bool(await self.redis.exists(*keys))

    async def prioritise(self, entries: Iterable[Entry]) -> None:
        """Move jobs that have come due to the places of their priorities; one that has left the queue stays away."""
        now = agreed_time.now()
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: entry.score(now)}, xx=True)
                if entry.priority < 0:
                    pipe.zadd(low_key_of(entry.queue), {entry.id: entry.score(now)})
            await pipe.execute()

    async def missing(self, places: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Say of which (queue, id) the id is not on the queue, in one round trip."""
        by_queue: dict[str, list[str]] = {}
        for queue, member in places:
            by_queue.setdefault(queue, []).append(member)
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue, members in by_queue.items():
                pipe.zmscore(key_of(queue), members)
            scores = await pipe.execute()
        found = zip(by_queue.items(), scores, strict=True)
        return {
            (queue, member)
            for (queue, members), given in found
            for member, score in zip(members, given, strict=True)
            if score is None
        }

    async def claim(self, queues: Sequence[str], count: int, kinds: Sequence[str] = ()) -> Taken:
        """Take up to `count` due ids, a share from each queue; nobody else gets them for `CLAIM_HOLD_MS`.

        The first queue comes first where the count cannot be shared. Of what was set aside only `kinds` are taken.
        Content of Redis that would be in every claim's way is mended, and reported in the log.
        """
        names = (key_of, low_key_of, aside_key_of, wake_key_of)
        keys = [name(queue) for queue in queues for name in names]
        args: tuple[int | str, ...] = (count, CLAIM_HOLD_MS, in_progress_key_prefix, PARKED, 4 * LONGEST_ID, *kinds)
        now_ms, mended, *members = await cast(Awaitable[list[Any]], self._claim(keys=keys, args=args))
        for what, key, member in mended:
            log.error(what.decode(), key=key.decode(), found=_shown(member), **_MENDED[what.decode()])
        claimed = [Claimed(one, queue) for queue, some in zip(queues, members, strict=True) for one in some]
        return Taken(claimed, datetime.fromtimestamp((now_ms + 1) / 1000, UTC))

    async def put_back(self, entries: Sequence[Entry]) -> None:
        """Let go of claimed ids: each comes due at its entry's time, unless it has left the queue."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: milliseconds(entry.due_at)}, xx=True)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()

    async def set_aside(self, entries: Sequence[Entry], now: datetime) -> None:
        """Let go of claimed ids whose kinds the claimer does not know, where only claimers that know them look."""
        async with self.redis.pipeline(transaction=True) as pipe:
            for entry in entries:
                kinds, ids = aside_key_of(entry.queue), f"{aside_key_of(entry.queue)}:{entry.kind}"
                pipe.zadd(key_of(entry.queue), {entry.id: milliseconds(now + ASIDE_FOR)}, xx=True)
                pipe.zadd(ids, {entry.id: entry.score(now)})
                pipe.sadd(kinds, entry.kind)
                pipe.expire(ids, _ASIDE_KEPT_S)
                pipe.expire(kinds, _ASIDE_KEPT_S)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()

    async def epoch(self) -> str:
        """Name this life of this Redis: another server, a restart or a wipe is another epoch.

        A user without INFO has the marker alone, which a wipe takes along. What a restart or a failover loses beside it
        is found by the sweep's look at single ids.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.get(MARKER)
            pipe.info("server")
            marker, server = await pipe.execute(raise_on_error=False)
        if isinstance(marker, Exception):
            raise marker
        if marker is None:
            await self.redis.set(MARKER, _new_marker(), nx=True)
            return await self.epoch()
        return f"{marker.decode()}:{_run_id(server)}"


def _note_error(put: asyncio.Task[None]) -> None:
    """Those who wait for a put hear of its error; when none does any more, asyncio need not complain."""
    if not put.cancelled():
        put.exception()


def _shown(member: bytes) -> str:
    return member[:LONGEST_ID].decode(errors="backslashreplace")


def _run_id(server: Any) -> str:
    """Read INFO's answer; nothing where this user may not have it."""
    if isinstance(server, Exception):
        if is_not_allowed(server):
            return ""
        raise server
    return str(server.get("run_id", ""))[:16]


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
