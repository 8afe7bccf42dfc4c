"""Schedules made at run time, carried out by a clock of the test's: what becomes of each tick, and why."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import RowMapping, select, update

from jobs import Context, job
from service.errors import LedgerUnavailable
from service.ledger.reads.ticks import history
from service.ledger.records import ticked as records
from service.ledger.records.schedules import NewSchedule
from service.schedule_tables import schedules
from service.settings import Settings
from service.tables import jobs
from service.worker.keeping.cron import Cron
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.writing import writing

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Args(BaseModel):
    number: int = 0
    token: SecretStr | None = None


@job("count")
async def count(_ctx: Context, _args: Args) -> None: ...


@job("own", cron="* * * * *")
async def own(_ctx: Context, _args: Args) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.lifecycle.schedules.schedules.agreed_time.now", clock)
    return clock


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, count) as opened:
        yield opened


def schedule(name: str = "s", **fields: Any) -> NewSchedule:
    plain = NewSchedule(
        name=name, kind="count", args='{"number":1}', sealed_args=None, options="{}", cron="* * * * *", time_zone="UTC",
        catch_up="last", overlap="allow", jitter_s=0.0, start_at=None, end_at=None,
    )  # fmt: skip
    return replace(plain, **fields)


async def say(desk: Desk, *wanted: NewSchedule) -> None:
    for one in wanted:
        await desk.lifecycle.schedules.say(one)


async def told(desk: Desk, name: str = "s") -> list[RowMapping]:
    """Return the history of a schedule, the earliest tick first; fired ticks must have a job each, and no others."""
    async with desk.ledger.read() as connection:
        rows = list(reversed(await history(connection, name, None, 5_000)))
        found = set((await connection.execute(select(jobs.c.id))).scalars())
    for row in rows:
        assert (row["job_id"] in found) == (row["outcome"] == "fired"), dict(row)
    return rows


async def outcomes(desk: Desk, name: str = "s") -> list[tuple[int, str]]:
    """Return (minutes after noon, outcome) of each tick."""
    return [((row["due_at"] - NOON) // MINUTE, row["outcome"]) for row in await told(desk, name)]


async def count_jobs(desk: Desk) -> int:
    async with desk.ledger.read() as connection:
        return len((await connection.execute(select(jobs.c.id))).all())


async def walk(crons: Sequence[Cron], clock: Clock, until: datetime, step: timedelta = SECOND) -> None:
    while clock.now < until:
        clock.now = min(until, clock.now + step)
        await asyncio.gather(*(keep_up(cron) for cron in crons))


async def keep_up(cron: Cron) -> None:
    while await cron.tick():
        pass


@pytest.mark.parametrize("workers", [2, 5])
async def test_workers_that_see_the_same_ticks_make_one_job_of_each(desk: Desk, clock: Clock, workers: int) -> None:
    await say(desk, *(schedule(f"s{n}") for n in range(5)))
    crons = [Cron(desk.lifecycle, clock) for _ in range(workers)]
    await walk(crons, clock, NOON + 2 * MINUTE + SECOND, 5 * SECOND)
    await walk(crons, clock, clock.now + 2 * SECOND)
    for n in range(5):
        assert await outcomes(desk, f"s{n}") == [(1, "fired"), (2, "fired")]
    assert await count_jobs(desk) == 10


async def test_a_change_a_pause_and_a_deletion_hold_within_two_seconds(desk: Desk, clock: Clock) -> None:
    cron = Cron(desk.lifecycle, clock)
    await cron.tick()
    clock.now += SECOND
    await say(desk, schedule(cron="* * * * * *"))
    await walk([cron], clock, clock.now + 2 * SECOND)
    assert (await told(desk))[-1]["due_at"] == clock.now
    await say(desk, schedule(cron="0 0 1 1 *"))
    changed = clock.now
    await walk([cron], clock, changed + MINUTE)
    assert [row for row in await told(desk) if row["due_at"] > changed] == [], "not even one of the former expression"
    await say(desk, schedule(cron="* * * * * *"))
    await walk([cron], clock, clock.now + 3 * SECOND)
    await desk.lifecycle.schedules.delete("s")
    deleted = clock.now
    await walk([cron], clock, deleted + 5 * SECOND)
    assert (await told(desk))[-1]["due_at"] == deleted
    await say(desk, schedule(cron="* * * * * *"))
    await walk([cron], clock, clock.now + 2 * SECOND)
    assert (await told(desk))[-1]["due_at"] == clock.now


@pytest.mark.parametrize(("catch_up", "caught_up"), [("none", 0), ("last", 1), ("all", 24)])
async def test_a_day_without_a_worker_follows_catch_up_and_the_history_tells_what_was_missed(
    desk: Desk, clock: Clock, catch_up: Any, caught_up: int
) -> None:
    await say(desk, schedule(cron="0 * * * *", catch_up=catch_up))
    clock.now = NOON + DAY + 30 * MINUTE
    await asyncio.gather(*(Cron(desk.lifecycle, clock).tick() for _ in range(3)))
    expected = ["missed"] * (24 - caught_up) + ["fired"] * caught_up
    assert await outcomes(desk) == [(60 * (n + 1), outcome) for n, outcome in enumerate(expected)]
    reasons = {row["reason"] for row in await told(desk) if row["outcome"] == "missed"}
    assert reasons <= {"no worker saw it come due"}


async def test_of_a_long_gap_a_thousand_ticks_are_listed_and_one_that_stands_for_the_others(
    desk: Desk, clock: Clock
) -> None:
    await say(desk, schedule(cron="* * * * * *", catch_up="none"))
    clock.now = NOON + DAY
    await Cron(desk.lifecycle, clock).tick()
    rows = await told(desk)
    assert (len(rows), rows[-1]["outcome"]) == (1_001, "fired")
    assert "earlier ones" in rows[0]["reason"]


async def test_clocks_set_back_and_forward_repeat_no_tick_and_end_none(desk: Desk, clock: Clock) -> None:
    await say(desk, schedule())
    cron = Cron(desk.lifecycle, clock)
    await walk([cron], clock, NOON + 10 * MINUTE, 30 * SECOND)
    clock.now = NOON + 2 * MINUTE
    await walk([cron, Cron(desk.lifecycle, clock)], clock, NOON + 12 * MINUTE, 30 * SECOND)
    assert await outcomes(desk) == [(n, "fired") for n in range(1, 13)]
    clock.now = NOON + 3650 * DAY
    await cron.tick()
    clock.now = NOON + 13 * MINUTE
    for later in (cron, Cron(desk.lifecycle, clock)):
        await walk([later], clock, clock.now + 2 * MINUTE, 5 * SECOND)
    assert {(n, "fired") for n in (14, 15, 16, 17)} <= set(await outcomes(desk))
    assert await count_jobs(desk) == len([one for one in await told(desk) if one["outcome"] == "fired"])


async def test_start_and_end_bound_the_ticks(desk: Desk, clock: Clock) -> None:
    await say(desk, schedule(start_at=NOON + 3 * MINUTE, end_at=NOON + 5 * MINUTE))
    await walk([Cron(desk.lifecycle, clock)], clock, NOON + 10 * MINUTE, 30 * SECOND)
    assert await outcomes(desk) == [(3, "fired"), (4, "fired"), (5, "fired")]
    assert (await desk.lifecycle.schedules.find("s")).next is None


async def test_what_is_missed_during_a_pause_is_told_and_never_caught_up(desk: Desk, clock: Clock) -> None:
    await say(desk, schedule(catch_up="all"))
    cron = Cron(desk.lifecycle, clock)
    await walk([cron], clock, NOON + MINUTE)
    await desk.lifecycle.schedules.pause("s")
    await walk([cron], clock, NOON + 3 * MINUTE, 5 * SECOND)
    clock.now = NOON + 5 * MINUTE + 30 * SECOND  # no worker runs any more
    await desk.lifecycle.schedules.resume("s")
    await walk([Cron(desk.lifecycle, clock)], clock, NOON + 6 * MINUTE, 5 * SECOND)
    missed = [(n, "missed") for n in (2, 3, 4, 5)]
    assert await outcomes(desk) == [(1, "fired"), *missed, (6, "fired")]
    assert {row["reason"] for row in await told(desk) if row["outcome"] == "missed"} == {"the schedule was paused"}


async def test_a_kinds_own_schedule_is_paused_resumed_and_run(settings: Settings, clock: Clock) -> None:
    async with open_desk(settings, own) as desk:
        cron = Cron(desk.lifecycle, clock)
        await walk([cron], clock, NOON + MINUTE, 5 * SECOND)
        await desk.lifecycle.schedules.pause("own")
        await walk([cron], clock, NOON + 2 * MINUTE + SECOND)
        await desk.lifecycle.schedules.run("own")
        await walk([cron], clock, NOON + 3 * MINUTE, 5 * SECOND)
        await desk.lifecycle.schedules.resume("own")
        await walk([cron, Cron(desk.lifecycle, clock)], clock, NOON + 4 * MINUTE, 5 * SECOND)
        rows = await told(desk, "own")
        assert [row["outcome"] for row in rows if row["reason"] != "run now"] == ["fired", "missed", "missed", "fired"]
        assert [row["outcome"] for row in rows if row["reason"] == "run now"] == ["fired"]


async def live(desk: Desk) -> list[tuple[str, bool]]:
    """Return (state, whether its end is wished for) of all jobs."""
    async with desk.ledger.read() as connection:
        rows = await connection.execute(select(jobs.c.state, jobs.c.cancel_requested_at).order_by(jobs.c.id))
        return [(row.state, row.cancel_requested_at is not None) for row in rows]


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("overlap", ["allow", "skip", "replace"])
async def test_a_tick_whose_job_before_has_not_ended_follows_the_overlap(
    desk: Desk, clock: Clock, overlap: Any, state: str
) -> None:
    await say(desk, schedule(overlap=overlap))
    crons = [Cron(desk.lifecycle, clock) for _ in range(2)]
    await walk(crons, clock, NOON + MINUTE, 5 * SECOND)
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).values(state=state, worker="w", attempt=1, started_at=NOON))
    await walk(crons, clock, NOON + 2 * MINUTE, 5 * SECOND)
    first, second = await told(desk)
    if overlap == "skip":
        assert (second["outcome"], second["reason"]) == (
            "skipped",
            f"job {first['job_id']}, of an earlier tick, had not ended",
        )
        assert await live(desk) == [(state, False)]
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(jobs).values(state="succeeded", finished_at=NOON))
        await walk(crons, clock, NOON + 3 * MINUTE, 5 * SECOND)
        assert (await told(desk))[-1]["outcome"] == "fired"
    elif overlap == "replace":
        assert await live(desk) == [("cancelled" if state == "queued" else "running", True), ("queued", False)]
    else:
        assert await live(desk) == [(state, False), ("queued", False)]


async def test_ticks_caught_up_at_once_overlap_one_another_too(desk: Desk, clock: Clock) -> None:
    await say(
        desk, schedule("skips", overlap="skip", catch_up="all"), schedule("replaces", overlap="replace", catch_up="all")
    )
    clock.now = NOON + 3 * MINUTE
    await Cron(desk.lifecycle, clock).tick()
    assert await outcomes(desk, "skips") == [(1, "fired"), (2, "skipped"), (3, "skipped")]
    assert await outcomes(desk, "replaces") == [(1, "fired"), (2, "fired"), (3, "fired")]
    assert sorted(state for state, _ in await live(desk)) == ["cancelled", "cancelled", "queued", "queued"]


async def test_run_now_enqueues_whatever_is_live_and_the_next_tick_knows_it(desk: Desk, clock: Clock) -> None:
    await say(desk, schedule(overlap="skip"))
    cron = Cron(desk.lifecycle, clock)
    await walk([cron], clock, NOON + SECOND)
    await desk.lifecycle.schedules.run("s")
    await walk([cron], clock, NOON + MINUTE, 5 * SECOND)
    assert [(row["outcome"], row["reason"] == "run now") for row in await told(desk)] == [
        ("fired", True),
        ("skipped", False),
    ]


@pytest.mark.parametrize(("overlap", "become"), [("skip", ["queued"]), ("replace", ["cancelled", "queued"])])
async def test_a_tick_knows_the_job_of_an_earlier_one_also_if_one_was_run_out_of_turn_since(
    desk: Desk, clock: Clock, overlap: Any, become: list[str]
) -> None:
    await say(desk, schedule(overlap=overlap))
    cron = Cron(desk.lifecycle, clock)
    await walk([cron], clock, NOON + MINUTE + SECOND)
    [first] = await told(desk)
    await desk.lifecycle.schedules.run("s")
    async with writing(desk.ledger.database) as connection:
        out_of_turn = jobs.c.id != first["job_id"]
        await connection.execute(update(jobs).where(out_of_turn).values(state="succeeded", finished_at=NOON))
    await walk([cron], clock, NOON + 2 * MINUTE, 5 * SECOND)
    assert sorted(state for state, _ in await live(desk) if state != "succeeded") == become


async def test_the_job_of_a_tick_has_the_args_options_and_tags_of_its_schedule(desk: Desk, clock: Clock) -> None:
    options = '{"priority":3,"tags":["mine"],"timeout":5.0,"lane":{"key":"a","concurrency":2},"metadata":{"a":1}}'
    await say(desk, schedule(args='{"number":7}', options=options, jitter_s=600.0))
    await walk([Cron(desk.lifecycle, clock)], clock, NOON + MINUTE, 5 * SECOND)
    [tick] = await told(desk)
    row = await desk.row(tick["job_id"])
    assert (row["args"], row["priority"], row["timeout_s"], row["lane"]) == ('{"number":7,"token":null}', 3, 5.0, "a")
    assert json.loads(row["tags"]) == ["mine", "cron", "tick:2026-06-01T12:01:00Z", "schedule:s"]
    assert NOON + MINUTE < row["run_at"] < NOON + 11 * MINUTE


CANARY = "canary-93f1"


async def test_broken_schedules_are_told_and_hold_up_none_of_a_thousand_good_ones(desk: Desk, clock: Clock) -> None:
    broken = [
        schedule("args", args='{"number":"none"}', sealed_args=f'{{"number":"{CANARY}"}}'),
        schedule("kind", kind="gone"),
        schedule("zone", time_zone="Europe/Nowhere"),
        schedule("expression", cron="not one"),
    ]
    good = [schedule(f"good-{n:04}") for n in range(1_000)]
    await say(desk, *broken)
    async with writing(desk.ledger.database) as connection:
        rows = [schedule_row(one, NOON) for one in good]
        await connection.execute(schedules.insert(), rows)
    cron = Cron(desk.lifecycle, clock)
    await walk([cron], clock, NOON + MINUTE, 5 * SECOND)
    assert await count_jobs(desk) == 1_000
    await walk([cron], clock, NOON + MINUTE + 9 * SECOND)
    views = {one.name: one.error for one in (await desk.lifecycle.schedules.page("", 2_000)).views if one.error}
    assert views.keys() == {"args", "kind", "zone", "expression"}
    [of_args], [of_kind] = await told(desk, "args"), await told(desk, "kind")
    assert (of_args["outcome"], of_kind["outcome"]) == ("skipped", "skipped")
    assert of_args["reason"].startswith("its args no longer fit count: ")
    assert of_kind["reason"].startswith("There is no kind 'gone'")
    assert CANARY not in str([dict(of_args), views])


async def test_a_crowd_that_comes_due_at_once_makes_no_other_schedule_late_and_none_of_its_own_missed(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.worker.keeping.cron._IN_A_PASS", 20)
    monkeypatch.setattr("service.lifecycle.schedules.ticking._AT_ONCE", 20)
    crowd = [schedule(f"crowd-{n:03}", catch_up="none") for n in range(300)]
    async with writing(desk.ledger.database) as connection:
        await connection.execute(schedules.insert(), [schedule_row(one, NOON) for one in crowd])
    await say(desk, schedule("each-second", cron="* * * * * *", catch_up="none"))
    cron = Cron(desk.lifecycle, clock)
    await cron.tick()
    clock.now = NOON + MINUTE - SECOND
    await keep_up(cron)
    record = desk.ledger.tick

    async def record_slowly(*args: Any, **options: Any) -> Any:
        clock.now += SECOND
        return await record(*args, **options)

    monkeypatch.setattr(desk.ledger, "tick", record_slowly)
    clock.now += SECOND
    await keep_up(cron)
    assert clock.now > NOON + MINUTE + 15 * SECOND
    for one in crowd:
        assert await outcomes(desk, one.name) == [(1, "fired")]
    due = [row for row in await told(desk, "each-second") if row["due_at"] >= NOON + MINUTE]
    assert len(due) >= 15
    assert {row["outcome"] for row in due} == {"fired"}


def schedule_row(one: NewSchedule, at: datetime) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in NewSchedule.__dataclass_fields__}
    return fields | {"since": at, "revision": 1, "created_at": at, "updated_at": at}


async def test_an_older_worker_leaves_the_ticks_of_a_new_kind_to_those_that_know_it(
    desk: Desk, settings: Settings, clock: Clock
) -> None:
    await say(desk, schedule(kind="count"))
    async with open_desk(settings, own) as older:
        crons = [Cron(older.lifecycle, clock), Cron(desk.lifecycle, clock)]
        await walk(crons[:1], clock, NOON + MINUTE + SECOND, 5 * SECOND)
        await walk(crons, clock, NOON + MINUTE + 20 * SECOND)
    assert await outcomes(desk) == [(1, "fired")]


@pytest.mark.short
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_incident_a_stalled_insert_stopped_all_periodic_jobs(desk: Desk, clock: Clock) -> None:
    """River 0.37.1: somebody holds a schedule's row; the ticks of all others come on time, and its own afterwards."""
    await say(desk, schedule("stalled"), *(schedule(f"s{n}") for n in range(20)))
    cron = Cron(desk.lifecycle, clock)
    await cron.tick()
    async with writing(desk.ledger.database) as connection:
        await connection.execute(select(schedules).where(schedules.c.name == "stalled").with_for_update())
        async with asyncio.timeout(30):
            await walk([cron], clock, NOON + MINUTE, 5 * SECOND)
        for n in range(20):
            assert await outcomes(desk, f"s{n}") == [(1, "fired")]
        assert await outcomes(desk, "stalled") == []
    await walk([cron], clock, NOON + MINUTE + SECOND)
    assert await outcomes(desk, "stalled") == [(1, "fired")]


STATEMENTS = ("_hold", "_not_there", "_decide", "_insert", "insert_jobs", "tally", "record_cancelled", "_go_on")


@pytest.mark.parametrize("before", STATEMENTS)
async def test_a_worker_that_dies_between_any_two_statements_of_a_tick_leaves_it_whole_or_undone(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    await say(desk, schedule(overlap="replace"))
    await walk([Cron(desk.lifecycle, clock)], clock, NOON + MINUTE, 5 * SECOND)

    def die(*_args: Any, **_options: Any) -> None:
        raise LedgerUnavailable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(records, before, die)
        dying = Cron(desk.lifecycle, clock)
        with pytest.raises(LedgerUnavailable):
            await walk([dying], clock, NOON + 2 * MINUTE, 5 * SECOND)
    assert await outcomes(desk) == [(1, "fired")]
    assert await live(desk) == [("queued", False)]
    await Cron(desk.lifecycle, clock).tick()
    assert await outcomes(desk) == [(1, "fired"), (2, "fired")]
    assert await live(desk) == [("cancelled", True), ("queued", False)]


async def test_a_worker_that_dies_after_the_commit_leaves_a_job_that_the_sweep_dispatches(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(desk, schedule())

    async def die(*_args: Any) -> None:
        raise LedgerUnavailable("killed")

    monkeypatch.setattr(desk.lifecycle.dispatcher, "dispatch", die)
    with pytest.raises(LedgerUnavailable):
        await walk([Cron(desk.lifecycle, clock)], clock, NOON + MINUTE, 5 * SECOND)
    monkeypatch.undo()
    assert await outcomes(desk) == [(1, "fired")]
    async with desk.ledger.read() as connection:
        [epoch] = (await connection.execute(select(jobs.c.dispatch_epoch))).scalars()
    assert epoch == "", "the sweep sees that it is not on the queue"


async def test_a_schedule_runs_in_a_real_worker(settings: Settings) -> None:
    async with open_desk(settings, count) as desk, running_worker(settings, catalogue_of(count)):
        await say(desk, schedule(cron="* * * * * *"))

        async def has_run() -> bool:
            return ("succeeded", False) in await live(desk)

        await eventually(has_run)


async def test_old_ticks_are_purged_but_not_the_latest_in_turn(desk: Desk, clock: Clock) -> None:
    await say(desk, schedule())
    await walk([Cron(desk.lifecycle, clock)], clock, NOON + 3 * MINUTE, 30 * SECOND)
    clock.now += SECOND
    await desk.lifecycle.schedules.run("s")
    ran_at, clock.now = clock.now, clock.now + 3 * DAY  # SQLite has no clock but ours
    await desk.ledger.purge(timedelta(0), dry_run=False)
    async with desk.ledger.read() as connection:
        rows = await history(connection, "s", None, 10)
    assert [(row["due_at"], row["reason"]) for row in rows] == [(ran_at, "run now"), (NOON + 3 * MINUTE, None)]
