"""A tick of cron becomes a job, once, however many workers see it come due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jobs import Kind
from service.ledger.models import NewJob
from service.lifecycle.args import accepted_args
from service.lifecycle.enqueue import Enqueuer
from service.lifecycle.new_job import new_job
from service.options import Options


async def tick(enqueuer: Enqueuer, kind: Kind[Any, Any], due_at: datetime, now: datetime) -> NewJob | None:
    """Record the tick of `kind` at `due_at` with its job, and dispatch the job; None when another worker was first."""
    assert kind.cron is not None
    cron = kind.cron

    async def write(jobs: Sequence[NewJob]) -> NewJob | None:
        [job] = jobs
        was_first = await enqueuer.ledger.tick(kind.name, due_at, job, cron=cron, writer=enqueuer.writer)
        return job if was_first else None

    tags = ("cron", f"tick:{due_at:%Y-%m-%dT%H:%M:%SZ}")
    planned = new_job(kind, accepted_args(kind, None), Options(tags=tags), now)
    job = await enqueuer.within_hooks([planned], write)
    if job is not None:
        await enqueuer.dispatcher.dispatch([job])
    return job
