"""Whether jobs are accepted, and what else is missing: one check for each server, and one for the workers."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from service.errors import LedgerUnavailable
from service.ledger.deadline import in_time
from service.ledger.leases import BLOCKED_AFTER_S
from service.ledger.outages import reason_of
from service.ledger.reads import audit
from service.ledger.reads.workers import living_workers
from service.ledger.revisions import is_current
from service.ledger.write_probe import WriteProbe
from service.queue import UNREACHABLE, Probe, refusal_of
from service.resources import Resources

# Two checks in a row still leave time for an answer.
_CHECK_WITHIN_S = 2.0
# A sweep that has not finished a pass for this long is stuck.
_SWEPT_WITHIN = timedelta(seconds=60)


class Checks:
    """Asks the servers. Costly questions are asked at most once every few seconds."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.ledger.database
        self._schemas = [feature.schema for feature in resources.features]
        self._write_probe = WriteProbe(self._database)
        self.redis_probe = Probe(resources.queue.redis, resources.settings.queues)

    async def close(self) -> None:
        await self._write_probe.close()

    async def check(self) -> Mapping[str, str]:
        """Return, by name, how each part is doing: `ok`, or a sentence."""
        ledger, redis, workers, features = await asyncio.gather(
            self._ledger(), self._redis(), self._workers(), self._features()
        )
        return {"ledger": ledger, "redis": redis} | ({"workers": workers, **features} if ledger == "ok" else {})

    async def _ledger(self) -> str:
        try:
            if not await in_time(is_current(self._database, self._schemas), within_s=_CHECK_WITHIN_S):
                return "migrations are missing: run `postlude migrate`"
            await in_time(self._database.check(), within_s=_CHECK_WITHIN_S)
        except LedgerUnavailable as error:
            return f"away: {_words(error)}"
        try:
            await in_time(self._write_probe.check(), within_s=_CHECK_WITHIN_S)
        except LedgerUnavailable as error:
            return f"takes no writes: {_words(error)}"
        return "ok"

    async def _redis(self) -> str:
        try:
            async with asyncio.timeout(_CHECK_WITHIN_S):
                refusals = await self.redis_probe.refusals()
        except UNREACHABLE as error:
            reason = refusal_of(error) or str(error) or "no answer"
            return f"away: {reason}; jobs are accepted, and dispatched when it is back"
        return "; ".join(map(str, refusals)) or "ok"

    async def _workers(self) -> str:
        try:
            living, sweeping, now = await in_time(self._read_workers(), within_s=_CHECK_WITHIN_S)
        except LedgerUnavailable:
            return "unknown: they are in the ledger"
        if not living:
            return "no worker is alive; jobs are accepted, and run when one is"
        if all(worker["drain_at"] is not None for worker in living):
            return "every worker is draining; jobs are accepted, and run when another one is started"
        if all(worker["loop_lag_s"] >= BLOCKED_AFTER_S for worker in living):
            return "every worker's event loop is blocked: its log names the kinds that block it"
        had_time = any(worker["started_at"] < now - _SWEPT_WITHIN for worker in living)
        if had_time and (sweeping.swept_at is None or sweeping.swept_at < now - _SWEPT_WITHIN):
            return "no worker's sweep finishes: jobs may wait; the leading worker's log says why"
        return "ok"

    async def _features(self) -> Mapping[str, str]:
        """Return the complaints of features, by feature name."""
        try:
            return await in_time(self._read_features(), within_s=_CHECK_WITHIN_S)
        except LedgerUnavailable:
            return {}

    async def _read_features(self) -> Mapping[str, str]:
        complaints: dict[str, str] = {}
        async with self._resources.ledger.read() as connection:
            now = await self._database.now(connection)
            for feature in self._resources.features:
                if feature.report is not None:
                    report = await feature.report(self._resources.settings, connection, now)
                    complaints |= {feature.name: report.complaint} if report.complaint else {}
        return complaints

    async def _read_workers(self) -> tuple[Sequence[RowMapping], audit.Sweeping, datetime]:
        async with self._resources.ledger.read() as connection:
            now = await self._database.now(connection)
            return await living_workers(connection, now), await audit.sweeping(connection), now


def _words(error: LedgerUnavailable) -> str:
    """Say why: what we know and what the driver says, without SQLAlchemy's statement and link."""
    cause = error.__cause__
    if cause is None:
        return str(error)
    return f"{reason_of(cause)} ({getattr(cause, 'orig', cause)})"
