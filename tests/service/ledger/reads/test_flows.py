"""What is read of flows costs what the flow has, and not what the ledger has."""

import re
from collections.abc import Sequence

import pytest

from service.ledger.database import Database
from service.ledger.reads import flows
from service.ledger.states import State
from tests.support.flow_plans import FLOW_READS
from tests.support.plans import plans_of, sent_by
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


@pytest.fixture
async def with_flows(history: Database) -> Database:
    for statement in (*_FILL, *(["ANALYZE"] if history.dialect == "postgresql" else [])):
        async with writing(history) as connection:
            await connection.exec_driver_sql(statement)
    return history


def walks(plan: str) -> Sequence[str]:
    """Return the lines that walk through a table, or through an index on what is live or in a state."""
    fine = r"found|anon_\d+|\(subquery-\d+\)|\w+ VIRTUAL TABLE|flows USING INDEX flows_by_created_at"
    return re.findall(rf"^.*Seq Scan on .*$|^SCAN (?!{fine}).*$|.*jobs_by_state.*|.*job_edges_open.*", plan, re.M)


async def test_no_read_of_flows_walks_through_the_ledger(with_flows: Database) -> None:
    bad = []
    for name, call in FLOW_READS.items():
        sent = await sent_by(with_flows, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(with_flows, one, avoid_walks=True)
            bad += [f"{name}: {line[:200]}" for plan in plans for line in walks(plan)]
    assert not bad, "\n".join(bad)


async def test_reads_of_flows_find_what_there_is(with_flows: Database) -> None:
    async with with_flows.connect() as connection:
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


async def test_counts_of_a_flow_are_in_the_order_of_states_on_any_database(with_flows: Database) -> None:
    async with writing(with_flows) as connection:
        await connection.exec_driver_sql("UPDATE jobs SET state = 'failed' WHERE id IN ('done-101', 'done-201')")
        await connection.exec_driver_sql("UPDATE jobs SET state = 'succeeded' WHERE id = 'done-301'")
    async with with_flows.connect() as connection:
        counts = (await flows.counts_of(connection, ["flow-1"]))["flow-1"]
    assert list(counts.states.items()) == [(State.SUCCEEDED, 1), (State.FAILED, 2), (State.CANCELLED, 97)]
