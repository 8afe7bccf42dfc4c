"""Makes thousands of jobs at once, in the states that a test asks for."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select

from service.ledger.ledger import Ledger
from service.lifecycle.new_job import new_id
from service.tables import attempts, job_listing, job_tags, jobs
from tests.support.writing import writing

_AT_ONCE = 500
_LISTED = ("created_at", "kind", "queue", "lane")
_ENDED = ("succeeded", "failed", "cancelled")


async def make_jobs(
    ledger: Ledger, number: int, *, state: str = "failed", tags: Sequence[str] = (), **fields: Any
) -> list[str]:
    """Record this many jobs of `update_stats` in a state, a millisecond apart, the last one now; return their ids."""
    now = datetime.now(UTC)
    rows = [_job(now - timedelta(milliseconds=number - at), state, fields) for at in range(number)]
    async with writing(ledger.database) as connection:
        for start in range(0, number, _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            await connection.execute(insert(jobs), some)
            listed = [{"job_id": row["id"], **{name: row.get(name) for name in _LISTED}} for row in some]
            await connection.execute(insert(job_listing), listed)
            if tags:
                tagged = [{"job_id": r["id"], "created_at": r["created_at"], "tag": tag} for r in some for tag in tags]
                await connection.execute(insert(job_tags), tagged)
            if state in _ENDED:
                ended = {"number": 1, "outcome": state, "worker": "w", "started_at": now, "finished_at": now}
                await connection.execute(insert(attempts), [{"job_id": row["id"], **ended} for row in some])
    return [row["id"] for row in rows]


def _job(created_at: datetime, state: str, fields: dict[str, Any]) -> dict[str, Any]:
    ended = state in _ENDED
    return {
        "id": new_id(),
        "kind": "update_stats",
        "state": state,
        "queue": "default",
        "args": '{"subject":"page","event":"view"}',
        "max_attempts": 3,
        "attempt": int(ended),
        "failures": int(state == "failed"),
        "error_type": "ValueError" if state == "failed" else None,
        "run_at": created_at + timedelta(days=1) if state == "scheduled" else created_at,
        "created_at": created_at,
        "finished_at": created_at if ended else None,
        **fields,
    }


async def states_of(ledger: Ledger, ids: Sequence[str]) -> Counter[str]:
    """Count jobs by their states."""
    counted: Counter[str] = Counter()
    async with ledger.read() as connection:
        for start in range(0, len(ids), _AT_ONCE):
            found = await connection.execute(select(jobs.c.state).where(jobs.c.id.in_(ids[start : start + _AT_ONCE])))
            counted.update(found.scalars())
    return counted


async def count_rows(ledger: Ledger, table: Any) -> int:
    async with ledger.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
