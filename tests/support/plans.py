"""The statements of housekeeping, as they are sent to a database with a long history, and their plans."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from service.feature import belongings_of
from service.features import FEATURES
from service.ledger.database import Database
from service.ledger.models import Enqueue, Failure, Finish, NewJob, Start
from service.ledger.reads import audit, counts, dispatching, lanes, operations, standing
from service.ledger.reads import jobs as queries
from service.ledger.reads.group_names import group_names
from service.ledger.reads.held_back import held_back
from service.ledger.reads.idempotency import key_made_with
from service.ledger.reads.labels import find_label, list_labels
from service.ledger.reads.lane_ages import count_arrivals, first_waiting, oldest_in_lanes
from service.ledger.reads.listing import Filter
from service.ledger.reads.retention import oldest_ends
from service.ledger.reads.standings import standings_of
from service.ledger.reads.sweep_lease import read_lease
from service.ledger.reads.tick_jobs import jobs_of_ticks
from service.ledger.reads.workers import is_anybody_silent, orphans, running_under, wishes_of
from service.ledger.records import purged as purge
from service.ledger.records.cancelled import Cancel, record_cancelled
from service.ledger.records.dispatched import record_dispatched
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.expired import record_expired
from service.ledger.records.finished import record_finished
from service.ledger.records.lanes import (
    Breaker,
    record_breakers,
    record_forgotten,
    record_rebuild,
    record_rule,
    record_rule_deleted,
    running_behind_fence,
)
from service.ledger.records.operations import are_all_in
from service.ledger.records.progressed import Progress, record_progress
from service.ledger.records.promoted import record_promoted
from service.ledger.records.replayed import Replay, record_replayed
from service.ledger.records.started import record_started
from service.ledger.records.workers import record_dead
from service.ledger.states import Outcome, State
from tests.support.writing import writing

EPOCH = "epoch-5"
_LIMIT = 1_000
_CHUNK = 50_000
# The ways in to `jobs` whose cost does not grow with the history: by id, and the partial indexes on what is live.
WAYS_IN = {"jobs_pkey", "sqlite_autoindex_jobs_1", "jobs_by_epoch", "jobs_due", "jobs_expiring", "jobs_running"}
# Purge looks at the history on purpose, from its oldest end.
WAYS_IN |= {"jobs_finished", "jobs_failed"}
# Each of its rows is asked for by name.
WAYS_IN |= {"jobs_unique_key", "jobs_unique_for", "jobs_by_arq_id"}
# Live jobs, by lane.
WAYS_IN |= {"jobs_in_lane", "jobs_in_kind_lane"}
# Those that are blocked, the oldest first.
WAYS_IN |= {"jobs_blocked"}

Call = Callable[[AsyncConnection, datetime], Awaitable[object]]


@dataclass(frozen=True)
class Sent:
    """A statement as the driver got it."""

    sql: str
    parameters: tuple[Any, ...]


async def fill(database: Database, *, terminal: int, waiting: int) -> None:
    """Make a history of `terminal` jobs, each with an attempt, `waiting` ones, and 100 that run; on an empty ledger.

    Of the waiting, three in five are on the queue, the others due in an hour. Half of all jobs name a lane, and as many
    are in one of their kind.
    """
    for statement in _filling(database.dialect, terminal, waiting):
        async with writing(database) as connection:
            await connection.exec_driver_sql(statement)
    if database.dialect == "postgresql":  # as its autovacuum does; SQLite never gathers statistics by itself
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


# Pairs of jobs, so that all sorts there are of them are in both lanes, in one, and in none.
_IN_LANES = (
    "CASE WHEN n % 4 < 2 THEN 'tenant:' || (n % 50) END, CASE WHEN n % 4 IN (0, 3) THEN 'host:' || (n % 20) END,"
    " CASE WHEN n % 4 <> 2 THEN n END, CASE WHEN n % 4 IN (0, 3) THEN 'shop.f' || (n % 20) END"
)


def ago_on(dialect: str, seconds: str) -> str:
    """Return the moment that was this many seconds ago, in SQL."""
    if dialect == "sqlite":
        return f"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', printf('%+f seconds', -({seconds})))"
    return f"now() - ({seconds}) * interval '1 second'"


def _filling(dialect: str, terminal: int, waiting: int) -> list[str]:
    ago = partial(ago_on, dialect)

    def numbers(last: int, first: int = 1) -> str:
        if dialect == "sqlite":
            series = f"SELECT {first} AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}"
            return f"(WITH RECURSIVE numbers AS ({series}) SELECT n FROM numbers) AS numbers"
        return f"generate_series({first}, {last}) AS numbers(n)"

    columns = (
        "id, kind, state, queue, args, max_attempts, attempt, worker, dispatch_epoch, error_type,"
        " lane, kind_lane, lane_seq, label, created_at, run_at"
    )
    common = "'k' || (n % 10), {state}, 'default', '{{}}', 3, {attempt}, {worker}, {epoch}, {error}, " + _IN_LANES
    done = common.format(
        state="CASE n % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'succeeded' END",
        attempt=1,
        worker="'w' || (n % 2)",
        epoch="''",
        error="CASE WHEN n % 10 = 0 THEN CASE WHEN n % 20 = 0 THEN 'ValueError' ELSE 'KeyError' END END",
    )
    waits = common.format(
        state="CASE WHEN n % 5 < 3 THEN 'queued' ELSE 'scheduled' END",
        attempt=0,
        worker="NULL",
        epoch=f"CASE WHEN n % 5 < 3 THEN '{EPOCH}' ELSE '' END",
        error="NULL",
    )
    runs = common.format(state="'running'", attempt=1, worker="'w' || (n % 2)", epoch="''", error="NULL")
    # Each is a transaction of its own, within the time that a statement may take.
    chunks = [(first, min(first + _CHUNK - 1, terminal)) for first in range(1, terminal + 1, _CHUNK)]
    when_done, due = ago("n % 2500000 + 100"), ago("CASE WHEN n % 5 < 3 THEN 100 ELSE -3600 END")
    return [
        "INSERT INTO workers (id, hostname, pid, queues, started_at, heartbeat_at, beating_since, ended_at) "
        f"SELECT 'w' || (n - 1), 'h', 1, 'default', {ago('9000')}, {ago('0')}, {ago('9000')}, "
        f"CASE WHEN n > 2 THEN {ago('60')} END FROM {numbers(20)}",
        "INSERT INTO sweep_lease (id, leader, leased_until, epoch, swept_at, swept_since) "
        f"VALUES (1, 'w0', {ago('-5')}, '{EPOCH}', {ago('1')}, {ago('9000')})",
        *(
            f"INSERT INTO jobs ({columns}, started_at, finished_at) "
            f"SELECT 'done-' || n, {done}, {', '.join([when_done] * 4)} FROM {numbers(last, first)}"
            for first, last in chunks
        ),
        f"INSERT INTO jobs ({columns}) SELECT 'waits-' || n, {waits}, {ago('100')}, {due} FROM {numbers(waiting)}",
        f"INSERT INTO jobs ({columns}, started_at) "
        f"SELECT 'runs-' || n, {runs}, {ago('100')}, {ago('100')}, {ago('90')} FROM {numbers(100)}",
        *(
            "INSERT INTO job_listing (created_at, job_id, kind, queue, lane, kind_lane, label)"
            " SELECT created_at, id, kind, queue, lane, kind_lane, label FROM"
            f" {numbers(last, first)} JOIN jobs ON id = '{sort}-' || n"
            for sort, first, last in (*(("done", *chunk) for chunk in chunks), ("waits", 1, waiting), ("runs", 1, 100))
        ),
        "INSERT INTO tallies (writer, kind, event, count, updated_at) SELECT DISTINCT 'w', label, 'enqueued', 1,"
        f" {ago('0')} FROM {numbers(100)} JOIN jobs ON id = 'runs-' || n WHERE label IS NOT NULL",
        f"INSERT INTO lanes (key, concurrency, updated_at) SELECT 'tenant:' || n, 1, {ago('n')} FROM {numbers(2_000)}",
        "INSERT INTO lanes_epoch (id, epoch) VALUES (1, 'epoch-5')",
        *(
            "INSERT INTO attempts (job_id, number, outcome, worker, started_at, finished_at) "
            f"SELECT 'done-' || n, 1, 'succeeded', 'w0', {when_done}, {when_done} FROM {numbers(last, first)}"
            for first, last in chunks
        ),
        "INSERT INTO ticks (kind, due_at, cron, job_id) "
        f"SELECT 'k', {ago('n')}, '* * * * *', 'j' FROM {numbers(10_000)}",
        "INSERT INTO idempotency_keys (key, fingerprint, job_id, created_at, expires_at) "
        f"SELECT 'k' || n, 'f', 'j', {ago('0')}, {ago('-9000')} FROM {numbers(10_000)}",
    ]


async def _note(connection: AsyncConnection, _now: datetime) -> None:
    await connection.run_sync(record_dispatched, [(f"waits-{n}", 0) for n in range(1, _LIMIT)], "epoch-6")


async def _still_waiting(connection: AsyncConnection, _now: datetime) -> object:
    return await dispatching.still_waiting(connection, [(f"waits-{n}", 0) for n in range(1, _LIMIT)])


async def _cursor(connection: AsyncConnection, now: datetime) -> object:
    return await dispatching.dispatched(connection, EPOCH, (now - timedelta(days=1), ""), 2_000)


async def _choose_for_purge(connection: AsyncConnection, now: datetime) -> object:
    before, place = now - timedelta(days=30), (now - timedelta(days=300), "done-1")
    return [
        await oldest_ends(connection, before, after, 500, failed=failed)
        for after in (None, place)
        for failed in (True, False)
    ]


async def _delete(connection: AsyncConnection, _now: datetime) -> object:
    ids = [f"done-{n}" for n in range(1, 501)]
    return await connection.run_sync(purge.delete_jobs, ids, belongings_of(FEATURES))


async def _enqueue(connection: AsyncConnection, now: datetime) -> object:
    """Enqueue jobs twice: the second time, others hold their unique keys."""
    keys = [f"key-{n}" for n in range(100)]
    for again in ("", "again-"):
        new = [
            NewJob(f"{again}{key}", "k1", State.QUEUED, "default", "{}", now, now, 3, unique_key=key) for key in keys
        ]
        enqueued = await connection.run_sync(record_enqueued, [Enqueue(tuple(new), "w")])
    return enqueued


async def _start(connection: AsyncConnection, now: datetime) -> object:
    ids = tuple(f"waits-{n}" for n in range(1, 501))
    return await connection.run_sync(record_started, [Start(ids, "w0", ("k1", "k2"), now)])


async def _start_unclaimed(connection: AsyncConnection, now: datetime) -> object:
    ids = tuple(f"waits-{n}" for n in range(1, 101))
    start = Start(ids, "w0", ("k1", "k2"), now, queues=("default",), handed_over=True)
    return await connection.run_sync(record_started, [start])


async def _start_in_lanes(connection: AsyncConnection, now: datetime) -> object:
    ids = tuple(f"waits-{n}" for n in range(1, 501))
    return await connection.run_sync(record_started, [Start(ids, "w0", ("k1", "k2"), now, lanes_epoch="epoch-5")])


async def _start_strictly(connection: AsyncConnection, now: datetime) -> object:
    ids = tuple(f"waits-{n}" for n in range(1, 101))
    strict = tuple((job_id, lane) for job_id in ids for lane in ("tenant:1", "host:1"))
    start = Start(ids, "w0", ("k1", "k2"), now, lanes_epoch="epoch-5", strict=strict)
    return await connection.run_sync(record_started, [start])


async def _enqueue_in_lanes(connection: AsyncConnection, now: datetime) -> object:
    new = [
        NewJob(f"new-{n}", "k1", State.QUEUED, "default", "{}", now, now, 3, lane="tenant:1", kind_lane="host:1")
        for n in range(100)
    ]
    return await connection.run_sync(record_enqueued, [Enqueue(tuple(new), "w")])


async def _enqueue_in_one_lane(connection: AsyncConnection, now: datetime) -> object:
    new = [NewJob(f"new-{n}", "k1", State.QUEUED, "default", "{}", now, now, 3, lane="tenant:1") for n in range(100)]
    return await connection.run_sync(record_enqueued, [Enqueue(tuple(new), "w")])


async def _say(connection: AsyncConnection, now: datetime) -> object:
    await connection.run_sync(record_breakers, [Breaker("host:1", "open", now, 1)], now)
    await connection.run_sync(record_rule, "host:1", {"paused": True}, now)
    return await connection.run_sync(record_rule_deleted, "tenant:1")


async def _finish(connection: AsyncConnection, now: datetime) -> object:
    ids = [f"runs-{n}" for n in range(1, 101)]
    ended = [Finish(one, "k1", 1, "w0", Outcome.SUCCEEDED, State.SUCCEEDED, now) for one in ids]
    return await connection.run_sync(record_finished, ended)


async def _finish_with_failures(connection: AsyncConnection, now: datetime) -> object:
    ids = [f"runs-{n}" for n in range(1, 101)]
    failure, retried = Failure("E", "no"), (Outcome.FAILED, State.RETRYING, now, 1, 0, now)
    ended = [Finish(one, "k1", 1, "w0", *retried, failure=failure, fingerprint="f" * 16) for one in ids]
    return await connection.run_sync(record_finished, ended)


_SOME = [f"{sort}-{n}" for sort in ("waits", "runs", "done") for n in range(1, 67)]
CALLS: Mapping[str, Call] = {
    "start (500)": _start,
    "start what no claim has chosen (100)": _start_unclaimed,
    "start in lanes (500)": _start_in_lanes,
    "start in strict lanes (100)": _start_strictly,
    "enqueue in lanes (100)": _enqueue_in_lanes,
    "enqueue in one lane (100)": _enqueue_in_one_lane,
    "say things of lanes": _say,
    "forget what is over of lanes": lambda c, now: c.run_sync(record_forgotten, now - timedelta(hours=1)),
    "is there anything to forget?": lambda c, now: lanes.has_forgettable(c, now - timedelta(hours=1)),
    "rebuild lanes": lambda c, _: c.run_sync(record_rebuild, "epoch-6"),
    "which of these run? (1,000)": lambda c, _: lanes.running_among(c, [f"waits-{n}" for n in range(_LIMIT)]),
    "the same behind the fence": lambda c, _: c.run_sync(running_behind_fence, [f"waits-{n}" for n in range(_LIMIT)]),
    "which run, behind the fence? (1,000)": lambda c, _: c.run_sync(
        running_behind_fence, {f"waits-{n}" for n in range(_LIMIT)}
    ),
    "for which epoch are lanes built?": lambda c, _: lanes.recorded_epoch(c),
    "how they stand in lanes (198)": lambda c, _: lanes.standing_in_lanes(c, _SOME),
    "which jobs bring an order": lambda c, _: lanes.bring_order(c, after="host:1"),
    "the head of a lane": lambda c, _: lanes.strict_head(c, "tenant:1"),
    "count in lanes (50)": lambda c, _: lanes.count_in_lanes(c, [f"tenant:{n}" for n in range(50)]),
    "a page of lanes": lambda c, now: lanes.lane_keys(c, now, prefix="host:", after="host:1", limit=50),
    "is a lane known?": lambda c, _: lanes.is_known(c, "tenant:none"),
    "rules for lanes (50)": lambda c, _: lanes.rules_for(c, [f"tenant:{n}" for n in range(50)]),
    "the first in lanes (50)": lambda c, _: lanes.first_in_lanes(c, [f"tenant:{n}" for n in range(50)]),
    "the oldest in lanes (50)": lambda c, now: oldest_in_lanes(c, [f"tenant:{n}" for n in range(50)], now),
    "arrivals in a lane": lambda c, now: count_arrivals(c, "tenant:1", now - timedelta(minutes=1)),
    "with which key was it made?": lambda c, now: key_made_with(c, ["j-1", "flow"], now),
    "whose turns come next in a lane": lambda c, _: first_waiting(c, "tenant:1", 10),
    "what is held back": held_back,
    "count by queue": counts.count_by_queue,
    "what comes due next": lambda c, _: standing.next_due(c),
    "the labels": lambda c, _: list_labels(c, 500),
    "is a label known?": lambda c, _: find_label(c, "shop.f1"),
    "is a label known that is not?": lambda c, _: find_label(c, "shop.none"),
    "are lanes in use?": lanes.has_lanes,
    "finish (100)": _finish,
    "finish with failures (100)": _finish_with_failures,
    "enqueue (100)": _enqueue,
    "cancel (198)": lambda c, now: c.run_sync(record_cancelled, [Cancel(one, "w", now) for one in _SOME]),
    "the states of members (198)": lambda c, _: c.run_sync(are_all_in, _SOME, list(State)),
    "replay (198)": lambda c, now: c.run_sync(record_replayed, [Replay(one, now) for one in _SOME]),
    "progress (198)": lambda c, _: c.run_sync(record_progress, [Progress(one, 1, 1, 2) for one in _SOME]),
    "how they stand (198)": lambda c, _: standings_of(c, _SOME),
    "have they changed? (198)": lambda c, _: queries.versions_of(c, _SOME),
    "look a job up": lambda c, _: queries.get_job(c, "done-1"),
    "its attempts": lambda c, _: queries.get_attempts(c, ["done-1"]),
    "read the lease": lambda c, _: read_lease(c),
    "has anything come due?": dispatching.has_come_due,
    "promote what is due": lambda c, now: c.run_sync(record_promoted, now, _LIMIT),
    "fail what has expired": lambda c, now: c.run_sync(record_expired, "w", now, _LIMIT),
    "is anybody silent?": is_anybody_silent,
    "declare the silent dead": lambda c, now: c.run_sync(record_dead, "w0", now),
    "find orphans": lambda c, _: orphans(c, _LIMIT),
    "find the undispatched": lambda c, now: dispatching.undispatched(c, EPOCH, now, _LIMIT),
    "the same after a wipe (1,000)": lambda c, now: dispatching.undispatched(c, "epoch-6", now, _LIMIT),
    "note them dispatched (1,000)": _note,
    "the cursor's page (2,000)": _cursor,
    "which still wait? (1,000)": _still_waiting,
    "audit: count": audit.count_unaccounted,
    "audit: name": lambda c, now: audit.find_unaccounted(c, now, 20),
    "what is wished of a worker": lambda c, _: wishes_of(c, "w1"),
    "what runs under a worker": lambda c, _: running_under(c, "w1"),
    "operations under way": lambda c, _: operations.live_operations(c, 20),
    "what became of a replay": lambda c, _: operations.aftermath_of(c, "op"),
    "what failed again in it": lambda c, _: operations.failed_again(c, "op", 50),
    "the jobs of ticks (198)": lambda c, _: jobs_of_ticks(c, _SOME),
    "the names of groups": lambda c, _: group_names(c, ["f1", "f2"]),
    "purge: choose": _choose_for_purge,
    "purge: delete (500)": _delete,
}


_AGO = timedelta(hours=1)
LISTS: Mapping[str, Callable[[datetime], Filter]] = {
    "all": lambda _: Filter(),
    "of a kind": lambda _: Filter(kinds=("k1",)),
    "of a queue": lambda _: Filter(queues=("default",)),
    "in a state": lambda _: Filter(states=("succeeded",)),
    "in a state of few": lambda _: Filter(states=("failed",)),
    "of a kind, in a state": lambda _: Filter(kinds=("k1",), states=("succeeded",)),
    "of a kind, in a state of few": lambda _: Filter(kinds=("k1",), states=("failed",)),
    "with a tag": lambda _: Filter(tag="t"),
    "with a tag, of a kind": lambda _: Filter(tag="t", kinds=("k1",)),
    "in a lane, of a tag": lambda _: Filter(lane="host:1", tag="t"),
    "of a time": lambda now: Filter(created_after=now - 2 * _AGO, created_before=now - _AGO),
    "the next page": lambda now: Filter(after=(now - _AGO, "done-1")),
    "oldest first": lambda _: Filter(ascending=True),
    "of a state, oldest first": lambda _: Filter(states=("failed",), ascending=True),
    "ended after": lambda now: Filter(finished_after=now - 50 * _AGO),
    "ended before, oldest first": lambda now: Filter(finished_before=now - _AGO, ascending=True),
    "ended after, in a state of few": lambda now: Filter(finished_after=now - 50 * _AGO, states=("failed",)),
    "the next page by the end": lambda now: Filter(finished_after=now - 50 * _AGO, after=(now - _AGO, "done-1")),
    "the next page of a state": lambda now: Filter(states=("succeeded",), after=(now - _AGO, "done-1")),
}


# Read from several ranges of an index, whose pages are then sorted together; or of a range that
# the planner takes for small, where sorting it may be the shorter way.
MERGED: Mapping[str, Callable[[datetime], Filter]] = {
    "of a label": lambda _: Filter(kinds=("shop.f3",)),
    "of labels and kinds": lambda _: Filter(kinds=("shop.f3", "k1", "shop.f4")),
    "of a label, in a state of few": lambda _: Filter(kinds=("shop.f3",), states=("failed",)),
    "in a lane": lambda _: Filter(lane="host:1"),
    "in a lane, in a state": lambda _: Filter(lane="host:1", states=("succeeded",)),
    "in a lane, of a kind": lambda _: Filter(lane="host:1", kinds=("k1",)),
    "in a lane, in a state of few": lambda _: Filter(lane="host:1", states=("failed",)),
    "the next page of a lane": lambda now: Filter(lane="host:1", after=(now - _AGO, "done-1")),
    "in several states": lambda _: Filter(states=("failed", "cancelled", "queued")),
    "in all states": lambda _: Filter(states=tuple(State)),
    "of several kinds": lambda _: Filter(kinds=("k1", "k2")),
    "of several kinds, in states": lambda _: Filter(kinds=("k1", "k2"), states=("succeeded", "failed")),
    "of several queues": lambda _: Filter(queues=("default", "other")),
    "with several errors": lambda _: Filter(error_types=("ValueError", "KeyError")),
    "ended after, in a state": lambda now: Filter(finished_after=now - 50 * _AGO, states=("succeeded",)),
    "ended after, of a kind": lambda now: Filter(finished_after=now - 50 * _AGO, kinds=("k1",)),
    "ended after, with a tag": lambda now: Filter(finished_after=now - 50 * _AGO, tag="t"),
    "ended after, with an error": lambda now: Filter(finished_after=now - 50 * _AGO, error_types=("KeyError",)),
    "with an error": lambda _: Filter(error_types=("ValueError",)),
    "of a group of failures": lambda _: Filter(fingerprint="f" * 16),
    "of a group of failures, in a state": lambda _: Filter(fingerprint="f" * 16, states=("failed",)),
    "with an error, in a state": lambda _: Filter(error_types=("ValueError",), states=("failed",)),
    "with an error, of a kind": lambda _: Filter(error_types=("ValueError",), kinds=("k1",)),
    "with an error that is long": lambda _: Filter(error_types=("E" * 300,)),
    "ended after, in several states": lambda now: Filter(
        finished_after=now - 50 * _AGO, states=("failed", "succeeded", "cancelled")
    ),
    "the next page of several states": lambda now: Filter(
        states=("failed", "succeeded"), after=(now - _AGO, "done-1"), ascending=True
    ),
}


async def sent_by(database: Database, call: Call) -> list[Sent]:
    """Make a call in a transaction that is rolled back; return what was sent."""
    async with database._for_jobs.connect() as connection:
        now = await database.now(connection)
        with _noting(database) as sent:
            await call(connection, now)
        await connection.rollback()
    return sent


@contextmanager
def _noting(database: Database) -> Iterator[list[Sent]]:
    sent: list[Sent] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, is_many: bool) -> None:
        if not sql.startswith(("BEGIN", "PRAGMA")):
            sent.append(Sent(sql, tuple(parameters[0] if is_many else parameters)))

    event.listen(database._for_jobs.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database._for_jobs.sync_engine, "before_cursor_execute", note)


async def plans_of(database: Database, sent: Sent, *, avoid_walks: bool = False) -> list[str]:
    """Explain a statement, without doing it; on Postgres also as it is planned for any parameters.

    With `avoid_walks` Postgres walks through a table only where no index serves, however small the table is.
    """
    async with database._reader.connect() as connection:
        if database.dialect == "sqlite":
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sent.sql}", sent.parameters)
            return ["\n".join(row.detail for row in rows)]
        if avoid_walks:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        custom = await connection.exec_driver_sql(f"EXPLAIN {sent.sql}", sent.parameters)
        plans = ["\n".join(custom.scalars())]
        if sent.parameters:
            await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.exec_driver_sql(f"PREPARE explained AS {sent.sql}")
            nothing = ", ".join(["NULL"] * len(sent.parameters))
            generic = await connection.exec_driver_sql(f"EXPLAIN EXECUTE explained ({nothing})")
            plans.append("\n".join(generic.scalars()))
            await connection.exec_driver_sql("DEALLOCATE explained")
        return plans


def sorts_or_walks(plan: str) -> bool:
    """Whether a plan for a page looks at rows beyond its end. (SQLite scans `job_listing` in its order.)"""
    return re.search(r"\bSort\b|TEMP B-TREE|Seq Scan|^SCAN (jobs|job_tags)$", plan, re.M) is not None


def walks(plan: str) -> bool:
    """Whether a plan for a page looks at rows outside of the ranges that the page is made of."""
    return re.search(r"Seq Scan|^SCAN (jobs|job_tags)\b", plan, re.M) is not None


_GROWING = "jobs|attempts|job_edges|job_listing|flows|followups|ticks"


def whole_walks(plan: str) -> Sequence[str]:
    """Return the lines of a Postgres plan that read a whole table that grows, by its primary key."""
    return re.findall(rf"Index (?:Only )?Scan using \w+_pkey on (?:{_GROWING})\b.*(?=\n(?!\s*Index Cond))", f"{plan}\n")


def bad_ways_in(plan: str) -> Sequence[str]:
    """Return the lines of a plan that read `jobs` in a way whose cost grows with the history."""
    bad = []
    for line in plan.splitlines():
        if re.search(r"Seq Scan on (jobs|attempts)\b|^SCAN (jobs|attempts)$", line):
            bad.append(line)
        used = re.findall(r"(?:INDEX|using|on) (jobs_\w+|sqlite_autoindex_jobs_1)", line)
        bad += [line for index in used if index not in WAYS_IN]
    return bad
