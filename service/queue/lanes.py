"""Lanes: what runs in them, the limits that apply, and their rebuilding from the ledger."""

import math
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast

import uuid_utils
from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from service.lane_rules import Rule, is_pattern
from service.queue.codec import milliseconds
from service.queue.keys import (
    LANE_PATTERNS,
    LANE_RULES,
    LANE_RULES_VERSION,
    LANES,
    LANES_BUILDING,
    LANES_BUILT,
    LANES_EPOCH,
    LANES_IN_ORDER,
    PAUSED,
    lane_key_of,
    running_key_of,
    turns_key_of,
    waiting_key_of,
    wake_key_of,
)
from service.queue.lane_limits import given_to, paused_until_ms, written_patterns, written_rule
from service.queue.lane_reading import breaker_change_of, lane_state_of, number_of
from service.queue.lane_state import BreakerChange, Holder, LaneState, Release, Verdict
from service.queue.scripts import BuildStep, Scripts

_AT_ONCE = 500
_FULL = "1"
_T = TypeVar("_T")


class Runs(NamedTuple):
    """A job that runs, or brings an order: its id on its queue, its lanes, and the limits that its row has for them."""

    id: str
    lanes: tuple[str, ...]
    queue: str
    lane_limits: str | None = None


class Lanes:
    """The lanes in one Redis. Every method raises one of `UNREACHABLE` if Redis does not answer."""

    def __init__(self, redis: ArqRedis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def release(self, releases: Sequence[Release]) -> list[BreakerChange]:
        """Let jobs leave their lanes, in one call for up to 500 of them; return the breakers that changed."""
        changed: list[BreakerChange] = []
        for some in _in_batches(releases):
            args = [part for common, ids in _grouped(some) for part in _told(common, ids)]
            changed += map(breaker_change_of, await self._scripts.release(args))
        return changed

    async def release_if(self, lane: str, job_id: str, claim_ms: int) -> None:
        """End a claim that led to nothing, unless the job has been claimed again since."""
        await self.release([Release(job_id, (lane,), claim_ms=claim_ms)])

    async def hold(self, running: Iterable[Runs]) -> None:
        """Count running jobs in their lanes again, after Redis has lost them."""
        for some in _in_batches(running):
            await self._scripts.build("", "hold", [part for one in some for part in _running(one)])

    async def started(self, jobs: Iterable[Runs]) -> None:
        """Remove started jobs from the waiting sets. `remove` does this too, for jobs that no arq client looks for."""
        for some in _in_batches(jobs):
            await self._scripts.build("", "started", [part for one in some for part in _running(one)])

    async def set_head(self, lane: str, job_id: str, due_at: datetime, *, in_place_of: str = "") -> None:
        """Let a strict lane start only this job, at its due time; with `in_place_of`, if that job is its head now."""
        await self._scripts.build("", "head", [lane, job_id, milliseconds(due_at), in_place_of])

    async def hear_orders(self, jobs: Iterable[Runs]) -> None:
        """Let lanes remember the order that these jobs bring, although the jobs wait elsewhere."""
        for some in _in_batches(jobs):
            await self._scripts.build("", "hear", [part for one in some for part in _running(one)])

    async def remembered_orders(self) -> tuple[int, list[str]]:
        """Return Redis' time in ms, and the empty lanes that are due for a check whether they have live jobs."""
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        lanes = await self._redis.zrangebyscore(LANES_IN_ORDER, "-inf", now_ms, start=0, num=_AT_ONCE)
        return now_ms, [lane.decode(errors="replace") for lane in lanes]

    async def keep_orders(self, live: Sequence[str], over: Sequence[str], at_ms: int) -> None:
        """Let lanes remember their order for longer; lanes without live jobs at this time of Redis' forget it."""
        await self._scripts.build("", "keep", live)
        await self._scripts.build("", "forget", [at_ms, *over])

    async def apply(self, rules: Sequence[Rule], version: str = "") -> None:
        """Apply these rules, which have this version, and no others, from the next claim on."""
        resumed = await self._write(rules, version)
        await self._on_active("", "place")
        for queue in resumed:
            await cast(Awaitable[int], self._redis.lpush(wake_key_of(queue), b"1"))

    async def stop_expiry(self) -> None:
        """Let only empty lanes expire: in a rolling upgrade, workers of older versions also let lanes in use expire."""
        await self._on_active("", "stay")

    async def rebuild(
        self,
        epoch: str,
        rules: Sequence[Rule],
        running: Iterable[Runs],
        *,
        in_order: Iterable[Runs] = (),
        first: bool = False,
    ) -> None:
        """Close all lanes, fill them with exactly the running jobs and the orders, and open them for this epoch.

        The epoch may be followed by `/` and a mark that tells this rebuild from others; claims get all of it. Buckets
        begin empty, because nobody knows what was started; full, if lanes are built for the `first` time ever. Raises
        `RedisError` if another process has begun to rebuild them meanwhile.
        """
        builder = uuid_utils.uuid7().hex
        seconds, microseconds = await self._redis.time()  # starts are counted by Redis' clock
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(LANES_EPOCH)
            pipe.set(LANES_BUILDING, builder)
            pipe.set(LANES_BUILT, _FULL if first else seconds * 1000 + microseconds // 1000)
            await pipe.execute()
        await self._write(rules, "")
        await self._on_active(builder, "clear")
        for some in _in_batches(running):
            await self._scripts.build(builder, "run", [part for one in some for part in _running(one)])
        await self.hear_orders(in_order)
        queues = await self._on_active(builder, "place")
        await self._scripts.build(builder, "open", [epoch, *queues])

    async def built_epoch(self) -> str | None:
        """Return the epoch for which lanes were built, with its mark; None while they are closed."""
        found: bytes | None = await self._redis.get(LANES_EPOCH)
        return None if found is None else found.decode()

    async def rules_version(self) -> str:
        """Return the version of the rules that apply; '' if none was set."""
        return (await self._redis.get(LANE_RULES_VERSION) or b"").decode(errors="replace")

    async def states(self, keys: Sequence[str]) -> Mapping[str, LaneState]:
        """Return the state of each lane."""
        states: dict[str, LaneState] = {}
        for some in _in_batches(keys):
            states |= zip(some, map(lane_state_of, await self._scripts.look(some)), strict=True)
        return states

    async def hold_by_rates(self, queues: Sequence[str]) -> bool:
        """Whether a due job on `queues` waits for nothing but the rate of its lane.

        If there are more lanes than can be asked at once, asks the ones whose turns come first.
        """
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        for queue, lanes in (await self._next_turns(queues)).items():
            rated = [lane for lane, state in (await self.states(lanes)).items() if state.waits_for_rate]
            async with self._redis.pipeline(transaction=False) as pipe:
                for lane in rated:
                    pipe.zrange(waiting_key_of(queue, lane), 0, 0, withscores=True)
                firsts = await _answers(pipe)
            if any(due_ms <= now_ms for first in firsts for _, due_ms in first or ()):
                return True
        return False

    async def _next_turns(self, queues: Sequence[str]) -> dict[str, list[str]]:
        """Return the lanes whose turns come first on each queue."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zrange(turns_key_of(queue), 0, _AT_ONCE - 1)
            found = await _answers(pipe)
        return {
            queue: [lane.decode(errors="replace") for lane in turns or ()]
            for queue, turns in zip(queues, found, strict=True)
        }

    async def count(self) -> int:
        """Count the lanes in which anything waits or runs, and the kinds (`kind:<name>`) for which anything waits."""
        return int(await cast(Awaitable[int], self._redis.scard(LANES)))

    async def running(self) -> AsyncIterator[Holder]:
        """Iterate over everything that runs in lanes."""
        async for some in self._active():
            async with self._redis.pipeline(transaction=False) as pipe:
                for lane in some:
                    pipe.zrange(running_key_of(lane), 0, -1, withscores=True)
                found = await _answers(pipe)
            for lane, members in zip(some, found, strict=True):
                for member, score in members or ():
                    yield Holder(lane, member.decode(errors="replace"), math.ceil(score))

    async def heads(self) -> AsyncIterator[dict[str, tuple[str, float]]]:
        """Iterate over the jobs for which strict lanes wait, some at a time: by lane, the id and its due time in ms."""
        async for some in self._active():
            async with self._redis.pipeline(transaction=False) as pipe:
                for lane in some:
                    pipe.hmget(lane_key_of(lane), ["head", "head_due"])
                found = await _answers(pipe)
            told = [(lane, *fields) for lane, fields in zip(some, found, strict=True) if fields is not None]
            yield {lane: (id_.decode(errors="replace"), number_of(due_ms) or 0) for lane, id_, due_ms in told if id_}

    async def _active(self) -> AsyncIterator[list[str]]:
        """Iterate over these lanes, some at a time, because there may be a million. A few may come twice."""
        cursor = -1
        while cursor:
            cursor, some = await cast(
                Awaitable[tuple[int, list[bytes]]], self._redis.sscan(LANES, max(cursor, 0), count=_AT_ONCE)
            )
            for batch in _in_batches(lane.decode(errors="replace") for lane in some):
                yield batch

    async def _write(self, rules: Sequence[Rule], version: str) -> list[str]:
        """Write the rules; return the queues that were paused until now, whose workers no put would wake."""
        now = datetime.now(UTC)
        exact = {rule.key: written_rule(rule, now) for rule in rules if not is_pattern(rule.key)}
        paused = {rule.key: paused_until_ms(rule, now) for rule in rules if rule.key.startswith(("kind:", "queue:"))}
        until = {key: float("inf") if ms == -1 else ms for key, ms in paused.items() if ms is not None}
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrange(PAUSED, 0, -1)
            pipe.delete(LANE_RULES, LANE_PATTERNS, PAUSED)
            pipe.set(LANE_RULES_VERSION, version)
            if exact:
                pipe.hset(LANE_RULES, mapping=exact)
            if any(is_pattern(rule.key) for rule in rules):
                pipe.set(LANE_PATTERNS, written_patterns(rules, now))
            if until:
                pipe.zadd(PAUSED, until)
            were_paused = [name.decode(errors="replace") for name in (await pipe.execute())[0]]
        return [name.removeprefix("queue:") for name in were_paused if name.startswith("queue:") and name not in until]

    async def _on_active(self, builder: str, step: BuildStep) -> list[str]:
        """Do a step for all active lanes; return the queues on which anything waits in them."""
        queues: set[bytes] = set()
        async for some in self._active():
            queues.update(await self._scripts.build(builder, step, some))
        return sorted(queue.decode(errors="replace") for queue in queues)


async def _answers(pipe: Pipeline) -> list[Any]:
    """Send commands; None for a key of the wrong type, which the next script that meets it puts aside."""
    found: list[Any] = await pipe.execute(raise_on_error=False)
    for one in found:
        if isinstance(one, Exception) and not (isinstance(one, ResponseError) and "WRONGTYPE" in str(one)):
            raise one
    return [None if isinstance(one, Exception) else one for one in found]


# What releases may have in common: everything but their ids.
_Common = tuple[tuple[str, ...], Verdict | None, datetime | None, int | None]


def _grouped(releases: Iterable[Release]) -> list[tuple[_Common, list[str]]]:
    """Group releases that differ only in their ids.

    Verdicts on a lane keep their order, because its breaker counts them.
    """
    groups: list[tuple[_Common, list[str]]] = []
    latest: dict[str, tuple[_Common, list[str]]] = {}
    for job_id, *rest in releases:
        common = cast(_Common, tuple(rest))
        judged = common[0][-1]
        group = latest.get(judged)
        if group is None or group[0] != common:
            group = latest[judged] = (common, [])
            groups.append(group)
        group[1].append(job_id)
    return groups


def _told(common: _Common, ids: Sequence[str]) -> list[str | int]:
    lanes, verdict, head_due, claim_ms = common
    return [
        "" if claim_ms is None else claim_ms,
        "" if verdict is None else int(verdict.alive),
        "" if verdict is None or verdict.hold_s is None else int(verdict.hold_s * 1000),
        "" if verdict is None else verdict.reason,
        "" if head_due is None else milliseconds(head_due),
        len(lanes),
        *lanes,
        len(ids),
        *ids,
    ]


def _running(job: Runs) -> list[str | int]:
    given = given_to(job.lanes, job.lane_limits)
    in_lanes = (part for pair in zip(job.lanes, given, strict=True) for part in pair)
    return [job.id, job.queue, len(job.lanes), *in_lanes]


def _in_batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
