"""Replays all jobs that match a filter, in batches that hold the database for a moment each."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from service.ledger.ledger import Ledger
from service.ledger.reads import listing
from service.ledger.reads.listing import Filter, ToReplay
from service.ledger.records.replayed import Replayed
from service.ledger.states import REPLAYABLE

_BATCH = 500
Unrunnable = Callable[[Sequence[ToReplay]], Awaitable[dict[str, str]]]


async def _all_run(_jobs: Sequence[ToReplay]) -> dict[str, str]:
    return {}


class Place(NamedTuple):
    """Where a replay of many jobs has come to: the last job of a state that it looked at."""

    state: str
    listed_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that matched, with what became of each, in the same order; `place` is the last job's."""

    jobs: Sequence[ToReplay]
    became: Sequence[str]
    place: Place

    @property
    def replayed(self) -> list[ToReplay]:
        return [job for job, became in zip(self.jobs, self.became, strict=True) if became == Replayed.YES]

    @property
    def skipped(self) -> Counter[str]:
        return Counter(became for became in self.became if became != Replayed.YES)


async def replay_batches(
    ledger: Ledger,
    wanted: Filter,
    at: datetime,
    *,
    dry_run: bool,
    unrunnable: Unrunnable = _all_run,
    beyond: Place | None = None,
) -> AsyncGenerator[Batch]:
    """Replay what matches, the newest first, each job once; with `dry_run` only say what would become of it.

    Go on `beyond` a place: each new beginning would meet again the jobs that are left as they are.

    Each batch is committed before it is yielded. Of several jobs with one unique key, the newest that can run is
    replayed. `unrunnable` returns, by id, why jobs could not run; these are left as they are.
    """
    keys: set[str] = set()
    for page in _pages(wanted, beyond):
        while True:
            async with ledger.read() as connection:
                jobs = await listing.to_replay(connection, page, _BATCH)
            if jobs:
                reasons = await unrunnable(jobs)
                runnable = [job for job in jobs if job.id not in reasons]
                became = reasons | await _replay(ledger, runnable, keys, at, dry_run=dry_run)
                place = Place(page.states[0], jobs[-1].listed_at, jobs[-1].id)
                yield Batch(jobs, [became[job.id] for job in jobs], place)
                page = replace(page, after=place[1:])
            if len(jobs) < _BATCH:
                break


def _pages(wanted: Filter, beyond: Place | None) -> list[Filter]:
    """Return, for each state that is not done yet, the filter of the jobs still to be looked at."""
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
