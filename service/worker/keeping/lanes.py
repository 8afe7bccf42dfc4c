"""The leader's work on lanes: rebuilds them for each life of Redis, mends drift, and applies the rules in SQL."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog
import uuid_utils

from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.reads import lanes as queries
from service.ledger.records.lanes import record_forgotten, record_rebuild, running_behind_fence
from service.queue import Holder, Queue, Runs
from service.queue.codec import milliseconds

log = structlog.get_logger(__name__)

# The start of a claim comes within 5 s, and a statement ends within 10 s. A worker that froze in between has been
# declared dead by then, and starts nothing.
LOST_AFTER_S = 30.0
# They must also have been seen for this long by our clock: Redis' clock may have been set forward since the claim.
SEEN_FOR_S = 5.0
_LOOK_FOR_DRIFT_EVERY_S = 5.0
# A look at a million lanes takes seconds, during which the leader does nothing else.
_MOST_OF_THE_TIME = 0.05
# Meanwhile, lanes are closed and the leader does nothing else.
_LOOK_FOR_ORDERS_S = 2.0
# How many lanes with a kept order are handled in one look: the others follow in the next look, seconds later.
_PAGES_AT_A_LOOK = 10
# Redis rounds, and its clock runs on meanwhile.
_LATE_BY_MS = 2_000
# Lanes that remember an order or failures expire after ten minutes.
_TIDY_EVERY_S = 60.0
# Redis remembers a breaker of a lane in which nothing happens for 20 minutes beyond its time.
_FORGET_AFTER = timedelta(hours=1)
_BATCH = 500


class LaneKeeping:
    """Keeps Redis' lanes true to the ledger. Every step is safe to repeat, even by two leaders at once."""

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self._ledger = ledger
        self._queue = queue
        self._applied: str | None = None
        self._look_at = self._tidy_at = 0.0
        self._seen: dict[Holder, float] = {}

    async def keep(self, epoch: str) -> None:
        """Do what there is to do."""
        async with self._ledger.read() as connection:
            recorded, version = await queries.recorded_epoch(connection), await queries.rules_version(connection)
        if not await self._are_open(epoch, recorded):
            await self.build()
            return
        # Redis was away when the rules changed, or was told older ones afterwards, or this leader is new.
        if version != self._applied or version != await self._queue.lanes.rules_version():
            await self._apply_rules(version)
        if time.monotonic() >= self._look_at:
            await self._mend_drift()
            await self._keep_orders()
        if time.monotonic() >= self._tidy_at:
            began = time.monotonic()
            await self._forget()
            await self._queue.lanes.stop_expiry()
            self._tidy_at = _next_at(began, _TIDY_EVERY_S)

    async def _forget(self) -> None:
        async with self._ledger.read() as connection:
            before = await self._ledger.database.now(connection) - _FORGET_AFTER
            if not await queries.has_forgettable(connection, before):
                return
        await self._ledger.database.run(partial(record_forgotten, before=before))

    async def build(self) -> bool:
        """Rebuild lanes from the ledger if they are closed; return whether they were.

        From the moment it is read, the ledger refuses the starts of all earlier claims: each rebuild has an epoch of
        its own, so only one of two simultaneous rebuilds can prevail.
        """
        epoch = await self._queue.epoch()
        async with self._ledger.read() as connection:
            recorded = await queries.recorded_epoch(connection)
        if await self._are_open(epoch, recorded):
            return False
        in_order = await self._bring_order()
        new = f"{epoch}/{uuid_utils.uuid7().hex}"
        rebuild = await self._ledger.database.run(partial(record_rebuild, epoch=new))
        running = map(_runs, rebuild.running)
        await self._queue.lanes.rebuild(new, rebuild.rules, running, in_order=in_order, first=recorded is None)
        log.info("lanes_rebuilt", running=len(rebuild.running), rules=len(rebuild.rules))
        return True

    async def _bring_order(self) -> list[Runs]:
        """Return jobs that bring a strict order to their lanes, as far as time allows: others bring it when put."""
        began, found, after = time.monotonic(), list[Runs](), ""
        while time.monotonic() < began + _LOOK_FOR_ORDERS_S:
            try:
                async with self._ledger.read() as connection:
                    some, last = await queries.bring_order(connection, after=after)
            except LedgerUnavailable as error:  # too slow even for one page: lanes must open all the same
                log.warning("orders_not_looked_for", reason=error.detail)
                break
            found += map(_runs, some)
            if last is None:
                break
            after = last
        return found

    async def _are_open(self, epoch: str, recorded: str | None) -> bool:
        """Whether lanes are built for this life of Redis, and the ledger accepts starts of their claims."""
        built = await self._queue.lanes.built_epoch()
        return built is not None and built == recorded and built.startswith(f"{epoch}/")

    async def _apply_rules(self, version: str) -> None:
        """Apply the rules; again if they changed meanwhile, because the changer may have told Redis first."""
        self._applied = None
        while version != self._applied:
            async with self._ledger.read() as connection:
                rules = await queries.rules(connection)
            await self._queue.lanes.apply(rules, version)
            self._applied = version
            async with self._ledger.read() as connection:
                version = await queries.rules_version(connection)

    async def _mend_drift(self) -> None:
        began = time.monotonic()
        async with self._ledger.read() as connection:
            running = await queries.running_in_lanes(connection)
        seconds, _ = await self._queue.redis.time()
        holders = [one async for one in self._queue.lanes.running()]
        await self._hold_again(running, holders)
        await self._release_lost([one for one in holders if one.claim_ms < (seconds - LOST_AFTER_S) * 1000], began)
        await self._turn_to_heads(seconds * 1000)
        self._look_at = _next_at(began, _LOOK_FOR_DRIFT_EVERY_S)

    async def _turn_to_heads(self, now_ms: int) -> None:
        """Turn strict lanes to their first jobs if they wait for other jobs, or for too long.

        Two lanes may each wait for a job that waits in the other one: without this, neither would ever offer anything.
        """
        async for heads in self._queue.lanes.heads():
            if not heads:
                continue
            async with self._ledger.read() as connection:
                firsts = await queries.heads_of(connection, list(heads))
            for lane, (head, due_ms) in heads.items():
                first = firsts.get(lane)
                if first is not None and (first.member != head or _is_late(due_ms, first, now_ms)):
                    await self._queue.lanes.set_head(lane, first.member, first.run_at, in_place_of=head)

    async def _keep_orders(self) -> None:
        """Have empty lanes remember the strict order that a job brought for as long as a live job is in the lane."""
        for _ in range(_PAGES_AT_A_LOOK):
            at_ms, lanes = await self._queue.lanes.remembered_orders()
            if not lanes:
                return
            async with self._ledger.read() as connection:
                live = await queries.first_in_lanes(connection, lanes)
            over = [lane for lane in lanes if lane not in live]
            await self._queue.lanes.keep_orders([*live], over, at_ms)
            if len(lanes) < _BATCH:
                return

    async def _hold_again(self, running: Sequence[queries.InLanes], holders: Sequence[Holder]) -> None:
        """Put back jobs that run according to the ledger but that Redis has evicted from their lanes.

        A job that is ending right now may be put back for nothing; it is released as lost a few seconds later.
        """
        held = {(one.lane, one.id) for one in holders}
        gone = [one for one in running if any((lane, one.member) not in held for lane in one.lanes)]
        if not gone:
            return
        still: set[str] = set()
        async with self._ledger.read() as connection:
            for start in range(0, len(gone), _BATCH):
                some = {one.member for one in gone[start : start + _BATCH]}
                still |= await queries.running_among(connection, some)
        gone = [one for one in gone if one.member in still]
        if gone:
            await self._queue.lanes.hold(map(_runs, gone))
            remedy = "set Redis' maxmemory-policy to noeviction, unless somebody removed them by hand"
            log.warning("evicted_from_lanes_put_back", jobs=len(gone), remedy=remedy)

    async def _release_lost(self, holders: Sequence[Holder], at: float) -> None:
        """Release jobs that run in lanes but not according to the ledger: a worker died before a start or a release."""
        self._seen = {one: self._seen.get(one, at) for one in holders}
        old = [one for one, since in self._seen.items() if since <= at - SEEN_FOR_S]
        lost: list[Holder] = []
        for first in range(0, len(old), _BATCH):
            lost += await self._lost_of(old[first : first + _BATCH])
        for one in lost:
            await self._queue.lanes.release_if(one.lane, one.id, one.claim_ms)
        if lost:
            log.warning("lanes_mended", claims=len(lost), reason="they were neither started nor released")

    async def _lost_of(self, holders: Sequence[Holder]) -> list[Holder]:
        """Return the holders whose jobs do not run, after waiting for starts that are under way."""
        async with self._ledger.read() as connection:
            running = await queries.running_among(connection, {one.id for one in holders})
        lost = [one for one in holders if one.id not in running]
        if lost:
            members = {one.id for one in lost}
            running = await self._ledger.database.run(partial(running_behind_fence, members=members))
        return [one for one in lost if one.id not in running]


def _next_at(began: float, every_s: float) -> float:
    """Return when to look again after a look that began then and has just ended."""
    now = time.monotonic()
    return now + max(every_s, (now - began) / _MOST_OF_THE_TIME)


def _runs(one: queries.InLanes) -> Runs:
    return Runs(one.member, one.lanes, one.queue, one.lane_limits)


def _is_late(due_ms: float, first: queries.InLanes, now_ms: int) -> bool:
    return due_ms > max(milliseconds(first.run_at), now_ms) + _LATE_BY_MS
