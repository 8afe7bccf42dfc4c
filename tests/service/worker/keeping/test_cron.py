"""Cron by a clock of the test's: no tick twice, and missed ones by the kind's policy."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from pydantic import BaseModel
from sqlalchemy import event, select
from structlog.testing import capture_logs

from jobs import Context, Kind, job
from service.ledger.reads import listing
from service.ledger.records.ticked import Tick
from service.lifecycle.new_job import new_job
from service.lifecycle.schedules.due import MOST_CAUGHT_UP
from service.options import Options
from service.settings import Settings
from service.tables import jobs, ticks
from service.worker.keeping.cron import Cron
from tests.service.ledger.makers import engines_of
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Args(BaseModel): ...


@job("left_out", cron="* * * * *", catch_up="none")
async def left_out(_ctx: Context, _args: Args) -> None: ...


@job("latest", cron="* * * * *")
async def latest(_ctx: Context, _args: Args) -> None: ...


@job("each", cron="* * * * *", catch_up="all")
async def each(_ctx: Context, _args: Args) -> None: ...


KINDS: tuple[Kind[Args, None], ...] = (left_out, latest, each)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS) as opened:
        yield opened


async def ticked(desk: Desk, kind: Kind[Args, None]) -> list[datetime]:
    """Return the kind's recorded ticks; each must have its job."""
    async with desk.ledger.read() as connection:
        rows = await connection.execute(
            select(ticks.c.due_at).join(jobs, jobs.c.id == ticks.c.job_id).where(ticks.c.kind == kind.name)
        )
        due = sorted(rows.scalars())
        made = (await connection.execute(select(jobs.c.id).where(jobs.c.kind == kind.name))).all()
    assert len(made) == len(due)
    return due


async def begun(desk: Desk, clock: Clock) -> Cron:
    """A cron that has seen its first tick, at 12:01."""
    cron = Cron(desk.lifecycle, clock)
    await cron.tick()
    clock.now = NOON + MINUTE
    await cron.tick()
    for kind in KINDS:
        assert await ticked(desk, kind) == [NOON + MINUTE]
    return cron


async def expect_caught_up(desk: Desk, first: int, last: int) -> None:
    """Minutes after noon: the missed ticks, besides the one at 12:01."""
    missed = [NOON + n * MINUTE for n in range(first, last + 1)]
    assert await ticked(desk, left_out) == [NOON + MINUTE]
    assert await ticked(desk, latest) == [NOON + MINUTE, missed[-1]]
    assert await ticked(desk, each) == [NOON + MINUTE, *missed]


async def test_ticks_missed_while_no_worker_ran_follow_the_kinds_policy(desk: Desk, clock: Clock) -> None:
    await begun(desk, clock)
    clock.now = NOON + 5 * MINUTE + 30 * SECOND
    with capture_logs() as logged:
        await Cron(desk.lifecycle, clock).tick()
    await expect_caught_up(desk, 2, 5)
    skipped = {one["schedule"]: one["missed"] for one in logged if one["event"] == "cron_ticks_missed"}
    assert skipped == {"left_out": 4, "latest": 3}


async def test_a_suspended_worker_catches_up_and_its_clock_ticks_on(desk: Desk, clock: Clock) -> None:
    cron = await begun(desk, clock)
    clock.now = NOON + 5 * MINUTE + 30 * SECOND
    await cron.tick()
    await expect_caught_up(desk, 2, 5)
    clock.now += 15 * SECOND
    with capture_logs() as logged:
        await cron.tick()
    assert logged == [], "what was skipped is told once"
    clock.now = NOON + 6 * MINUTE + SECOND
    await cron.tick()
    for kind in KINDS:
        assert (await ticked(desk, kind))[-1] == NOON + 6 * MINUTE


async def test_one_of_three_workers_frozen_for_95_s_doubles_nothing_and_claims_nothing_was_missed(
    desk: Desk, clock: Clock
) -> None:
    frozen = await begun(desk, clock)
    awake = [Cron(desk.lifecycle, clock) for _ in range(2)]
    for _ in range(95 * 4):
        clock.now += 0.25 * SECOND
        await asyncio.gather(*(cron.tick() for cron in awake))
    with capture_logs() as logged:
        await frozen.tick()
    for kind in KINDS:
        assert await ticked(desk, kind) == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert [one for one in logged if one["event"] == "cron_ticks_missed"] == []


async def test_a_worker_that_was_held_up_for_seconds_does_not_call_missed_what_others_ticked(
    desk: Desk, settings: Settings, clock: Clock
) -> None:
    busy = job("busy", cron="* * * * * *")(each.function)
    async with open_desk(settings, busy) as other:
        held_up, awake = Cron(other.lifecycle, clock), Cron(other.lifecycle, clock)
        await held_up.tick()
        for _ in range(5):
            clock.now += SECOND
            await awake.tick()
        with capture_logs() as logged:
            await held_up.tick()
    assert logged == []
    assert await ticked(desk, busy) == [NOON + n * SECOND for n in range(1, 6)]


async def test_three_workers_that_start_together_after_a_gap_make_each_tick_once(desk: Desk, clock: Clock) -> None:
    await begun(desk, clock)
    clock.now = NOON + 30 * MINUTE + 30 * SECOND
    await asyncio.gather(*(Cron(desk.lifecycle, clock).tick() for _ in range(3)))
    await expect_caught_up(desk, 2, 30)


async def test_a_clock_that_jumps_back_an_hour_repeats_no_tick(desk: Desk, clock: Clock) -> None:
    cron = Cron(desk.lifecycle, clock)
    await cron.tick()
    for minute in range(1, 91):
        clock.now = NOON + minute * MINUTE
        await cron.tick()
    for minute in range(30, 93):
        clock.now = NOON + minute * MINUTE
        await cron.tick()
    for kind in KINDS:
        assert await ticked(desk, kind) == [NOON + minute * MINUTE for minute in range(1, 93)]


async def test_a_clock_that_was_ahead_by_years_does_not_end_the_ticks(desk: Desk, clock: Clock) -> None:
    cron = await begun(desk, clock)
    clock.now = NOON + timedelta(days=3650)
    await cron.tick()
    for later in (cron, Cron(desk.lifecycle, clock)):
        clock.now = max(NOON + 2 * MINUTE, clock.now - timedelta(days=3650) + 2 * MINUTE)
        await later.tick()
        clock.now += MINUTE
        await later.tick()
        assert clock.now.replace(second=0) in await ticked(desk, latest)


async def test_a_kind_that_never_ticked_has_missed_nothing(desk: Desk, clock: Clock) -> None:
    await Cron(desk.lifecycle, clock).tick()
    for kind in KINDS:
        assert await ticked(desk, kind) == []


async def test_a_kind_whose_expression_has_changed_has_missed_nothing(
    desk: Desk, settings: Settings, clock: Clock
) -> None:
    await begun(desk, clock)
    changed = job("each", cron="*/2 * * * *", catch_up="all")(each.function)
    async with open_desk(settings, changed) as other:
        clock.now = NOON + 10 * MINUTE + SECOND
        cron = Cron(other.lifecycle, clock)
        await cron.tick()
        assert await ticked(desk, each) == [NOON + MINUTE]
        clock.now = NOON + 12 * MINUTE
        await cron.tick()
    assert await ticked(desk, each) == [NOON + MINUTE, NOON + 12 * MINUTE]


async def test_catching_up_has_an_end_and_says_so(desk: Desk, settings: Settings, clock: Clock) -> None:
    busy = job("busy", cron="* * * * * *", catch_up="all")(each.function)
    async with open_desk(settings, busy) as other:
        first = Tick("busy", "busy", NOON, "* * * * * *", "fired", new_job(busy, Args(), Options(), NOON))
        await other.ledger.tick([first], writer="test", now=NOON)
        clock.now = NOON + timedelta(days=20)
        with capture_logs() as logged:
            await Cron(other.lifecycle, clock).tick()
    due = await ticked(desk, busy)
    assert due == [NOON] + [clock.now - n * SECOND for n in range(MOST_CAUGHT_UP - 1, -1, -1)]
    (report,) = [one for one in logged if one["event"] == "cron_ticks_missed"]
    assert "or more" in report["missed"]


async def test_monthly_tick_that_was_missed_is_caught_up_after_the_former_one_is_past_retention(
    desk: Desk, settings: Settings, clock: Clock
) -> None:
    monthly = job("monthly", cron="0 0 1 * *")(each.function)
    async with open_desk(settings, monthly) as other:
        clock.now = datetime(2026, 6, 30, 23, 59, tzinfo=UTC)
        cron = Cron(other.lifecycle, clock)
        await cron.tick()
        clock.now = datetime(2026, 7, 1, tzinfo=UTC)
        await cron.tick()
        await other.ledger.purge(timedelta(0), dry_run=False)
        clock.now = datetime(2026, 10, 15, tzinfo=UTC)
        await Cron(other.lifecycle, clock).tick()
    assert await ticked(desk, monthly) == [datetime(2026, month, 1, tzinfo=UTC) for month in (7, 10)]


async def test_a_tick_due_within_a_short_restart_is_on_time_under_every_policy(desk: Desk, clock: Clock) -> None:
    await begun(desk, clock)
    clock.now = NOON + 2 * MINUTE + 5 * SECOND
    await Cron(desk.lifecycle, clock).tick()
    for kind in KINDS:
        assert await ticked(desk, kind) == [NOON + MINUTE, NOON + 2 * MINUTE]


@pytest.mark.parametrize("catch_up", ["none", "last", "all"])
async def test_a_worker_that_was_held_up_for_seconds_calls_none_of_several_ticks_missed(
    settings: Settings, clock: Clock, catch_up: Literal["none", "last", "all"]
) -> None:
    busy = job("busy", cron="* * * * * *", catch_up=catch_up)(each.function)
    async with open_desk(settings, busy) as desk:
        cron = Cron(desk.lifecycle, clock)
        await cron.tick()
        clock.now += 5 * SECOND
        await cron.tick()
        assert await ticked(desk, busy) == [NOON + n * SECOND for n in range(1, 6)]


async def test_the_job_of_a_tick_shows_its_time_and_runs_now(desk: Desk, clock: Clock) -> None:
    await begun(desk, clock)
    async with desk.ledger.read() as connection:
        row = (await connection.execute(select(jobs).where(jobs.c.kind == "latest"))).mappings().one()
    assert json.loads(row["tags"]) == ["cron", "tick:2026-06-01T12:01:00Z", "schedule:latest"]
    assert (row["run_at"], row["state"]) == (NOON + MINUTE, "queued")


async def test_while_no_tick_is_due_the_ledger_is_asked_once_a_second_whether_anything_was_changed(
    desk: Desk, clock: Clock
) -> None:
    cron = await begun(desk, clock)
    statements: list[str] = []
    for engine in engines_of(desk.ledger.database):
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    for _ in range(200):
        clock.now += 0.25 * SECOND
        await cron.tick()
    asked = [one for one in statements if one.startswith("SELECT")]
    assert len(asked) == 50
    assert {"sum(schedules.revision)" in one for one in asked} == {True}


@job("often", cron="* * * * * *")
async def often(_ctx: Context, _args: Args) -> None: ...


async def test_tick_becomes_one_job_however_many_workers_see_it(settings: Settings) -> None:
    async with open_desk(settings, often) as desk:
        crons = [Cron(desk.lifecycle) for _ in range(5)]

        async def ticks_twice() -> bool:
            await asyncio.gather(*(cron.tick() for cron in crons))
            return len(await ticked(desk, often)) >= 2

        await eventually(ticks_twice)


async def test_cron_job_runs_like_any_other(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(often)):

        async def ran() -> bool:
            async with desk.ledger.read() as connection:
                rows = await listing.list_jobs(connection, listing.Filter(kinds=("often",), states=("succeeded",)), 1)
            return bool(rows)

        await eventually(ran)
