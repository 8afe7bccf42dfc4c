"""What may happen to a job from outside: enqueue, cancel, replay. First the ledger, after its commit the queue."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
import uuid_utils
from pydantic import BaseModel, ValidationError

from jobs import Catalogue, Kind
from service import metrics
from service.errors import ArgsInvalid, JobNotFound, KindUnknown, StateForbids
from service.ledger import queries
from service.ledger.dispatching import HORIZON
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Enqueued, IdempotencyKey, NewJob
from service.ledger.states import State
from service.queue import UNREACHABLE, Entry, Queue

log = structlog.get_logger(__name__)

MAX_ARGS_BYTES = 256 * 1024
_DISPATCH_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Options:
    """How one job differs from what its kind declares. `delay` and `expires_in` count from now."""

    run_at: datetime | None = None
    delay: timedelta | None = None
    queue: str | None = None
    priority: int = 0
    max_attempts: int | None = None
    timeout: timedelta | None = None
    expires_in: timedelta | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()


def new_job(kind: Kind[Any, Any], args: BaseModel, options: Options, now: datetime, **fields: Any) -> NewJob:
    """Make the row of a job. Raises `ArgsInvalid` when the args are too large."""
    shown, sealed = kind.dump_args(args)
    if len((sealed or shown).encode()) > MAX_ARGS_BYTES:
        raise ArgsInvalid(f"The args of {kind.name} are larger than {MAX_ARGS_BYTES // 1024} KiB as JSON.")
    run_at = options.run_at or now + (options.delay or timedelta(0))
    fields = {"id": str(uuid_utils.uuid7())} | fields
    return NewJob(
        kind=kind.name,
        state=State.SCHEDULED if run_at > now else State.QUEUED,
        queue=options.queue or kind.queue,
        args=shown,
        sealed_args=sealed,
        run_at=max(run_at, now),
        created_at=now,
        max_attempts=options.max_attempts or kind.max_attempts,
        priority=options.priority,
        timeout_s=options.timeout.total_seconds() if options.timeout else None,
        expires_at=now + options.expires_in if options.expires_in else None,
        unique_key=options.unique_key,
        tags=options.tags,
        **fields,
    )


class Lifecycle:
    """Moves jobs on behalf of the API, of cron, and of jobs themselves. `writer` names this process in the tallies."""

    def __init__(self, ledger: Ledger, queue: Queue, catalogue: Catalogue, *, writer: str) -> None:
        self.ledger = ledger
        self.queue = queue
        self.catalogue = catalogue
        self.writer = writer

    async def enqueue(self, jobs: Sequence[NewJob], key: IdempotencyKey | None = None) -> Enqueued:
        """Record jobs, all or none, and dispatch those that are new. Raises `LedgerUnavailable`."""
        enqueued = await self.ledger.enqueue(Enqueue(jobs=tuple(jobs), writer=self.writer, key=key))
        await self.dispatch([job for job in jobs if job.id in enqueued.created])
        return enqueued

    async def enqueue_one(self, kind_name: str, args: BaseModel | Mapping[str, Any] | None, options: Options) -> str:
        """Enqueue a job by its kind's name; gives its id, or that of the holder of its unique key."""
        kind = self.catalogue.get(kind_name)
        if kind is None:
            raise KindUnknown(f"There is no kind {kind_name!r}. Known are: {', '.join(sorted(self.catalogue))}.")
        try:
            validated = kind.args_model.model_validate(args or {})
        except ValidationError as error:
            raise ArgsInvalid(f"The args do not fit {kind_name}.", errors=describe(error)) from error
        enqueued = await self.enqueue([new_job(kind, validated, options, datetime.now(UTC))])
        return enqueued.ids[0]

    async def dispatch(self, jobs: Sequence[NewJob]) -> None:
        """Put recorded jobs that are due soon on the queue; what Redis does not take in time is left to the sweep."""
        soon = datetime.now(UTC) + HORIZON
        await self._put(
            [Entry(job.id, job.kind, job.queue, job.run_at, job.priority) for job in jobs if job.run_at <= soon]
        )

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: a waiting one at once, a running one as soon as its worker hears of it."""
        if await self.ledger.cancel(job_id, self.writer, datetime.now(UTC)) is None:
            raise await self._forbidden(job_id, "cancelled")

    async def replay(self, job_id: str) -> None:
        """Run a failed or cancelled job anew, under its own id. Raises `UniqueKeyTaken`."""
        now = datetime.now(UTC)
        if not await self.ledger.replay(job_id, now):
            raise await self._forbidden(job_id, "replayed")
        async with self.ledger.read() as connection:
            row = await queries.get_job(connection, job_id)
        if row is not None:
            await self._put([Entry(job_id, row["kind"], row["queue"], now, row["priority"])], anew=True)

    async def _put(self, entries: Sequence[Entry], *, anew: bool = False) -> None:
        """Never raises for Redis, nor waits long: the jobs are accepted already. `anew`: at no earlier due time."""
        if not entries:
            return
        try:
            async with asyncio.timeout(_DISPATCH_WITHIN_S):
                if anew:
                    for entry in entries:
                        await self.queue.remove(entry.queue, [entry.id.encode()])
                await self.queue.put(entries)
        except UNREACHABLE as error:
            metrics.dispatch_failures.inc(len(entries))
            reason = str(error) or type(error).__name__
            log.warning("dispatch_failed", jobs=len(entries), error=reason, remedy="the sweep will dispatch them")

    async def _forbidden(self, job_id: str, verb: str) -> JobNotFound | StateForbids:
        async with self.ledger.read() as connection:
            state = (await queries.states_of(connection, [job_id])).get(job_id)
        if state is None:
            return JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
        return StateForbids(f"The job is {state[0]}: it cannot be {verb}.")


def describe(error: ValidationError) -> list[dict[str, Any]]:
    """Say where and why validation failed, without the input: it may be a secret."""
    return [
        {"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]}
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]
