"""Adoption: a job of a plain arq client becomes a job of the ledger."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from jobs import Catalogue, Kind
from service import agreed_time
from service.errors import ArgsInvalid, LedgerUnavailable, PostludeError
from service.ledger.models import NewJob
from service.ledger.reads import jobs as queries
from service.ledger.states import State
from service.lifecycle.args import MAX_ARGS_BYTES, accepted_args
from service.lifecycle.dispatch import entry_of_new
from service.lifecycle.enqueue import Enqueuer
from service.lifecycle.new_job import new_id, new_job
from service.options import Options
from service.queue import ArqJob, Entry

log = structlog.get_logger(__name__)

_LONGEST_TAG = 255


@dataclass(frozen=True, slots=True)
class Adopted:
    """An arq job that was dealt with, and its job as it is on the queue.

    With a `refusal` it will not run, and the ledger may have no job for it.
    """

    arq_job: ArqJob
    job_id: str
    entry: Entry
    refusal: str | None = None


async def adopt(
    enqueuer: Enqueuer, catalogue: Catalogue, arq_jobs: Sequence[ArqJob], due_by: datetime
) -> list[Adopted]:
    """Record arq jobs of known kinds, which were due by `due_by`. A job that cannot run is recorded as failed.

    Each is recorded on its own, so that a job that cannot be recorded does not affect the others. It is left out, and
    comes up again.
    """
    if not arq_jobs:
        return []
    async with enqueuer.ledger.read() as connection:
        taken = await queries.states_of(connection, [arq_job.id for arq_job in arq_jobs])
    planned = [_job_of(one, catalogue[one.function], due_by, is_taken=one.id in taken) for one in arq_jobs]
    outcomes = await asyncio.gather(*(_record(enqueuer, job) for job in planned), return_exceptions=True)
    adopted = []
    for arq_job, job, outcome in zip(arq_jobs, planned, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            log.warning("claim_not_settled", job_id=arq_job.id, error=repr(outcome.__cause__ or outcome))
        else:
            entry = entry_of_new(job)._replace(id=arq_job.id)
            adopted.append(Adopted(arq_job, job.id, entry, outcome))
    return adopted


async def _record(enqueuer: Enqueuer, job: NewJob) -> str | None:
    """Record a job; return why it will not run, or None."""
    try:
        await enqueuer.record([job])
    except LedgerUnavailable:
        raise
    except PostludeError as refusal:  # refused by a hook
        return refusal.detail
    return job.error_message


def _job_of(arq_job: ArqJob, kind: Kind[Any, Any], due_by: datetime, *, is_taken: bool) -> NewJob:
    """Make the row of an arq job. Its id becomes the job's id if that is free and can be looked up, or else a tag."""
    keeps_id = not is_taken and _can_be_looked_up(arq_job.id)
    fields = {"arq_id": arq_job.id, "id": arq_job.id if keeps_id else new_id()}
    options = Options(queue=arq_job.queue, tags=() if keeps_id else (f"arq:{arq_job.id}"[:_LONGEST_TAG],))
    try:
        job = new_job(kind, _args_of(arq_job, kind), options, arq_job.enqueued_at, **fields)
    except (ValueError, ArgsInvalid) as refusal:
        return _refused_job(arq_job, kind, str(refusal), fields)
    return replace(job, run_at=min(job.run_at, due_by))  # it is due now, whatever its client's clock says


def _args_of(arq_job: ArqJob, kind: Kind[Any, Any]) -> Any:
    if arq_job.args:
        raise ArgsInvalid("positional args are not taken: give the fields of the args as keyword arguments")
    try:
        return accepted_args(kind, arq_job.kwargs)
    except ArgsInvalid:
        raise
    except Exception as error:
        raise ArgsInvalid(f"the args of {kind.name} could not be checked: {type(error).__name__}") from error


def _can_be_looked_up(arq_id: str) -> bool:
    """Whether an id can be part of the path `/v1/jobs/{id}`, and be read there."""
    return arq_id.isprintable() and "/" not in arq_id


def _refused_job(arq_job: ArqJob, kind: Kind[Any, Any], reason: str, fields: Mapping[str, Any]) -> NewJob:
    visible = "{}" if kind.has_secrets else json.dumps(arq_job.kwargs or arq_job.args).replace("\\u0000", "\\ufffd")
    if len(visible) > MAX_ARGS_BYTES:
        visible = "{}"
    return NewJob(
        **fields,
        kind=kind.name,
        state=State.FAILED,
        queue=arq_job.queue,
        args=visible,
        run_at=arq_job.enqueued_at,
        created_at=arq_job.enqueued_at,
        max_attempts=kind.max_attempts,
        error_type="ArgsInvalid",
        error_message=reason,
        finished_at=agreed_time.now(),
    )
