"""The facts behind troubles as metrics: from a real ledger, with few labels."""

from datetime import timedelta

from sqlalchemy import insert, update

from service.api.trouble_metrics import trouble_families
from service.ledger.ledger import Ledger
from service.ledger.reads.workers import living_workers
from service.ledger.records.workers import record_registered
from service.tables import ticks, workers
from tests.service.api.driving import on_sqlite
from tests.support.writing import writing


@on_sqlite
async def test_lost_workers_versions_held_lanes_and_ticks_are_told(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    async with writing(ledger.database) as writer:
        for name in ("alive", "drains", "silent"):
            await writer.run_sync(record_registered, now, id=name, hostname="h", pid=1, queues="default", version="7")
        long_ago = now - timedelta(minutes=1)
        await writer.execute(update(workers).where(workers.c.id == "silent").values(heartbeat_at=long_ago))
        await writer.execute(update(workers).where(workers.c.id == "drains").values(drain_at=now))
        tick = {"due_at": long_ago, "cron": "@daily"}
        for schedule, outcome, reason in (
            ("busy", "skipped", "it ran"),
            ("late", "missed", "no worker saw it come due"),
            ("off", "missed", "the schedule was paused"),
            ("well", "fired", None),
        ):
            await writer.execute(insert(ticks), tick | {"kind": schedule, "outcome": outcome, "reason": reason})
    async with ledger.read() as connection:
        living = await living_workers(connection, now)
        families = await trouble_families(connection, living, {"host": 2, "other": 0}, now)
    found = [(one.name, one.labels, one.value) for family in families for one in family.samples]
    assert found == [
        ("postlude_workers_lost", {}, 1),
        ("postlude_workers_draining", {}, 1),
        ("postlude_worker_info", {"worker": "alive", "version": "7"}, 1),
        ("postlude_worker_info", {"worker": "drains", "version": "7"}, 1),
        ("postlude_lanes_held", {"class": "host"}, 2),
        ("postlude_lanes_held", {"class": "other"}, 0),
        ("postlude_schedules_not_fired", {"outcome": "skipped"}, 1),
        ("postlude_schedules_not_fired", {"outcome": "missed"}, 1),
    ]
