"""The facts behind troubles, as they are read from a real ledger and a real Redis."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import insert, update

from jobs import job
from service.insight.troubles import Trouble, Troubles
from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish
from service.ledger.records.failed import record_failures
from service.ledger.records.lanes import Breaker, record_breakers, record_rule
from service.ledger.records.series import record_levels
from service.ledger.records.workers import record_registered
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import ticks, workers
from tests.service.worker.desk import Desk, open_desk
from tests.support.writing import writing

LANE = "host:down.example"
# The tests' own Postgres runs with it.
RISK = "setting:Postgres fsync=off"


@job("send_webhook_too", lane=LANE)
async def kind() -> None: ...


async def _now(ledger: Ledger) -> datetime:
    async with ledger.read() as connection:
        return await ledger.database.now(connection)


async def _all(desk: Desk) -> dict[str, Trouble]:
    troubles = Troubles(desk.resources)
    try:
        return {one.key: one for one in await troubles.now()}
    finally:
        await troubles.close()


async def test_facts_are_read_of_everything_that_is_wrong(settings: Settings) -> None:
    async with open_desk(settings, kind) as desk:
        await desk.enqueue(kind)
        now = await _now(desk.ledger)
        nobody = await _all(desk)
        assert [key for key in nobody if key != RISK] == ["workers"]
        assert nobody["workers"].text[0] == "1 job waits"
        await _break_everything(desk, now)
        found = await _all(desk)
        assert {"unaccounted", f"lane:{LANE}", "failure:" + "b" * 16, "kind:gone", "schedule:nightly"} <= set(found)
        assert {"worker:dead", "worker:silent", "paused:queue:mail", "queue:bulk"} <= set(found)
        assert "schedule:off" not in found
        lane = found[f"lane:{LANE}"]
        assert lane.text[0] == "1 job waits for it"
        assert lane.since is not None
        assert now - lane.since < timedelta(minutes=6)
        assert [action.label for action in lane.actions][-1] == "Replay 5 failed jobs…"
        assert found["failure:" + "b" * 16].text[0] == "20 failures in the last 10 min. "
        troubles = Troubles(desk.resources)
        counts = await troubles.counts()
        await troubles.close()
        assert counts["lanes"] == ("wrong", 1)
        assert counts["workers"] == ("warning", 2)


async def _break_everything(desk: Desk, now: datetime) -> None:
    ledger = desk.ledger
    async with writing(ledger.database) as connection:
        for name in ("alive", "dead", "silent"):
            await connection.run_sync(record_registered, now, id=name, hostname="h", pid=1, queues="default")
        dead = update(workers).where(workers.c.id == "dead")
        await connection.execute(dead.values(ended_at=now, declared_dead=1))
        long_ago = now - timedelta(seconds=60)
        await connection.execute(update(workers).where(workers.c.id == "silent").values(heartbeat_at=long_ago))
        await connection.run_sync(record_breakers, [Breaker(LANE, "open", now + timedelta(minutes=1), 1)], now)
        await connection.run_sync(record_rule, "queue:mail", {"paused": True}, now)
        tick = {"kind": "nightly", "due_at": now - timedelta(minutes=2), "cron": "@daily"}
        await connection.execute(insert(ticks), tick | {"outcome": "skipped", "reason": "it ran"})
        off = [tick | {"kind": "off", "due_at": now - timedelta(seconds=n)} for n in range(110)]
        paused = {"outcome": "missed", "reason": "the schedule was paused"}
        await connection.execute(insert(ticks), [one | paused for one in off])  # that somebody wanted
    levels = {"unaccounted": 1.0, "waiting": 1.0, "unknown_kind:gone": 3.0, "queue_waiting:bulk": 2.0}
    await ledger.database.run(partial(record_levels, values=levels, at=now))
    for fingerprint, lane, count in (("a" * 16, LANE, 5), ("b" * 16, None, 20)):
        at = now - timedelta(minutes=5)
        failure = Failure("ConnectError", "refused")
        state = State.FAILED if lane else State.RETRYING
        one = Finish("j", "send_webhook", 1, "w", Outcome.FAILED, state, at, failure=failure, fingerprint=fingerprint)
        failed = [(one._replace(destination=lane), state)] * count
        await ledger.database.run(partial(record_failures, failed=failed))


async def test_a_breaker_that_is_forced_closed_holds_nobody(settings: Settings) -> None:
    async with open_desk(settings, kind) as desk:
        async with writing(desk.ledger.database) as connection:
            await connection.run_sync(record_rule, LANE, {"breaker_forced": "closed"}, await _now(desk.ledger))
        assert set(await _all(desk)) <= {"workers", RISK}


async def test_a_ledger_or_a_redis_that_is_away_is_the_trouble(settings: Settings) -> None:
    nowhere = {"redis_url": "redis://127.0.0.1:1/0"}
    async with open_desk(settings.model_copy(update=nowhere), kind) as desk:
        assert "redis" in await _all(desk)
    nowhere = {"database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none"}
    async with open_desk(settings.model_copy(update=nowhere), kind) as desk:
        assert [(one.key, one.severity) for one in (await _all(desk)).values()] == [("ledger", "wrong")]
