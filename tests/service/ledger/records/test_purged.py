import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, event, func, insert, select, text, update

from service.figure_tables import lane_holds
from service.flow_tables import callback_jobs, callbacks, flows, job_edges
from service.ledger.ledger import Ledger
from service.ledger.models import NewFlow, NewJob
from service.ledger.reads import jobs as queries
from service.ledger.reads.counts import tally_totals
from service.ledger.reads.ticks import latest_ticks
from service.ledger.records.purged import rows_of_jobs
from service.ledger.states import LIVE, TERMINAL, State
from service.tables import attempts, idempotency_keys, job_tags, jobs, tallies, ticks, workers
from tests.service.ledger.linking import callback, called, child, end, enqueue_flow, follow_up, states
from tests.service.ledger.makers import NOW, engine_of, enqueue, job_row, new_job
from tests.support.running import eventually
from tests.support.writing import writing

MONTH = timedelta(days=30)
MINUTE = timedelta(minutes=1)
notes = Table("notes", MetaData(), Column("job_id", String(255), primary_key=True))
TABLES = (jobs, attempts, job_tags, notes, ticks, workers, lane_holds, idempotency_keys, tallies)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """A ledger with a table of notes, each of which belongs to a job."""
    belongings = [rows_of_jobs(notes)]
    async with Ledger.open(database_url, retention=MONTH, belongings=belongings) as opened:
        await opened.database.run(notes.create)
        yield opened


def ago(period: timedelta) -> datetime:
    return datetime.now(UTC) - period


async def add(ledger: Ledger, table: Table, *rows: dict[str, Any]) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(insert(table), list(rows))


async def add_ended(ledger: Ledger, *ended_at: datetime, state: State = State.SUCCEEDED) -> list[NewJob]:
    """Add jobs with a tag, two attempts and a note."""
    created_at = ago(timedelta(days=90))
    added = [new_job(state=state, finished_at=at, created_at=created_at, tags=("a",)) for at in ended_at]
    await enqueue(ledger, *added)
    run = {"worker": "w", "outcome": "failed", "started_at": created_at, "finished_at": created_at}
    runs = [{**run, "job_id": job.id, "number": n} for job in added for n in (1, 2)]
    await add(ledger, attempts, *runs)
    await add(ledger, notes, *({"job_id": job.id} for job in added))
    return added


async def counts(ledger: Ledger) -> dict[str, int]:
    async with ledger.read() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in TABLES
        }


async def left(ledger: Ledger, added: Sequence[NewJob]) -> set[str]:
    async with ledger.read() as connection:
        return set(await queries.states_of(connection, [job.id for job in added]))


async def test_jobs_that_ended_before_the_retention_go_and_later_ones_stay(ledger: Ledger) -> None:
    before, after = ago(MONTH + MINUTE), ago(MONTH - MINUTE)
    added = [await add_ended(ledger, before, after, state=state) for state in TERMINAL]
    assert await ledger.purge(MONTH, dry_run=False) == {
        "jobs": 3,
        "attempts": 6,
        "flows": 0,
        "ticks": 0,
        "workers": 0,
        "lane_holds": 0,
        "idempotency_keys": 0,
        "operation_failures": 0,
        "operation_members": 0,
        "operations": 0,
    }
    assert [await left(ledger, pair) for pair in added] == [{pair[1].id} for pair in added]


async def test_failed_jobs_are_kept_for_longer_where_the_settings_say_so(ledger: Ledger) -> None:
    old = [await add_ended(ledger, *[ago(MONTH + MINUTE)] * 2, state=state) for state in TERMINAL]
    older = await add_ended(ledger, ago(2 * MONTH + MINUTE), state=State.FAILED)
    for dry_run in (True, False):
        purged = await ledger.purge(MONTH, failed_older_than=2 * MONTH, dry_run=dry_run)
        assert purged["jobs"] == 5
    kept = [await left(ledger, pair) for pair in old]
    assert kept == [{job.id for job in pair} if pair[0].state is State.FAILED else set() for pair in old]
    assert await left(ledger, older) == set()
    assert (await ledger.purge(2 * MONTH, failed_older_than=MONTH, dry_run=False))["jobs"] == 2


async def test_a_job_takes_its_attempts_tags_and_notes_with_it_and_no_others(ledger: Ledger) -> None:
    await add_ended(ledger, ago(MONTH + MINUTE), ago(MINUTE))
    await ledger.purge(MONTH, dry_run=False)
    assert await counts(ledger) | {"tallies": 0} == {
        "jobs": 1,
        "attempts": 2,
        "job_tags": 1,
        "notes": 1,
        "ticks": 0,
        "workers": 0,
        "lane_holds": 0,
        "idempotency_keys": 0,
        "tallies": 0,
    }


async def test_live_jobs_stay_however_old_they_are(ledger: Ledger) -> None:
    ancient = datetime(1999, 1, 1, tzinfo=UTC)
    added = [new_job(state=state, created_at=ancient, run_at=ancient) for state in LIVE]
    await enqueue(ledger, *added)
    assert (await ledger.purge(timedelta(0), dry_run=False))["jobs"] == 0
    assert await left(ledger, added) == {job.id for job in added}


async def test_a_dry_run_counts_the_same_and_deletes_nothing(ledger: Ledger) -> None:
    await add_ended(ledger, ago(MONTH + MINUTE), ago(MONTH + MINUTE), ago(MINUTE))
    await add_past_retention(ledger)
    before = await counts(ledger)
    foreseen = await ledger.purge(MONTH, dry_run=True)
    assert await counts(ledger) == before
    assert await ledger.purge(MONTH, dry_run=False) == foreseen
    operations = {"operation_failures": 0, "operation_members": 0, "operations": 0}
    others = {"flows": 0, "ticks": 1, "workers": 1, "lane_holds": 1, "idempotency_keys": 1}
    assert foreseen == {"jobs": 2, "attempts": 4} | others | operations


async def add_past_retention(ledger: Ledger) -> None:
    """Add, of ticks, workers, holds and idempotency keys, one row past its time and one that stays."""
    old, young = ago(MONTH + MINUTE), ago(MONTH - MINUTE)
    await add(ledger, ticks, *({"kind": "k", "due_at": at, "job_id": "j", "cron": "* * * * *"} for at in (old, young)))
    worker = {"hostname": "h", "pid": 1, "queues": "default"} | dict.fromkeys(
        ("started_at", "heartbeat_at", "beating_since"), old
    )
    await add(ledger, workers, *({**worker, "id": f"w{n}", "ended_at": at} for n, at in enumerate((old, young, None))))
    held = ({"key": f"tenant:{n}", "held_at": old, "over_at": at} for n, at in enumerate((old, young, None)))
    await add(ledger, lane_holds, *held)
    key = {"fingerprint": "f", "job_id": "j", "created_at": old}
    expiries = (ago(MINUTE), ago(-MINUTE))
    await add(ledger, idempotency_keys, *({**key, "key": f"{n}", "expires_at": at} for n, at in enumerate(expiries)))


async def test_ticks_ended_workers_and_expired_keys_go_and_no_others(ledger: Ledger) -> None:
    await add_past_retention(ledger)
    await ledger.purge(MONTH, dry_run=False)
    rest = await counts(ledger)
    assert [rest[name] for name in ("ticks", "workers", "lane_holds", "idempotency_keys")] == [1, 2, 2, 1]


async def test_a_recent_tick_stays_so_that_no_late_worker_enqueues_it_again(ledger: Ledger) -> None:
    await add(ledger, ticks, {"kind": "k", "due_at": ago(MINUTE), "job_id": "j", "cron": "* * * * *"})
    assert (await ledger.purge(timedelta(0), dry_run=False))["ticks"] == 0
    assert (await counts(ledger))["ticks"] == 1


@pytest.mark.parametrize("older_than", [timedelta(0), MONTH])
async def test_latest_tick_of_a_kind_is_kept_for_ever(ledger: Ledger, older_than: timedelta) -> None:
    year = timedelta(days=365)
    due = {"often": (ago(MONTH + year), ago(year)), "monthly": (ago(2 * MONTH),), "odd": (ago(2 * MONTH), ago(-year))}
    rows = [{"kind": kind, "due_at": at, "job_id": "j", "cron": "* *"} for kind, all_ in due.items() for at in all_]
    await add(ledger, ticks, *rows)
    foreseen = await ledger.purge(older_than, dry_run=True)
    assert (await ledger.purge(older_than, dry_run=False))["ticks"] == foreseen["ticks"] == 1
    async with ledger.read() as connection:
        latest = await latest_ticks(connection, list(due), ago(timedelta(0)))
    # "odd" has a tick of a clock that was ahead, which tells nothing of what was missed.
    assert {kind: due_at for kind, (due_at, _) in latest.items()} == {
        "often": due["often"][-1],
        "monthly": due["monthly"][-1],
        "odd": due["odd"][0],
    }


async def test_many_jobs_go_in_one_purge_but_not_in_one_transaction(ledger: Ledger) -> None:
    await add_ended(ledger, *[ago(MONTH + MINUTE)] * 1_100)
    await add(
        ledger,
        ticks,
        *({"kind": "k", "due_at": ago(MONTH + n * MINUTE), "job_id": "j", "cron": "* * * * *"} for n in range(1_101)),
    )
    commits: list[Any] = []
    event.listen(engine_of(ledger.database), "commit", commits.append)
    purged = await ledger.purge(MONTH, dry_run=False)
    assert (purged["jobs"], purged["attempts"], purged["ticks"]) == (1_100, 2_200, 1_100)
    assert len(commits) >= 10
    rest = await counts(ledger)
    assert rest["ticks"] == 1, "the latest"
    assert not any(rest[table.name] for table in TABLES if table not in (tallies, ticks))


async def test_two_purges_at_once_count_each_row_once(ledger: Ledger) -> None:
    await add_ended(ledger, *[ago(MONTH + MINUTE)] * 700)
    both = await asyncio.gather(*(ledger.purge(MONTH, dry_run=False) for _ in range(2)))
    assert sum(purged["jobs"] for purged in both) == 700
    assert sum(purged["attempts"] for purged in both) == 1_400


async def test_a_job_that_is_replayed_meanwhile_keeps_its_attempts(ledger: Ledger) -> None:
    (job,) = await add_ended(ledger, ago(MONTH + MINUTE), state=State.FAILED)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=State.QUEUED, finished_at=None))
        purging = asyncio.create_task(ledger.purge(MONTH, dry_run=False))
        if ledger.database.dialect == "postgresql":
            await eventually(lambda: somebody_waits_for_a_lock(ledger))
    assert (await purging)["jobs"] == 0
    assert (await counts(ledger))["attempts"] == 2


async def somebody_waits_for_a_lock(ledger: Ledger) -> bool:
    async with ledger.read() as connection:
        waiting = await connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    return bool(waiting.scalar_one())


async def test_tallies_of_processes_long_gone_are_folded_and_totals_stay(ledger: Ledger) -> None:
    old, young = ago(timedelta(days=2)), ago(MINUTE)
    given = [("", old, 1), ("gone-1", old, 20), ("gone-2", old, 300), ("alive", young, 4_000)]
    rows = [
        {"writer": writer, "kind": kind, "event": "started", "count": count, "updated_at": at}
        for writer, at, count in given
        for kind in ("a", "b")
    ]
    await add(ledger, tallies, *rows)
    for _ in range(2):
        await ledger.purge(MONTH, dry_run=False)
        async with ledger.read() as connection:
            totals = set(await tally_totals(connection))
            writers = set((await connection.execute(select(tallies.c.writer))).scalars())
        assert totals == {("a", "started", 4_321), ("b", "started", 4_321)}
        assert writers == {"", "alive"}


ALL_OF_FLOWS = (job_edges, callbacks, callback_jobs, flows)


async def rows_of_flows(ledger: Ledger) -> list[int]:
    async with ledger.read() as connection:
        return [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one() for table in ALL_OF_FLOWS
        ]


async def test_a_job_takes_its_edges_and_callbacks_with_it_and_a_flow_goes_with_its_last_job(ledger: Ledger) -> None:
    flow = NewFlow("f", NOW, callbacks=(callback("end"),))
    one = new_job(flow="f", callbacks=(callback("end"),))
    other = child(one, flow="f")
    await enqueue_flow(ledger, flow, one, other)
    for job in (one, other):
        await end(ledger, job)
    assert await rows_of_flows(ledger) == [2, 2, 2, 1]
    [[_, of_job], [_, of_flow]] = [*await called(ledger, one.id), *await called(ledger, "f")]
    foreseen = await ledger.purge(MONTH, dry_run=True)
    gone = await ledger.purge(MONTH, dry_run=False)
    assert (foreseen["jobs"], gone["jobs"], gone["flows"]) == (2, 2, 1)
    assert await rows_of_flows(ledger) == [0, 0, 0, 0]
    for job_id in (of_job.id, of_flow.id):
        assert (await job_row(ledger, job_id))["state"] == "queued"


async def test_a_callback_that_is_purged_before_its_owner_is_forgotten(ledger: Ledger) -> None:
    parent, one = new_job(), new_job(callbacks=(callback("end"),))
    await enqueue(ledger, parent, one, child(one, parent))
    await end(ledger, one)
    [(_, row)] = await called(ledger, one.id)
    await end(ledger, row.id)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == one.id).values(finished_at=datetime.now(UTC)))
    assert (await ledger.purge(MONTH, dry_run=False))["jobs"] == 1
    assert (await rows_of_flows(ledger))[1:] == [1, 0, 0]


async def test_a_job_that_still_waits_for_others_or_is_to_be_followed_up_stays(ledger: Ledger) -> None:
    parent = new_job()
    cancelled = child(parent)
    failed = new_job()
    fallen = child(failed)
    left = child(fallen)
    await enqueue(ledger, parent, cancelled, failed, fallen, left)
    await ledger.cancel(cancelled.id, "test", NOW)
    await end(ledger, failed, State.FAILED)
    assert (await ledger.purge(MONTH, dry_run=False))["jobs"] == 1, "of which nothing is to come"
    assert await states(ledger, parent, cancelled, fallen, left) == ["queued", "cancelled", "cancelled", "blocked"]
    await follow_up(ledger)
    await end(ledger, parent)
    assert (await ledger.purge(MONTH, dry_run=False))["jobs"] == 4
    assert await rows_of_flows(ledger) == [0, 0, 0, 0]


async def test_a_child_outlives_its_parents(ledger: Ledger) -> None:
    one, other = new_job(), new_job()
    last = child(one, other)
    await enqueue(ledger, one, other, last)
    await end(ledger, one)
    await ledger.purge(MONTH, dry_run=False)
    assert await job_row(ledger, one.id) is None
    await end(ledger, other)
    await end(ledger, last)
