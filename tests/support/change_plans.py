"""The statements of changes of jobs, and of enqueues with conflicts; see `plans.py`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Lane
from service.ledger.models import Enqueue, NewJob
from service.ledger.records.advanced import Advance, record_advanced
from service.ledger.records.changed import Change, Values, record_changed
from service.ledger.records.enqueued import record_enqueued
from service.ledger.states import State
from tests.support.plans import Call

_SOME = [f"{sort}-{n}" for n in range(1, 100) for sort in ("done", "waits")]


async def _change(connection: AsyncConnection, now: datetime) -> object:
    values: Values = {"run_at": now, "queue": "q", "tags": ("t",), "lane": Lane("l"), "args": "{}", "timeout_s": 1.0}
    return await connection.run_sync(record_changed, [Change(one, now, values, of_args="{}") for one in _SOME])


async def _run_now(connection: AsyncConnection, now: datetime) -> object:
    return await connection.run_sync(record_advanced, [Advance(one, now) for one in _SOME])


async def _enqueue(connection: AsyncConnection, now: datetime) -> None:
    """Enqueue jobs that exist, that replace others, and whose keys are held beyond an end."""

    def new(job_id: str, **fields: Any) -> NewJob:
        return NewJob(job_id, "k1", State.QUEUED, "default", "{}", now, now, 3, **fields)

    made = [new(f"made-{n}", request_hash="h") for n in range(100)]
    keyed = [new(f"keyed-{n}", unique_key=f"key-{n}", unique_for=60.0) for n in range(100)]
    replacing = [new(f"new-{n}", unique_key=f"key-{n}", on_conflict="debounce") for n in range(100)]
    for some in (made, made, keyed, replacing):
        [enqueued] = await connection.run_sync(record_enqueued, [Enqueue(tuple(some), "w")])
        assert enqueued.refusal is None


CHANGE_CALLS: Mapping[str, Call] = {
    "change (198)": _change,
    "run now (198)": _run_now,
    "enqueue with ids of their own, replacing, unique beyond the end (400)": _enqueue,
}
