"""The leader keeps the figures: it counts events by the minute, records levels, and merges old rows."""

import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Table

from service.figure_tables import durations, event_counts, failure_counts, levels
from service.insight.levels import level_values
from service.ledger.ledger import Ledger
from service.ledger.reads.audit import count_unaccounted
from service.ledger.reads.counts import tally_totals
from service.ledger.reads.figures import counted_kinds, oldest_unmerged, quantiles
from service.ledger.reads.levels import standing
from service.ledger.records import merged
from service.ledger.records.durations import ALL_KINDS, EPOCH, MERGED_AFTER
from service.ledger.records.failed import minute_of
from service.ledger.records.lane_figures import STARTS_KEPT, record_lane_starts_purged
from service.ledger.records.series import record_levels, record_totals

NOTED_EVERY = timedelta(seconds=10)
_QUARTER, _HOUR, _DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
_PICK_UP_OF = timedelta(minutes=10)
_MOST_KINDS = 500
_OTHER = "other"
_MERGES_AT_ONCE = 50
# Counting 100,000 waiting jobs takes 0.2 s; the next count comes after this many times as long. Levels older than a
# minute would be ignored.
_RESTS, _RESTS_AT_MOST_S = 100, 30.0


class Figures:
    """Everything it does is right even if a second leader does it, too, at the same time or later."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kinds: set[str] | None = None
        self._noted: dict[tuple[str, str], int] = {}
        self._counts_again_s = 0.0

    async def note_totals(self) -> None:
        """Write totals that have changed since the last time into the row of this minute.

        They shrink if somebody removes a demo.
        """
        async with self._ledger.read() as connection:
            if self._kinds is None:
                self._kinds = set(await counted_kinds(connection))
            minute = minute_of(await self._ledger.database.now(connection))  # first, so that totals are no older
            totals = self._summed(await tally_totals(connection))
        changed = {one: total for one, total in totals.items() if total != self._noted.get(one, 0)}
        if changed:
            await self._ledger.database.run(partial(record_totals, totals=changed, minute=minute))
            self._noted |= changed

    def _summed(self, tallied: Any) -> dict[tuple[str, str], int]:
        """Add up the totals of all kinds, and of the kinds beyond the first 500, which are counted together."""
        assert self._kinds is not None
        totals: dict[tuple[str, str], int] = {}
        for kind, event, count in tallied:
            if kind not in self._kinds and len(self._kinds) < _MOST_KINDS:
                self._kinds.add(kind)
            name = kind if kind in self._kinds else _OTHER
            for one in ((name, event), (ALL_KINDS, event)):
                totals[one] = totals.get(one, 0) + count
        return totals

    async def note_levels(self) -> None:
        """Record levels, unless counting waiting jobs would take more than a hundredth of the time."""
        began_s = time.monotonic()
        if began_s < self._counts_again_s:
            return
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
            stands = await standing(connection, now)
            rests_s = min(_RESTS * (time.monotonic() - began_s), _RESTS_AT_MOST_S)
            self._counts_again_s = began_s + rests_s
            unaccounted = await count_unaccounted(connection, now)
            waits = (await quantiles(connection, None, since=now - _PICK_UP_OF))[ALL_KINDS, "wait"]
        values = level_values(stands, now, unaccounted=unaccounted, waits=waits)
        at = now - (now - EPOCH) % NOTED_EVERY
        await self._ledger.database.run(partial(record_levels, values=values, at=at))


class _Merging(NamedTuple):
    """A way to make rows coarser: rows older than `after` are merged into spans of `step`."""

    table: Table
    merge: merged.Merge
    after: timedelta
    step: timedelta


# `GET /v1/stats/series` shows these by the calendar of any time zone, so they get no coarser than a quarter.
_MERGINGS = (
    _Merging(event_counts, merged.merge_events, 2 * _DAY, _QUARTER),
    _Merging(failure_counts, merged.merge_failures, 2 * _DAY, _HOUR),
    _Merging(durations, merged.merge_durations, MERGED_AFTER, _QUARTER),
    _Merging(levels, merged.merge_levels, 6 * _HOUR, timedelta(minutes=1)),
    _Merging(levels, merged.merge_levels, 2 * _DAY, timedelta(minutes=10)),
)


class MergingOfFigures:
    """Merges old rows, span after span; a new leader looks through all spans once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reached = [EPOCH for _ in _MERGINGS]

    async def merge(self) -> bool:
        """Merge for a while; return whether there is more to do."""
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
        left = [await self._merge(place, now) for place in range(len(_MERGINGS))]
        left.append(await self._ledger.database.run(partial(merged.record_groups_merged, before=now - _DAY)) > 0)
        left.append(
            await self._ledger.database.run(partial(merged.record_figures_purged, before=now - merged.FIGURES_KEPT)) > 0
        )
        starts_before = now - STARTS_KEPT
        left.append(await self._ledger.database.run(partial(record_lane_starts_purged, before=starts_before)) > 0)
        return any(left)

    async def _merge(self, place: int, now: datetime) -> bool:
        one = _MERGINGS[place]
        before = now - one.after
        before -= (before - EPOCH) % one.step
        for _ in range(_MERGES_AT_ONCE):
            async with self._ledger.read() as connection:
                found = await oldest_unmerged(
                    connection, one.table, one.step, after=self._reached[place], before=before
                )
            if found is None:
                return False
            start = found - (found - EPOCH) % one.step
            await self._ledger.database.run(partial(one.merge, start=start, end=start + one.step))
            self._reached[place] = start + one.step - timedelta(microseconds=1)
        return True
