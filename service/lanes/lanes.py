"""What users set for lanes, kinds and queues, and what they see of them. The ledger comes first, then Redis."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from service.errors import LaneNotFound, PausedByPattern, StockWorkerRuns
from service.lane_rules import is_pattern
from service.lanes.lane_view import LaneView, view_of
from service.lanes.outlook import Outlook
from service.lanes.waiting_for import WaitingFor
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.reads import lanes as reads
from service.ledger.records.lanes import Breaker, Said, record_breakers, record_rule, record_rule_deleted
from service.queue import UNREACHABLE, LaneState, Queue
from service.shared_reads import SharedReads

log = structlog.get_logger(__name__)

# Three calls still leave the ledger time for an answer.
_REDIS_WITHIN_S = 0.7


class Change(NamedTuple):
    """The result of a change: the lane as it is now, whether its rule is new, and whether Redis has heard of it."""

    lane: LaneView
    is_new: bool
    is_applied: bool


class Page(NamedTuple):
    """Some lanes, ordered by key. The next page begins `after` this key; None: there are no more."""

    lanes: Sequence[LaneView]
    after: str | None


class Lanes:
    """Lanes for users. Every method raises `LedgerUnavailable`; none waits long for Redis.

    A change is recorded, then passed on to Redis. If Redis does not answer, the worker that leads the sweep does it.
    """

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self.outlook = Outlook(ledger)
        self.waiting_for = WaitingFor(ledger, queue, self.outlook)
        self._stock_worker = SharedReads(self._read_stock_worker, fresh_for_s=1.0)
        self._ledger = ledger
        self._queue = queue

    async def refuse_beside_stock_worker(self) -> None:
        """Raise `StockWorkerRuns` while arq's own worker class is at work, as of a second ago at most."""
        if (await self._stock_worker.of([""]))[""]:
            raise StockWorkerRuns(
                "A worker runs with POSTLUDE_STOCK_WORKER=1: it is arq's own, which knows neither lanes nor pauses."
                " Stop it, or start it without that setting."
            )

    async def find(self, key: str) -> LaneView:
        """Return a lane or a pattern. Raises `LaneNotFound` if nothing is known about it."""
        async with self._ledger.read() as connection:
            is_known = await reads.is_known(connection, key)
        if not is_known:
            raise LaneNotFound(
                f"There is no rule for the pattern {key!r}. It may have been deleted."
                if is_pattern(key)
                else f"There is no lane {key!r}: no rule names it, and no kept job was in it."
            )
        return await self.view(key)

    async def view(self, key: str) -> LaneView:
        """Return a lane as it is, even if nothing is known about it."""
        return (await self._views([key]))[0]

    async def page(self, prefix: str, after: str, limit: int) -> Page:
        """Return the lanes and patterns whose keys begin with `prefix`, ordered by key."""
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
            keys = await reads.lane_keys(connection, now, prefix=prefix, after=after, limit=limit + 1)
        return Page(await self._views(keys[:limit]), keys[limit - 1] if len(keys) > limit else None)

    async def say(self, key: str, said: Said) -> Change:
        """Record limits or a forced breaker. Raises `StockWorkerRuns`."""
        return await self._change(key, said)

    async def pause(self, key: str, span: timedelta | None) -> Change:
        """Pause a lane, a pattern, `kind:<name>` or `queue:<name>` for a while, or until it is resumed."""
        return await self._change(key, Said(paused=True), span)

    async def resume(self, key: str) -> Change:
        """End a pause. Raises `PausedByPattern` if a pattern pauses the lane, too."""
        change = await self._change(key, Said(paused=False, paused_until=None))
        pause = change.lane.pause
        if pause is not None:
            raise PausedByPattern(f"{key!r} is still paused by the pattern {pause.key!r}. Resume that one.")
        return change

    async def close_breaker(self, key: str) -> Change:
        """Close a breaker before its time. It decides by itself again: the next failures may open it.

        Redis closes a breaker only when a user forces it. A process that dies in between leaves it forced, which is
        shown.
        """
        await self._ledger.database.run(partial(_record_closed, key=key))
        await self._heard(key)
        return await self._change(key, Said(breaker_forced=None))

    async def delete(self, key: str) -> None:
        """Forget everything set for a lane or pattern. Raises `LaneNotFound` if there is nothing."""
        if not await self._ledger.database.run(partial(record_rule_deleted, key=key)):
            raise LaneNotFound(f"Nothing was set for {key!r}: there is nothing to delete.")
        await self._heard(key)

    async def _change(self, key: str, said: Said, span: timedelta | None = None) -> Change:
        if any(said.values()):  # lifting a limit needs no check
            await self.refuse_beside_stock_worker()
        async with self._ledger.read() as connection:
            is_new = await reads.find_rule(connection, key) is None
        await self._ledger.database.run(partial(_record, key=key, said=said, span=span))
        is_applied = await self._heard(key)
        return Change((await self._views([key], ask_redis=is_applied))[0], is_new, is_applied)

    async def _heard(self, key: str) -> bool:
        """Tell Redis what applies from now on; return False if it does not answer."""
        self.outlook.forget()
        try:
            return await self._told(key)
        finally:
            self.waiting_for.forget()

    async def _told(self, key: str) -> bool:
        async with self._ledger.read() as connection:
            version = await reads.rules_version(connection)  # first, so that the leader sees changes made meanwhile
            rules = await reads.rules(connection)
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                await self._queue.lanes.apply(rules, version)
        except UNREACHABLE as error:
            reason = str(error) or type(error).__name__
            log.warning("lanes_not_applied", lane=key, error=reason, remedy="the sweep will tell Redis")
            return False
        return True

    async def views(self, keys: Sequence[str]) -> list[LaneView]:
        """Return lanes and patterns as they are, even if nothing is known about them."""
        return await self._views(keys)

    async def _views(self, keys: Sequence[str], *, ask_redis: bool = True) -> list[LaneView]:
        if not keys:
            return []
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
            rules = await reads.rules_for(connection, keys)
            counts = await reads.count_in_lanes(connection, [key for key in keys if not is_pattern(key)])
        states = await self._states(keys) if ask_redis else {}
        # Each lane only with the rules that may apply to it: hundreds of lanes may have one each.
        own = {rule.key: [rule] for rule in rules}
        patterns = [rule for rule in rules if is_pattern(rule.key)]
        return [view_of(key, own.get(key, []) + patterns, counts.get(key), states.get(key), now) for key in keys]

    async def _states(self, keys: Sequence[str]) -> Mapping[str, LaneState]:
        """Ask Redis; return nothing if it does not answer."""
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                return await self._queue.lanes.states([key for key in keys if not is_pattern(key)])
        except UNREACHABLE:
            return {}

    async def _read_stock_worker(self, names: Sequence[str]) -> Mapping[str, bool]:
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                return dict.fromkeys(names, await self._queue.stock_worker_runs())
        except UNREACHABLE:
            return dict.fromkeys(names, False)


def _record(connection: Connection, *, key: str, said: Said, span: timedelta | None) -> None:
    at = now_by(connection)
    until: Said = {"paused_until": None if span is None else at + span} if said.get("paused") else {}
    record_rule(connection, key, {**said, **until}, at)


def _record_closed(connection: Connection, *, key: str) -> None:
    at = now_by(connection)
    record_rule(connection, key, {"breaker_forced": "closed"}, at)
    record_breakers(connection, [Breaker(key, "closed")], at)
