"""Replaying all jobs that match a filter, in batches that hold the database for a moment each."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from service import agreed_time
from service.lane_rules import in_order
from service.ledger.ledger import Ledger
from service.ledger.reads import listing
from service.ledger.reads.listing import Filter, ToReplay
from service.ledger.records.replayed import Replayed
from service.ledger.states import REPLAYABLE
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.runnable import Runnable
from service.queue import Entry

_BATCH = 500
ReasonsAgainst = Callable[[Sequence[ToReplay]], Awaitable[dict[str, str]]]


class Reached(NamedTuple):
    """How far a bulk replay has come: the last job that it looked at, among the jobs of a state."""

    state: str
    listed_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that matched, with what became of each, in the same order; `reached` is the last of them."""

    jobs: Sequence[ToReplay]
    became: Sequence[str]
    reached: Reached

    @property
    def replayed(self) -> list[ToReplay]:
        return [job for job, became in zip(self.jobs, self.became, strict=True) if became == Replayed.YES]

    @property
    def skipped(self) -> Counter[str]:
        return Counter(became for became in self.became if became != Replayed.YES)


@dataclass(slots=True)
class BulkReplay:
    """The result of a bulk replay. `left_at` is where its time was up, with jobs still to look at."""

    matched: int = 0
    replayed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left_at: Reached | None = None

    def add(self, batch: Batch) -> None:
        self.matched += len(batch.jobs)
        self.replayed += len(batch.replayed)
        self.skipped += batch.skipped


async def replay_matching(
    ledger: Ledger,
    dispatcher: Dispatcher,
    runnable: Runnable,
    wanted: Filter,
    *,
    dry_run: bool,
    within_s: float,
    beyond: Reached | None = None,
) -> BulkReplay:
    """Replay what matches, batch by batch, until `within_s` is over; see `replay_batches`."""
    deadline, now, done = time.monotonic() + within_s, agreed_time.now(), BulkReplay()
    reasons_against = runnable.reasons_against
    async for batch in replay_batches(
        ledger, wanted, now, dry_run=dry_run, reasons_against=reasons_against, beyond=beyond
    ):
        done.add(batch)
        if batch.replayed and not dry_run:
            await dispatcher.put_anew([_entry(job, now) for job in batch.replayed])
        if time.monotonic() > deadline:
            done.left_at = batch.reached
            break
    return done


async def replay_batches(
    ledger: Ledger,
    wanted: Filter,
    at: datetime,
    *,
    dry_run: bool,
    reasons_against: ReasonsAgainst,
    beyond: Reached | None = None,
) -> AsyncGenerator[Batch]:
    """Replay what matches, the newest first, each job once; a `dry_run` only says what would become of each.

    Each batch is committed before it is yielded. Of the jobs that share a unique key, the newest that can run is
    replayed. Jobs for which `reasons_against` returns a reason, by their id, stay as they are: without `beyond`, each
    call would meet them again.
    """
    keys: set[str] = set()
    for page in _pages(wanted, beyond):
        while True:
            async with ledger.read() as connection:
                jobs = await listing.to_replay(connection, page, _BATCH)
            if jobs:
                reasons = await reasons_against(jobs)
                runnable = [job for job in jobs if job.id not in reasons]
                became = reasons | await _replay(ledger, runnable, keys, at, dry_run=dry_run)
                reached = Reached(page.states[0], jobs[-1].listed_at, jobs[-1].id)
                yield Batch(jobs, [became[job.id] for job in jobs], reached)
                page = replace(page, after=reached[1:])
            if len(jobs) < _BATCH:
                break


def _entry(job: ToReplay, now: datetime) -> Entry:
    lanes = in_order(job.lane, job.kind_lane)
    return Entry(job.id, job.kind, job.queue, now, job.priority, lanes, job.lane_limits)


def _pages(wanted: Filter, beyond: Reached | None) -> list[Filter]:
    """Return, for each state that is not done with, the filter of its next page."""
    pages = [replace(wanted, states=(state,)) for state in wanted.states or REPLAYABLE]
    if beyond is None:
        return pages
    first = next((at for at, page in enumerate(pages) if page.states[0] == beyond.state), len(pages))
    return [replace(page, after=beyond[1:]) if at == first else page for at, page in enumerate(pages)][first:]


async def _replay(
    ledger: Ledger, jobs: Sequence[ToReplay], keys: set[str], at: datetime, *, dry_run: bool
) -> dict[str, str]:
    free = [job for job in jobs if not job.taken and _takes(job, keys)]
    # Written at the same moment, they are one statement; a key that somebody takes just now fails its own job alone.
    if dry_run:
        results = [Replayed.YES] * len(free)
    else:
        results = await asyncio.gather(*(ledger.try_replay(job.id, at) for job in free))
    became: dict[str, str] = dict.fromkeys((job.id for job in jobs), Replayed.UNIQUE_KEY_TAKEN.value)
    return became | {job.id: result.value for job, result in zip(free, results, strict=True)}


def _takes(job: ToReplay, keys: set[str]) -> bool:
    if job.unique_key is None:
        return True
    first = job.unique_key not in keys
    keys.add(job.unique_key)
    return first
