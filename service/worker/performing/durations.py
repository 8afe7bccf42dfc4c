"""How long attempts waited and ran: histograms in memory, written to the ledger now and then.

Each write has everything that this process has counted in five minutes, so it may be repeated. Only a process that is
killed loses counts, of some seconds.
"""

from bisect import bisect_left
from datetime import datetime
from functools import partial
from typing import Any

from jobs import Kind
from service import agreed_time
from service.histogram import BOUNDS, SIZE, added
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Started
from service.ledger.records.durations import ALL_KINDS, TOLD_WITHIN, Histogram, bucket_of, record_durations
from service.ledger.states import SUCCESS

_MOST_KINDS = 500
_OTHER = "other"


class _OfKind:
    """The histograms of a kind, and the sums of its durations; `told` is how many of its runs the ledger has."""

    __slots__ = ("run", "run_s", "told", "total", "total_s", "wait", "wait_s")

    def __init__(self) -> None:
        self.wait, self.run, self.total = [0] * SIZE, [0] * SIZE, [0] * SIZE
        self.wait_s = self.run_s = self.total_s = 0.0
        self.told = 0

    def measured(self, measure: str) -> tuple[list[int], float]:
        return list(getattr(self, measure)), getattr(self, f"{measure}_s")


class _Bucket:
    def __init__(self, at: datetime) -> None:
        self.at = at
        self.kinds: dict[str, _OfKind] = {}


class Durations:
    """Counts the durations of one process."""

    def __init__(self, ledger: Ledger, writer: str) -> None:
        self._ledger = ledger
        self._writer = writer
        self._buckets = [_Bucket(bucket_of(agreed_time.now()))]
        self._current = self._buckets[0].kinds

    def note(self, started: Started, finish: Finish, ran_s: float) -> None:
        """Count an ended attempt. Written out without helpers, because it runs for each attempt."""
        of_kind = self._current.get(finish.kind) or self._new_kind(finish.kind)
        due_s = (finish.at - (started.run_at or started.started_at)).total_seconds()
        of_kind.run[bisect_left(BOUNDS, ran_s)] += 1
        of_kind.run_s += ran_s
        if (wait_s := due_s - ran_s) < 0.0:
            wait_s = 0.0
        of_kind.wait[bisect_left(BOUNDS, wait_s)] += 1
        of_kind.wait_s += wait_s
        if finish.outcome is SUCCESS:
            if started.due_since is not None:
                due_s = (finish.at - started.due_since).total_seconds()
            of_kind.total[bisect_left(BOUNDS, due_s)] += 1
            of_kind.total_s += due_s

    async def tell(self) -> None:
        """Record what has been counted since the last time."""
        now = agreed_time.now()
        if (at := bucket_of(now)) != self._buckets[-1].at:
            self._buckets.append(_Bucket(at))
            self._current = self._buckets[-1].kinds
        self._buckets = [one for one in self._buckets if now - one.at < TOLD_WITHIN]
        for bucket in list(self._buckets):
            counts = {kind: sum(counted.run) for kind, counted in bucket.kinds.items()}
            changed = [kind for kind, counted in bucket.kinds.items() if counted.told != counts[kind]]
            if changed:
                rows = self._rows(bucket, changed)
                await self._ledger.database.run(partial(record_durations, rows=rows))
                for kind in changed:
                    bucket.kinds[kind].told = counts[kind]
            if bucket is not self._buckets[-1]:
                self._buckets.remove(bucket)

    def _new_kind(self, kind: str) -> _OfKind:
        name = kind if len(self._current) < _MOST_KINDS else _OTHER
        return self._current.setdefault(name, _OfKind())

    def _rows(self, bucket: _Bucket, changed: list[str]) -> list[Histogram]:
        rows = []
        for measure in ("wait", "run", "total"):
            of_all, of_all_s = [0] * SIZE, 0.0
            for kind, counted in bucket.kinds.items():
                counts, sum_s = counted.measured(measure)
                of_all, of_all_s = added(of_all, counts), of_all_s + sum_s
                if kind in changed:
                    rows.append(Histogram(bucket.at, kind, measure, self._writer, counts, sum_s))
            rows.append(Histogram(bucket.at, ALL_KINDS, measure, self._writer, of_all, of_all_s))
        return rows


def is_late(started: Started, finish: Finish, kind: Kind[Any, Any]) -> bool:
    """Whether a success came later than the kind's SLO allows."""
    due_at = started.due_since or started.run_at or started.started_at
    return kind.slo is not None and finish.outcome is SUCCESS and finish.at - due_at > kind.slo.within
