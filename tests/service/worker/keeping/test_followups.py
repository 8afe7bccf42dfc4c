"""The leader follows up what the process that wrote it did not get to."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import update

from service.ledger.reads import edges
from service.ledger.records import decided
from service.tables import jobs
from service.worker.keeping.followups import Followups
from tests.service.ledger.linking import child, end, enqueue_all, states
from tests.service.ledger.makers import new_job
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import on_queue
from tests.support.writing import writing


async def test_the_sweep_releases_what_the_dead_left_and_puts_it_on_the_queue(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decided, "MOST_EDGES", 3)
    first, now = new_job(), datetime.now(UTC)
    many = [child(first, run_at=now) for _ in range(10)]
    await enqueue_all(desk.ledger, first, *many)
    assert (await end(desk.ledger, first)).followed.left
    sweeping = desk.sweep_as()
    while await sweeping.sweep():
        pass
    assert set(await states(desk.ledger, *many)) == {"queued"}
    # The first three were the writer's to put: the sweep puts them when they have waited for a while.
    assert len(await on_queue(redis)) >= 7


async def test_jobs_that_an_older_version_ended_without_a_followup_release_their_children(desk: Desk) -> None:
    first = new_job()
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    second = child(first, run_at=long_ago, created_at=long_ago)
    await enqueue_all(desk.ledger, first, second)
    async with writing(desk.ledger.database) as connection:  # as a worker that knows no edges would
        await connection.execute(update(jobs).where(jobs.c.id == first.id).values(state="succeeded"))
    sweeping = desk.sweep_as()
    while await sweeping.sweep():
        pass
    assert await states(desk.ledger, second) == ["queued"]


async def test_they_are_found_behind_many_that_wait_rightly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "_MOST_BLOCKED", 3)
    runs, ended = new_job(), new_job()
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    rightly = [child(runs, run_at=long_ago, created_at=long_ago - timedelta(seconds=1)) for _ in range(7)]
    stranded = child(ended, run_at=long_ago, created_at=long_ago)
    await enqueue_all(desk.ledger, runs, ended, *rightly, stranded)
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == ended.id).values(state="succeeded"))
    followups = Followups(desk.ledger, desk.lifecycle.following)
    for _ in range(3):
        await followups.mend()
    assert not await followups.follow_up()
    assert await states(desk.ledger, stranded, *rightly) == ["queued", *["blocked"] * 7]
    assert followups._beyond == edges.FIRST_PLACE  # and so it begins again
