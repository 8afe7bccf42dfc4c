"""Bulk replay's statements: their cost does not grow with the jobs that they do not touch."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, update

from service.ledger.ledger import Ledger
from service.ledger.reads.listing import Filter, ToReplay
from service.lifecycle.bulk_replay import Reached, replay_batches
from service.tables import jobs
from tests.service.ledger.makers import NOW, engines_of, enqueue, new_job
from tests.support.writing import writing


async def all_run(_jobs: Sequence[ToReplay]) -> dict[str, str]:
    return {}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_unique_key_is_looked_up_and_pages_are_read_by_their_indexes(ledger: Ledger) -> None:
    job = new_job(unique_key="u")
    await enqueue(ledger, job)
    await ledger.cancel(job.id, "test", NOW)
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "holders" in statement and not statement.startswith("EXPLAIN"):
            statements.append((statement, parameters))

    for engine in engines_of(ledger.database):
        event.listen(engine, "before_cursor_execute", note)
    wanted = Filter(states=("cancelled",))
    async for batch in replay_batches(ledger, wanted, datetime.now(UTC), dry_run=False, reasons_against=all_run):
        assert [replayed.id for replayed in batch.replayed] == [job.id]
    plans = []
    async with ledger.read() as connection:
        for statement, parameters in statements:
            plan: Any = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" | ".join(row[3] for row in plan))
    assert len(plans) == 2
    assert all("SEARCH holders USING INDEX jobs_unique_key (unique_key=?)" in plan for plan in plans)
    assert "USING INDEX jobs_by_state (state=?)" in plans[0]
    assert "SCAN jobs" not in " ".join(plans)


async def test_replay_that_goes_on_where_it_stopped_meets_each_job_once_though_many_are_left_as_they_are(
    ledger: Ledger,
) -> None:
    ended = [new_job() for _ in range(1_100)]
    await enqueue(ledger, *ended)
    for job in ended[:50]:
        await ledger.cancel(job.id, "test", NOW)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.state == "queued").values(state="failed", finished_at=NOW))

    async def none_can(some: Sequence[ToReplay]) -> dict[str, str]:
        return {job.id: "kind_unknown" for job in some}

    met: list[str] = []
    beyond: Reached | None = None
    while True:  # as an API whose time is up after each batch
        batches = replay_batches(ledger, Filter(), NOW, dry_run=False, reasons_against=none_can, beyond=beyond)
        batch = await anext(batches, None)
        await batches.aclose()
        if batch is None:
            break
        met += [job.id for job in batch.jobs]
        beyond = batch.reached
    assert sorted(met) == sorted(job.id for job in ended)
