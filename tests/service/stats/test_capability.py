"""Each job counts once, however often it runs and whatever ends an attempt."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text, update

from jobs import Context
from jobs.stats.counters import Count, CounterFull, Counters
from jobs.stats.kind import UpdateStatsArgs, UpdateStatsResult, update_stats
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.stats.capability import LedgerCounters
from service.stats.reads import read_counters
from service.stats.tables import counted_jobs, counters
from tests.support.fakes import fake_context
from tests.support.writing import writing

CREATED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def context(ledger: Ledger, job_id: str) -> Context:
    counters = {Counters: LedgerCounters(ledger)}
    return fake_context(capabilities=counters, job_id=job_id, created_at=CREATED_AT)


async def count(ledger: Ledger, job_id: str, subject: str = "ann", event: str = "login", **fields: int) -> bool:
    """Run one attempt; returns whether it counted."""
    ctx = context(ledger, job_id)
    result = await update_stats(ctx, UpdateStatsArgs.model_validate({"subject": subject, "event": event, **fields}))
    return result.counted


async def total(ledger: Ledger, subject: str = "ann", event: str = "login") -> int | None:
    async with ledger.read() as connection:
        rows = await read_counters(connection, subject=subject, event=event)
    return rows[0].count if rows else None


async def noted(ledger: Ledger) -> int:
    async with ledger.read() as connection:
        return (await connection.execute(select(func.count()).select_from(counted_jobs))).scalar_one()


async def test_a_new_counter_begins_with_the_first_count(ledger: Ledger) -> None:
    assert await count(ledger, "j1", count=3)
    assert await total(ledger) == 3


async def test_twenty_jobs_at_once_on_one_counter_are_exact(ledger: Ledger) -> None:
    assert all(await asyncio.gather(*(count(ledger, f"j{n}", count=n) for n in range(20))))
    assert await total(ledger) == sum(range(20))


async def test_attempts_of_one_job_count_once_however_many_run_and_when(ledger: Ledger) -> None:
    at_once = await asyncio.gather(*(count(ledger, "j1", count=7) for _ in range(20)))
    assert sum(at_once) == 1
    assert not await count(ledger, "j1", count=7)
    assert await total(ledger) == 7


async def test_counts_may_be_negative(ledger: Ledger) -> None:
    await count(ledger, "j1", count=5)
    await count(ledger, "j2", count=-8)
    assert await total(ledger) == -3


async def test_an_attempt_that_fails_leaves_nothing_and_the_next_one_counts(ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(text("ALTER TABLE counters RENAME TO away"))
    with pytest.raises(LedgerUnavailable):
        await count(ledger, "j1")
    assert await noted(ledger) == 0
    async with writing(ledger.database) as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO counters"))
    assert await count(ledger, "j1")
    assert await total(ledger) == 1


async def test_an_attempt_that_is_cancelled_and_the_next_one_count_once_together(ledger: Ledger) -> None:
    await count(ledger, "j0")
    async with writing(ledger.database) as blocking:
        await blocking.execute(update(counters).values(count=counters.c["count"]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(count(ledger, "j1"), 0.2)
    await count(ledger, "j1")
    assert await total(ledger) == 2


async def test_counters_are_read_by_subject_and_event_in_order(ledger: Ledger) -> None:
    for n, (subject, event) in enumerate([("b", "y"), ("a", "y"), ("a", "x")]):
        await count(ledger, f"j{n}", subject, event)
    async with ledger.read() as connection:
        everything = await read_counters(connection, subject=None, event=None)
        of_a = await read_counters(connection, subject="a", event=None)
        of_y = await read_counters(connection, subject=None, event="y")
    assert [(row.subject, row.event) for row in everything] == [("a", "x"), ("a", "y"), ("b", "y")]
    assert [row.event for row in of_a] == ["x", "y"]
    assert [row.subject for row in of_y] == ["a", "b"]


async def test_the_result_says_when_it_happened(ledger: Ledger) -> None:
    for job_id, at in (("j1", None), ("j2", datetime(2025, 5, 5, tzinfo=UTC))):
        ctx = context(ledger, job_id)
        result = await update_stats(ctx, UpdateStatsArgs(subject="a", event="b", count=1, at=at))
        assert result == UpdateStatsResult(counted=True, at=at or CREATED_AT)


@pytest.mark.parametrize(("limit", "more"), [(2**63 - 1, 1), (-(2**63) + 1, -1)])
async def test_a_counter_that_can_hold_no_more_fails_its_job_and_no_other(
    ledger: Ledger, limit: int, more: int
) -> None:
    await count(ledger, "j0", event="full")
    async with writing(ledger.database) as connection:
        await connection.execute(update(counters).where(counters.c.event == "full").values(count=limit - more))
    counting = LedgerCounters(ledger)
    wanted = {"fits": ("full", more), "not": ("full", more), "other": ("login", 5)}
    for job_id, (event, number) in wanted.items():
        if job_id == "not":
            with pytest.raises(CounterFull, match=r"The counter of 'ann', 'full' cannot hold more"):
                await count(ledger, job_id, event=event, count=number)
        else:
            assert await count(ledger, job_id, event=event, count=number)
    both = [Count("ann", event, more, CREATED_AT) for event in ("full", "login")]
    results = await asyncio.gather(
        counting.count_once("together", both),
        counting.count_once("alone", [Count("ann", "login", 1, CREATED_AT)]),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in results] == ["CounterFull", "Counted"]
    assert (await total(ledger, event="full"), await total(ledger)) == (limit, 6)
