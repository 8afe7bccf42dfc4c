"""What an attempt keeps and is given is found by an index, however much others have kept."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.reads import particulars
from service.ledger.reads.kept import kept_by
from service.ledger.records.kept import Checkpoint, Step, forget_kept, record_checkpoints, record_steps
from service.ledger.records.own_retries import renew_retries
from tests.support.plans import Call, bad_ways_in, plans_of, sent_by
from tests.support.writing import writing

_RUN = [f"runs-{n}" for n in range(1, 101)]
_DONE = [f"done-{n}" for n in range(1, 51)]
_FILL = (
    "INSERT INTO job_steps (job_id, name, result, attempt, started_at, finished_at)"
    " SELECT id, 's', '1', 1, created_at, created_at FROM jobs WHERE id LIKE 'done%'",
    "INSERT INTO job_checkpoints (job_id, value, attempt, recorded_at)"
    " SELECT id, '1', 1, created_at FROM jobs WHERE id LIKE 'done%'",
    "INSERT INTO job_edges (parent, child, run_when, state)"
    " SELECT id, 'child-of-' || id, 'ended', 'met' FROM jobs WHERE id LIKE 'done%'",
)


async def _keep(connection: AsyncConnection, now: datetime) -> object:
    steps = [Step(job_id, 1, "a", "1", now, now) for job_id in _RUN]
    assert all(await connection.run_sync(record_steps, steps))
    return await connection.run_sync(record_steps, [step._replace(name="b") for step in steps])


async def _note_places(connection: AsyncConnection, now: datetime) -> object:
    return await connection.run_sync(record_checkpoints, [Checkpoint(job_id, 1, "1", now) for job_id in _RUN])


CALLS: Mapping[str, Call] = {
    "keep steps (100)": _keep,
    "keep checkpoints (100)": _note_places,
    "forget what was kept (50)": lambda c, _: c.run_sync(forget_kept, _DONE),
    "renew retries (50)": lambda c, now: c.run_sync(renew_retries, dict.fromkeys(_DONE, now)),
    "parents (50)": lambda c, _: particulars.parents_of(c, [f"child-of-{one}" for one in _DONE]),
    "few parents (50)": lambda c, _: c.run_sync(particulars.few_parents_of, [f"child-of-{one}" for one in _DONE]),
    "steps (50)": lambda c, _: particulars.steps_of(c, _DONE),
    "checkpoints (50)": lambda c, _: particulars.checkpoints_of(c, _DONE),
    "retries (50)": lambda c, _: particulars.retries_of(c, _DONE),
    "what is shown (50)": lambda c, _: kept_by(c, _DONE),
}


def walks(plan: str) -> list[str]:
    """Return the lines of a plan that read a table from its one end to the other."""
    tables = ("jobs", "job_steps", "job_checkpoints", "job_edges", "job_listing", "child")
    return [
        line
        for line in plan.splitlines()
        if any(f"Seq Scan on {table} " in f"{line} " or line == f"SCAN {table}" for table in tables)
    ]


async def test_no_statement_about_steps_walks_through_the_history(history: Database) -> None:
    for statement in (*_FILL, *(["ANALYZE"] if history.dialect == "postgresql" else [])):
        async with writing(history) as connection:
            await connection.exec_driver_sql(statement)
    bad = {}
    for name, call in CALLS.items():
        sent = await sent_by(history, call)
        assert sent, name
        for one in sent:
            for plan in await plans_of(history, one, avoid_walks=True):
                if walks(plan) or bad_ways_in(plan):
                    bad[name] = f"{one.sql}\n{plan}"
    assert not bad, "\n\n".join(f"{name}: {plan}" for name, plan in bad.items())
