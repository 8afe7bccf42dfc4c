"""A purged job takes its note along; buckets and ids go by ages of their own; the totals stay."""

from datetime import timedelta

from sqlalchemy import func, insert, select

from jobs.stats.counters import Count
from service import agreed_time
from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.settings import Settings
from service.stats.capability import LedgerCounters
from service.stats.purge import purge_stats
from service.stats.tables import counted_ids, counted_jobs, counters, metadata, minute_counts
from tests.service.ledger.makers import enqueue, new_job

DAY = timedelta(days=1)


async def rows(ledger: Ledger) -> dict[str, int]:
    async with ledger.read() as connection:
        counting = {name: select(func.count()).select_from(table) for name, table in metadata.tables.items()}
        return {name: (await connection.execute(one)).scalar_one() for name, one in counting.items()}


async def test_notes_go_with_their_jobs_and_no_others_and_counters_stay(ledger: Ledger) -> None:
    now = agreed_time.now()
    added = [new_job(state=State.SUCCEEDED, finished_at=now - days * DAY) for days in (31, 29)]
    await enqueue(ledger, *added)
    for job in added:
        await LedgerCounters(ledger).count_once(job.id, [Count("s", "e", 2, now)])
    await ledger.purge(timedelta(days=30), dry_run=False)
    async with ledger.read() as connection:
        assert (await connection.execute(select(counted_jobs.c.job_id))).scalars().all() == [added[1].id]
        assert (await connection.execute(select(counters.c["count"]))).scalar_one() == 4


async def test_buckets_and_ids_go_by_their_ages_and_a_dry_run_only_counts(ledger: Ledger) -> None:
    now = agreed_time.now()
    ages = [timedelta(0), 10 * DAY, 400 * DAY]
    counts = [Count("s", event, 1, now - age, id=f"{age}", unique="u") for age in ages for event in ("a", "b")]
    await LedgerCounters(ledger).count_once("j", counts)
    old = {"subject": "s", "bucket_at": now - 3 * DAY, "count": 1}
    stale = {"subject": "s", "event": "e", "id": "i", "counted_at": now - 31 * DAY}
    await ledger.database.run(lambda connection: connection.execute(insert(minute_counts), [{**old, "event": "a"}]))
    await ledger.database.run(lambda connection: connection.execute(insert(counted_ids), [stale]))
    before = await rows(ledger)

    async def purged(settings: Settings, *, dry_run: bool = False) -> dict[str, int]:
        return await purge_stats(settings, ledger, 30 * DAY, dry_run=dry_run)

    gone = {"minute_counts": 1, "quarter_counts": 2, "quarter_sketches": 2, "counted_ids": 1}
    assert await purged(Settings(stats_days=365), dry_run=True) == gone
    assert await rows(ledger) == before
    assert await purged(Settings()) == {"minute_counts": 1, "counted_ids": 1}  # quarters for ever
    assert await purged(Settings(stats_days=365)) == gone | {"minute_counts": 0, "counted_ids": 0}
    assert await rows(ledger) == {name: count - gone.get(name, 0) for name, count in before.items()}
