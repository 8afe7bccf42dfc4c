"""What the overview says before anything was enqueued: what there is, and how to begin."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import make_url

from jobs.kit.kind import Kind
from service.dashboard.shell import Page
from service.errors import LedgerUnavailable
from service.ledger.deadline import in_time
from service.ledger.reads.worker_views import WorkerState, list_workers
from service.queue import UNREACHABLE

# It needs nothing else, and takes a few milliseconds.
_FIRST_KIND = "update_stats"
_FIRST_ARGS: dict[str, Any] = {"subject": "user-42", "event": "signup"}


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """`redis_ms`: how long Redis took to answer, if it did. `command` enqueues a first job, of `first_kind`."""

    workers: int
    slots: int
    database: str
    redis_ms: float | None
    command: str | None
    first_kind: str | None
    kinds: Sequence[Kind[Any, Any]]


async def read_first_steps(page: Page) -> FirstSteps:
    resources = page.resources
    try:
        workers, slots = await in_time(_count_workers(page))
    except LedgerUnavailable:
        workers, slots = 0, 0
    first = _FIRST_KIND if _FIRST_KIND in resources.catalogue else None
    return FirstSteps(
        workers=workers,
        slots=slots,
        database=_database_name(resources.settings.sqlalchemy_url),
        redis_ms=await _ping(page),
        command=_command(page) if first else None,
        first_kind=first,
        kinds=[resources.catalogue[name] for name in sorted(resources.catalogue)],
    )


async def _count_workers(page: Page) -> tuple[int, int]:
    async with page.resources.ledger.read() as connection:
        now = await page.resources.ledger.database.now(connection)
        living = [one for one in await list_workers(connection, now) if one.state == WorkerState.ALIVE]
    return len(living), sum(one.slots or 0 for one in living)


async def _ping(page: Page) -> float | None:
    began = time.perf_counter()
    try:
        await page.resources.queue.redis.ping()
    except UNREACHABLE:
        return None
    return (time.perf_counter() - began) * 1000


def _database_name(url: str) -> str:
    """Name the ledger's database without its password."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return f"SQLite in `{parts.database}`"
    return f"Postgres on `{parts.host or 'a socket'}`, database `{parts.database}`"


def _command(page: Page) -> str:
    body = f'{{\n  "kind": "{_FIRST_KIND}",\n  "args": {json.dumps(_FIRST_ARGS)}\n}}'
    key = "" if page.principal.id == "anybody" else " -H 'authorization: Bearer plk_…'"
    base = str(page.request.base_url).rstrip("/")
    return f"curl {base}/v1/jobs{key} -H 'content-type: application/json' -d '{body}'"
