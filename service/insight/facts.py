"""The facts behind troubles, read at one moment: from bounded reads, and from what workers have recorded."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.durability import risky_in_postgres, risky_in_redis
from service.errors import LedgerUnavailable
from service.insight.levels import GAP
from service.insight.slo import SloState, slo_states
from service.lane_rules import Rule
from service.ledger.reads import troubled
from service.ledger.reads.failures import FailureGroup, find_group
from service.ledger.reads.figures import levels, levels_now, series
from service.ledger.reads.held_back import held_back
from service.ledger.reads.workers import living_workers
from service.ledger.write_probe import WriteProbe
from service.lifecycle.schedules.due import PAUSED
from service.queue import UNREACHABLE, refusal_of
from service.resources import Resources

MINUTE = timedelta(minutes=1)
# How long a gap must last to be a trouble: the rescue closes it within 30 s.
GAP_LASTS = 5 * MINUTE
_REDIS_WITHIN_S = 1.0
_RISKS_EVERY_S = 60.0
_MOST_GROUPS = 3
_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HeldLane:
    """A lane whose breaker is not closed; what waits in it, and how it failed in the last hours."""

    rule: Rule
    backlog: troubled.Backlog
    failing: troubled.Failing


@dataclass(frozen=True, slots=True)
class Growing:
    """A group that fails far more often than before: how often in the last ten minutes, and in the hour before."""

    group: FailureGroup
    lately: int
    before: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at `now`, by the database's clock. `levels` are empty if no worker has measured for a minute."""

    now: datetime
    unwritable: str | None = None
    redis: str | None = None
    risks: Mapping[str, str] = field(default_factory=dict)
    complaints: Mapping[str, str] = field(default_factory=dict)
    workers: Sequence[Mapping[str, object]] = ()
    lost_workers: Sequence[troubled.LostWorker] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    waiting: int = 0
    oldest_at: datetime | None = None
    gap_lasts: bool = False
    held: Sequence[HeldLane] = ()
    held_count: int = 0
    paused: Sequence[Rule] = ()
    growing: Sequence[Growing] = ()
    ticks: Sequence[troubled.OddTick] = ()
    slos: Mapping[str, SloState] = field(default_factory=dict)
    succeeded_lately: int = 0

    @property
    def taking(self) -> Sequence[Mapping[str, object]]:
        """The workers that take new jobs."""
        return [worker for worker in self.workers if worker["drain_at"] is None]

    @property
    def queues_worked(self) -> frozenset[str]:
        return frozenset(name for worker in self.taking for name in str(worker["queues"]).split(","))


class FactsReader:
    """Reads the facts. Costly questions are asked at most once every few seconds."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.ledger.database
        self._write_probe = WriteProbe(self._database)
        self._risks: tuple[float, Mapping[str, str]] = (0.0, {})

    async def close(self) -> None:
        await self._write_probe.close()

    async def read(self) -> Facts:
        """Raises `LedgerUnavailable`."""
        redis, risks, unwritable = await asyncio.gather(self._redis(), self._read_risks(), self._unwritable())
        async with self._resources.ledger.read() as connection:
            now = await self._database.now(connection)
            living = await living_workers(connection, now)
            noted = await levels_now(connection, now)
            waiting, oldest_at = await _waiting(connection, now, living, noted)
            back = await held_back(connection, now)
            held = [rule for rule in back.breakers if rule.breaker_forced != "closed"]
            recently = await series(connection, ["succeeded"], since=now - MINUTE, until=now, step=MINUTE)
            return Facts(
                now=now,
                unwritable=unwritable,
                redis=redis,
                risks=risks,
                complaints=await self._complaints(connection, now),
                workers=[dict(worker) for worker in living],
                lost_workers=await troubled.lost_workers(connection, now),
                levels=noted,
                waiting=waiting,
                oldest_at=oldest_at,
                gap_lasts=bool(noted.get(GAP)) and await _gap_lasts(connection, now),
                held=[await _held(connection, rule, now) for rule in held],
                held_count=back.breakers_count - (len(back.breakers) - len(held)),
                paused=[*back.kinds_and_queues, *back.lanes],
                growing=await _growing(connection, now),
                ticks=await troubled.odd_ticks(connection, now - _LATELY, now, wanted=PAUSED),
                slos=await slo_states(connection, self._resources.catalogue, now),
                succeeded_lately=sum(recently.counts["succeeded"]),
            )

    async def _redis(self) -> str | None:
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                await self._resources.queue.epoch()
        except UNREACHABLE as error:
            return refusal_of(error) or str(error) or "no answer"
        return None

    async def _unwritable(self) -> str | None:
        try:
            await self._write_probe.check()
        except LedgerUnavailable as error:
            return str(error)
        return None

    async def _read_risks(self) -> Mapping[str, str]:
        """Return the server settings that may lose jobs, with their remedies."""
        due, known = self._risks
        if time.monotonic() < due:
            return known
        found: dict[str, str] = {}
        for risky in (risky_in_postgres(self._database), risky_in_redis(self._resources.queue.redis)):
            try:
                async with asyncio.timeout(_REDIS_WITHIN_S):
                    found |= await risky
            except (LedgerUnavailable, *UNREACHABLE):
                continue
        self._risks = time.monotonic() + _RISKS_EVERY_S, found
        return found

    async def _complaints(self, connection: AsyncConnection, now: datetime) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for feature in self._resources.features:
            if feature.report is not None:
                report = await feature.report(self._resources.settings, connection, now)
                found |= {feature.name: report.complaint} if report.complaint else {}
        return found


async def _waiting(
    connection: AsyncConnection, now: datetime, living: Sequence[RowMapping], noted: Mapping[str, float]
) -> tuple[int, datetime | None]:
    """Count the waiting jobs if no worker does."""
    if living or noted:
        return int(noted.get("waiting", 0)), None
    return await troubled.backlog(connection, now)


async def _gap_lasts(connection: AsyncConnection, now: datetime) -> bool:
    looked = await levels(connection, [GAP], since=now - GAP_LASTS, until=now, step=MINUTE)
    return all(value != 0 for value in looked.values[GAP] if value is not None)


async def _held(connection: AsyncConnection, rule: Rule, now: datetime) -> HeldLane:
    backlog = await troubled.backlog_of(connection, rule.key)
    return HeldLane(rule, backlog, await troubled.failing_towards(connection, rule.key, now))


async def _growing(connection: AsyncConnection, now: datetime) -> Sequence[Growing]:
    grown = await troubled.growing_groups(connection, now)
    found = []
    for fingerprint, lately, before in grown[:_MOST_GROUPS]:
        group = await find_group(connection, fingerprint, since=now - troubled.LATELY)
        found += [] if group is None else [Growing(group, lately, before)]
    return found
