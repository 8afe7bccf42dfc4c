"""The reads and writes of flows, on a database with a long history of them."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.callbacks import Template
from service.ledger.database import Database
from service.ledger.models import Callback, Enqueue, Finish, NewFlow, NewJob
from service.ledger.reads import audit, edges, flow_graphs, flows, listing
from service.ledger.reads.listing import Filter
from service.ledger.records import purged
from service.ledger.records.cancelled import Cancel, record_cancelled
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.finished import record_finished
from service.ledger.records.flows import record_flows_purged
from service.ledger.records.followups import record_followups
from service.ledger.records.reopened import reopen
from service.ledger.records.replayed import Replay, record_replayed
from service.ledger.states import Outcome, State
from service.ledger.traits import Trait
from service.trail.reads import last_change
from tests.support.plans import Call
from tests.support.writing import writing

_LINKED = int(Trait.PARENTS | Trait.CHILDREN | Trait.CALLBACKS | Trait.FLOW_CALLBACKS)
_TEMPLATE = Template("k1", "default", "{}", 3).to_json()


async def fill_flows(database: Database) -> None:
    """Let the jobs of `plans.fill` be in flows of ten, each ended one linked to the next; ten jobs wait for each that
    runs, and five for each that has failed.
    """
    number = "CAST(substr(id, instr(id, '-') + 1) AS INTEGER)"
    if database.dialect == "postgresql":
        number = "CAST(split_part(id, '-', 2) AS INTEGER)"
    wait = (
        "'blocked-' || runs.id || '-' || ten.n, 'k1', 'blocked', 'default', '{}', 3, runs.created_at, runs.run_at,"
        f" {_LINKED}, 1"
    )
    fell = wait.replace("blocked-", "fell-").replace("'blocked'", "'cancelled'").replace(", 1", ", 0")
    ten = "(SELECT row_number() OVER () AS n FROM workers LIMIT 10) AS ten"
    columns = "id, kind, state, queue, args, max_attempts, created_at, run_at, traits, blocked_by"
    filling = [
        f"INSERT INTO jobs ({columns}) SELECT {wait} FROM jobs AS runs, {ten} WHERE runs.state = 'running'",
        f"INSERT INTO jobs ({columns}, error_type, finished_at) SELECT {fell}, 'ParentFailed', runs.finished_at"
        f" FROM jobs AS runs, {ten} WHERE runs.state = 'failed' AND n <= 5",
        f"UPDATE jobs SET traits = {_LINKED}, flow = 'f-' || ({number} / 10)"
        " WHERE id LIKE 'done-%' OR id LIKE 'runs-%' OR id LIKE 'waits-%'",
        "UPDATE job_listing SET flow = (SELECT flow FROM jobs WHERE id = job_id)",
        "INSERT INTO flows (id, live, traits, created_at) SELECT flow, 10, 4, min(created_at) FROM jobs"
        " WHERE flow IS NOT NULL GROUP BY flow",
        "INSERT INTO job_edges (parent, child, run_when, state) SELECT id, 'done-' || ("
        + number
        + " + 1), 'succeeded',"
        " 'met' FROM jobs WHERE id LIKE 'done-%'",
        "INSERT INTO flows (id, traits, created_at) SELECT 'empty-' || id, 4, created_at FROM jobs"
        " WHERE id LIKE 'done-%'",
        "INSERT INTO job_edges (parent, child, run_when, state) SELECT substr(id, 9, length(id) - 8 -"
        " (CASE WHEN id LIKE '%-10' THEN 3 ELSE 2 END)), id, 'succeeded', 'open' FROM jobs WHERE id LIKE 'blocked-%'",
        "INSERT INTO job_edges (parent, child, run_when, state) SELECT substr(id, 6, length(id) - 7), id, 'succeeded',"
        " 'broken' FROM jobs WHERE id LIKE 'fell-%'",
        f"INSERT INTO callbacks (owner, event, template) SELECT id, 'end', '{_TEMPLATE}' FROM jobs WHERE traits > 0",
        f"INSERT INTO callbacks (owner, event, template) SELECT id, 'end', '{_TEMPLATE}' FROM flows",
        "INSERT INTO callback_jobs (owner, event, job_id, recorded_at) SELECT id, 'end', 'called-' || id, created_at"
        " FROM jobs WHERE id LIKE 'done-%'",
        "INSERT INTO followups (job_id, since) SELECT id, created_at FROM jobs WHERE state = 'failed' LIMIT 50",
    ]
    for statement in filling:
        async with writing(database) as connection:
            await connection.exec_driver_sql(statement)
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


async def _enqueue(connection: AsyncConnection, now: datetime) -> object:
    """Enqueue a flow after running, succeeded and failed jobs, and a job with a unique key twice."""
    parents = [f"{sort}-{n}" for sort in ("runs", "waits", "done") for n in range(1, 34)]
    callbacks = (Callback("end", _TEMPLATE),)
    new = [
        NewJob(
            f"new-{n}",
            "k1",
            State.QUEUED,
            "default",
            "{}",
            now,
            now,
            3,
            after=(parent,),
            flow="new",
            callbacks=callbacks,
        )
        for n, parent in enumerate(parents)
    ]
    twice = [
        NewJob(f"twice-{n}", "k1", State.QUEUED, "default", "{}", now, now, 3, unique_key="twice", flow="f-1")
        for n in range(2)
    ]
    last = NewJob("last", "k1", State.QUEUED, "default", "{}", now, now, 3, after=("twice-1", "new-0"))
    requests = [
        Enqueue(tuple(new), "w", flow=NewFlow("new", now, callbacks=callbacks)),
        Enqueue((*twice, last), "w"),
        Enqueue((NewJob("no", "k1", State.QUEUED, "default", "{}", now, now, 3, after=("none",)),), "w"),
    ]
    return await connection.run_sync(record_enqueued, requests)


async def _finish(connection: AsyncConnection, now: datetime) -> object:
    ids = [f"runs-{n}" for n in range(1, 101)]
    states = (State.SUCCEEDED, State.FAILED)
    ended = [Finish(one, "k1", 1, "w0", Outcome.SUCCEEDED, states[n % 2], now) for n, one in enumerate(ids)]
    return await connection.run_sync(record_finished, ended)


async def _cancel(connection: AsyncConnection, now: datetime) -> object:
    ids = [f"waits-{n}" for n in range(1, 101)] + [f"blocked-runs-{n}-1" for n in range(1, 101)]
    return await connection.run_sync(record_cancelled, [Cancel(one, "w", now) for one in ids])


async def _replay(connection: AsyncConnection, now: datetime) -> object:
    ids = [f"done-{n}" for n in range(10, 1_000, 10)] + [f"fell-done-{n}-1" for n in range(10, 1_000, 10)]
    await connection.run_sync(record_replayed, [Replay(one, now) for one in ids])
    return await connection.run_sync(record_followups, now, "w")


async def _delete(connection: AsyncConnection, _now: datetime) -> object:
    return await connection.run_sync(purged.delete_jobs, [f"done-{n}" for n in range(1, 501)], ())


FLOW_CALLS: Mapping[str, Call] = {
    "enqueue after others (100)": _enqueue,
    "finish parents (100)": _finish,
    "cancel parents and children (200)": _cancel,
    "replay parents and children, and follow up": _replay,
    "follow up (50)": lambda c, now: c.run_sync(record_followups, now, "w"),
    "is there anything to follow up?": lambda c, _: edges.has_followups(c),
    "what has ended without a followup?": lambda c, now: edges.unfollowed_parents(c, now, edges.FIRST_PLACE, 500),
    "which parent has failed?": lambda c, _: edges.broken_parent(c, "fell-done-10-1"),
    "the jobs of a flow": lambda c, now: flow_graphs.jobs_of_graph(c, "f-100", (now - timedelta(days=900), ""), 201),
    "what holds a flow up": lambda c, _: flow_graphs.jobs_of_graph(c, "f-100", None, 20, (State.FAILED, State.RUNNING)),
    "what they wait for (200)": lambda c, _: flow_graphs.edges_to(c, [f"done-{n}" for n in range(200)]),
    "a page of flows": lambda c, now: flow_graphs.page_of_flows(c, (now - timedelta(hours=1), ""), 50),
    "purge: delete (500)": _delete,
    "purge: flows": lambda c, now: c.run_sync(record_flows_purged, now - timedelta(days=20), 500),
    "audit: count": audit.count_unaccounted,
    "audit: name": lambda c, now: audit.find_unaccounted(c, now, 20),
}

_IDS = [f"done-{n}" for n in range(1, 1_001)]


async def _relations(connection: AsyncConnection, _now: object) -> object:
    rows = [{"id": one, "traits": int(flows.RELATED)} for one in _IDS[:100]]
    return await flows.relations_of(connection, rows)  # type: ignore[arg-type]  # rows, as far as it reads them


FLOW_READS: Mapping[str, Call] = {
    "relations of jobs (100)": _relations,
    "open parents (1,000)": lambda c, _: flows.open_parents(c, _IDS),
    "a flow": lambda c, _: flows.get_flow(c, "flow-1"),
    "flows": lambda c, _: flows.list_flows(c, None, 51),
    "the next page of flows": lambda c, now: flows.list_flows(c, (now - timedelta(days=1), "flow-1"), 51),
    "last replay": lambda c, _: last_change(c, "replay", "flow", "flow-1"),
    "counts of flows (10)": lambda c, _: flows.counts_of(c, [f"flow-{n}" for n in range(10)]),
    "jobs of a flow": lambda c, _: flows.jobs_of_flow(c, "flow-1", None, 101),
    "the next page of its jobs": lambda c, now: flows.jobs_of_flow(c, "flow-1", (now - timedelta(days=1), "x"), 101),
    "their parents": lambda c, _: flows.parents_in_flow(c, "flow-1", _IDS),
    "what lives in a flow": lambda c, now: flows.live_in_flow(c, "flow-1", (now, "x"), 500),
    "what may be replayed": lambda c, now: flows.replayable_in_flow(c, "flow-1", (now - timedelta(9), "x"), 500),
    "open edges of jobs that are replayed (1,000)": lambda c, _: c.run_sync(reopen, {*_IDS}),
    "callbacks of a flow": lambda c, _: flows.callbacks_of(c, ["done-1"]),
    "jobs of a flow, as a list": lambda c, _: listing.list_jobs(c, Filter(flow="flow-1"), 51),
    "the same, in a state and with a tag": lambda c, _: listing.list_jobs(
        c, Filter(flow="flow-1", states=("failed",), tag="t"), 51
    ),
}

_TABLES = "job_edges|callbacks|callback_jobs|flows|job_listing"


def walks_of_flows(plan: str) -> list[str]:
    """Return the lines of a plan that read rows of a flow table other than the wanted ones."""
    lines = plan.splitlines()
    walks = [line for line in lines if re.search(rf"Seq Scan on ({_TABLES})\b|^SCAN ({_TABLES})\b", line)]
    by_index = re.compile(rf"Index (Only )?Scan using \w+ on ({_TABLES})\b|Bitmap Index Scan on ({_TABLES})")
    walks += [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=False)
        if by_index.search(line) and "Index Cond" not in following
    ]
    return walks
