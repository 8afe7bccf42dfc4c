"""How many jobs this process has started in each lane: counted in memory, written to the ledger now and then.

Each write has everything counted in five minutes, so it may be repeated. Only a process that is killed loses counts, of
some seconds.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from service import agreed_time
from service.ledger.ledger import Ledger
from service.ledger.records.durations import TOLD_WITHIN, bucket_of
from service.ledger.records.lane_figures import Starts, record_lane_starts

_MOST_LANES = 5_000


@dataclass(slots=True)
class _Bucket:
    """The counts of five minutes; `told` is what the ledger has of them."""

    at: datetime
    counts: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)


class LaneStarts:
    def __init__(self, ledger: Ledger, writer: str) -> None:
        self._ledger = ledger
        self._writer = writer
        self._buckets = [_Bucket(bucket_of(agreed_time.now()))]
        self._current = self._buckets[0].counts

    def note(self, lanes: Iterable[str]) -> None:
        """Count a start in the lanes of its job."""
        for lane in lanes:
            if lane in self._current or len(self._current) < _MOST_LANES:
                self._current[lane] += 1

    async def tell(self) -> None:
        """Record what has been counted since the last time."""
        now = agreed_time.now()
        if (at := bucket_of(now)) != self._buckets[-1].at:
            self._buckets.append(_Bucket(at))
            self._current = self._buckets[-1].counts
        self._buckets = [one for one in self._buckets if now - one.at < TOLD_WITHIN]
        for bucket in list(self._buckets):
            new = {lane: count for lane, count in bucket.counts.items() if count != bucket.told[lane]}
            if new:
                rows = [Starts(lane, bucket.at, self._writer, count) for lane, count in new.items()]
                await self._ledger.database.run(partial(record_lane_starts, rows=rows))
                bucket.told.update(Counter(new) - bucket.told)
            if bucket is not self._buckets[-1]:
                self._buckets.remove(bucket)
