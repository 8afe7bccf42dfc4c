from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

import jobs as kinds
from service.demo import day, filling
from service.demo.filling import Filling
from service.demo.recording import record_stories
from service.demo.removing import Removing
from service.demo.staff import PREFIX
from service.demo.story import TAG
from service.demo.waiting import ORDERS_LANE
from service.errors import Conflict
from service.features import FEATURES
from service.figure_tables import event_counts
from service.ledger.clock import now_by
from service.ledger.guards import is_silent
from service.ledger.leases import SILENT_AFTER
from service.ledger.ledger import Ledger
from service.ledger.reads.counts import tally_totals
from service.ledger.reads.failures import groups
from service.ledger.reads.figures import levels, quantiles
from service.ledger.reads.standing import deploys
from service.ledger.states import LIVE
from service.queue import open_redis
from service.resources import open_resources
from service.settings import Settings
from service.tables import job_tags, jobs, metadata, workers
from tests.support.browser import browsing
from tests.support.html import Html
from tests.support.running import eventually, running_worker

HOUR = timedelta(hours=1)
PAGES = (
    *("/", "/jobs", "/jobs?state=failed", "/failures", "/operations", "/schedules", "/schedules/demo-count-week"),
    *("/flows", "/queues", "/lanes", "/kinds", "/kinds/send_webhook", "/workers", "/audit", "/apps", "/inbox"),
)
COUNTED = ("enqueued", "started", "succeeded", "failed", "retried", "cancelled")
# What a ledger has without any job.
ALWAYS_THERE = {"alembic_version", "lane_counter", "audit_log_head"}


@pytest.fixture(autouse=True)
def day_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day, "JOBS", 300)


async def fill(settings: Settings) -> list[str]:
    told: list[str] = []
    catalogue = kinds.load()
    async with open_resources(settings, catalogue, features=FEATURES) as resources:
        await Filling(resources.ledger, resources.queue, catalogue, told.append).fill()
    return told


async def remove(settings: Settings) -> int:
    async with open_resources(settings, kinds.load(), features=FEATURES) as resources:
        return await Removing(resources.ledger, resources.queue).remove()


async def rows_of(ledger: Ledger) -> dict[str, int]:
    async with ledger.read() as connection:
        found = {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (*metadata.sorted_tables, *(table for feature in FEATURES for table in feature.tables))
        }
    return {name: count for name, count in found.items() if count and name not in ALWAYS_THERE}


async def states_of(ledger: Ledger) -> Counter[str]:
    async with ledger.read() as connection:
        return Counter((await connection.execute(select(jobs.c.state))).scalars())


async def touched(ledger: Ledger) -> list[str]:
    """Return what a real worker has begun, except ticks that have just come due, which only count."""
    real = ~jobs.c.worker.startswith(PREFIX) & (jobs.c.kind != "cleanup")
    async with ledger.read() as connection:
        return list((await connection.execute(select(jobs.c.id).where(real))).scalars())


async def test_an_empty_ledger_gets_a_day_with_all_that_pages_show_and_is_empty_again(
    settings: Settings, ledger: Ledger
) -> None:
    assert "figures" in (await fill(settings))[-1]
    states = await states_of(ledger)
    assert set(states) == {"scheduled", "blocked", "queued", "retrying", "succeeded", "failed", "cancelled"}
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        tagged = select(func.count()).select_from(job_tags).where(job_tags.c.tag == TAG)
        assert (await connection.execute(tagged)).scalar_one() == states.total()
        assert len(await groups(connection, since=now - 24 * HOUR, limit=20)) >= 4
        assert (await quantiles(connection, None, since=now - 24 * HOUR))["", "run"].p99
        assert [deploy.version for deploy in await deploys(connection, now - HOUR)] == ["2.14.1"]
        running = await levels(connection, ["waiting"], since=now - HOUR, until=now, step=timedelta(minutes=1))
        assert max(value or 0 for value in running.values["waiting"]) >= states["queued"] * 0.9
        newest = select(event_counts.c.event, func.max(event_counts.c.total)).where(event_counts.c.kind == "")
        by_minute = dict((await connection.execute(newest.group_by(event_counts.c.event))).all())
        tallied = Counter[str]()
        for _, event, count in await tally_totals(connection):
            tallied[event] += count
    assert {event: by_minute[event] for event in COUNTED} == {event: tallied[event] for event in COUNTED}
    with pytest.raises(Conflict, match="already has jobs"):
        await fill(settings)

    assert await remove(settings) == states.total()
    assert await rows_of(ledger) == {}


async def test_its_workers_are_alive_however_long_it_takes(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record_for_long(connection: Connection, **told: Any) -> None:
        now = now_by(connection)
        assert connection.execute(select(workers.c.id).where(is_silent(now))).all() == []
        record_stories(connection, **told)
        connection.execute(update(workers).values(heartbeat_at=now - 2 * SILENT_AFTER))

    monkeypatch.setattr(filling, "record_stories", record_for_long)
    await fill(settings)


async def test_no_job_is_left_to_real_workers_when_its_own_were_declared_dead(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record_before_death(connection: Connection, **told: Any) -> None:
        record_stories(connection, **told)
        connection.execute(update(workers).values(ended_at=now_by(connection), declared_dead=1))

    monkeypatch.setattr(filling, "record_stories", record_before_death)
    with pytest.raises(Conflict, match="taken for dead"):
        await fill(settings)
    assert not set(await states_of(ledger)) & set(LIVE)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_beside_it_sends_nothing_and_every_page_opens(
    settings: Settings, ledger: Ledger, swept_at_once: None
) -> None:
    async with browsing(settings) as browser, running_worker(settings, kinds.load()):
        await fill(settings)

        async def is_dispatched() -> bool:
            """Whether the queue has all that is due."""
            due = jobs.c.state.in_(("queued", "retrying")) & (jobs.c.dispatch_epoch == "")
            async with ledger.read() as connection:
                now = await ledger.database.now(connection)
                return not (await connection.execute(select(jobs.c.id).where(due, jobs.c.run_at < now))).all()

        await eventually(is_dispatched)
        sent = {"kind": "update_stats", "args": {"subject": "one", "event": "more"}}
        job = (await browser.post("/v1/jobs", json=sent)).json()
        assert (await browser.get(f"/v1/jobs/{job['id']}?wait=20")).json()["state"] == "succeeded"
        assert await touched(ledger) == [job["id"]]
        for page in PAGES:
            answer = await browser.get(page, headers={"accept": "text/html"})
            assert answer.status_code == 200, page
        overview = Html((await browser.get("/", headers={"accept": "text/html"})).text)
        assert f"Webhooks to {ORDERS_LANE.partition(':')[2]} are not going out." in overview.main
        for path in {link["href"] for link in overview.all("a") if link["href"].startswith("/")}:
            assert (await browser.get(path, headers={"accept": "text/html"})).status_code == 200, path

        await remove(settings)
        assert (await states_of(ledger)) == {"succeeded": 1}
        assert ORDERS_LANE not in (await browser.get("/v1/lanes")).text
    redis = open_redis(settings.redis_dsn)
    left = {key.decode() for key in await redis.keys("*") if ORDERS_LANE in key.decode()}
    await redis.aclose(close_connection_pool=True)
    assert left == set()
