"""What is read of flows costs what the flow has, and not what the ledger has."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.reads import flows, listing
from service.ledger.reads.listing import Filter
from service.ledger.records.reopened import reopen
from service.ledger.states import State
from tests.support.plans import Call, fill, plans_of, sent_by
from tests.support.writing import writing

# A hundred flows of a hundred jobs among twenty thousand jobs, each job after the one before it.
_FLOW_OF = "'flow-' || (CAST(substr(job_id, 6) AS INTEGER) % 100)"
_FILL = (
    f"UPDATE job_listing SET flow = {_FLOW_OF}, flow_name = job_id"
    " WHERE job_id LIKE 'done-%' AND CAST(substr(job_id, 6) AS INTEGER) <= 10000",
    "UPDATE jobs SET flow = (SELECT flow FROM job_listing WHERE job_id = jobs.id AND created_at = jobs.created_at)"
    " WHERE id LIKE 'done-%'",
    "INSERT INTO flows (id, created_at) SELECT flow, min(created_at) FROM job_listing WHERE flow IS NOT NULL"
    " GROUP BY flow",
    "INSERT INTO job_edges (parent, child, run_when, state)"
    " SELECT 'done-' || CAST(substr(id, 6) AS INTEGER), 'done-' || (CAST(substr(id, 6) AS INTEGER) + 100), 'ended',"
    " CASE WHEN id LIKE '%7' THEN 'open' WHEN id LIKE '%8' THEN 'broken' ELSE 'met' END FROM jobs"
    " WHERE id LIKE 'done-%'",
    "INSERT INTO callbacks (owner, event, template) SELECT id, 'end', '{}' FROM jobs WHERE id LIKE 'done-%'",
    "INSERT INTO callback_jobs (owner, event, job_id, recorded_at)"
    " SELECT id, 'end', 'called-' || id, created_at FROM jobs WHERE id LIKE 'done-%'",
)
_IDS = [f"done-{n}" for n in range(1, 1_001)]


async def _relations(connection: AsyncConnection, _now: object) -> object:
    rows = [{"id": one, "traits": int(flows.RELATED)} for one in _IDS[:100]]
    return await flows.relations_of(connection, rows)  # type: ignore[arg-type]  # rows, as far as it reads them


CALLS: Mapping[str, Call] = {
    "relations of jobs (100)": _relations,
    "open parents (1,000)": lambda c, _: flows.open_parents(c, _IDS),
    "a flow": lambda c, _: flows.get_flow(c, "flow-1"),
    "flows": lambda c, _: flows.list_flows(c, None, 51),
    "the next page of flows": lambda c, now: flows.list_flows(c, (now - timedelta(days=1), "flow-1"), 51),
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


async def filled(database_url: str) -> Database:
    database = Database.open(database_url)
    await fill(database, terminal=20_000, waiting=2_000)
    for statement in _FILL:
        async with writing(database) as connection:
            await connection.exec_driver_sql(statement)
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")
    return database


def walks(plan: str) -> Sequence[str]:
    """Return the lines that walk through a table, or through an index on what is live or in a state."""
    fine = r"found|anon_\d+|\(subquery-\d+\)|\w+ VIRTUAL TABLE|flows USING INDEX flows_by_created_at"
    return re.findall(rf"^.*Seq Scan on .*$|^SCAN (?!{fine}).*$|.*jobs_by_state.*|.*job_edges_open.*", plan, re.M)


async def test_no_read_of_flows_walks_through_the_ledger(database_url: str) -> None:
    database = await filled(database_url)
    bad = []
    for name, call in CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [f"{name}: {line[:200]}" for plan in plans for line in walks(plan)]
    await database.close()
    assert not bad, "\n".join(bad)


async def test_reads_of_flows_find_what_there_is(database_url: str) -> None:
    database = await filled(database_url)
    async with database.connect() as connection:
        counts = (await flows.counts_of(connection, ["flow-1", "none"]))["flow-1"]
        assert (counts.states, counts.state) == ({State.CANCELLED: 100}, "cancelled")
        assert counts.finished_at is not None
        page = await flows.jobs_of_flow(connection, "flow-1", None, 30)
        following = await flows.jobs_of_flow(connection, "flow-1", (page[-1]["listed_at"], page[-1]["id"]), 100)
        assert len({row["id"] for row in [*page, *following]}) == 100
        parents = await flows.parents_in_flow(connection, "flow-1", ["done-101", "done-1", "none"])
        assert parents == {"done-101": ["done-1"], "done-1": [], "none": []}
        opened = await flows.open_parents(connection, ["done-107", "done-101"])
        assert opened == {"done-107": ("done-7", "shop.f7", "ended")}
    await database.close()
