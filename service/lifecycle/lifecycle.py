"""What may happen to a job from outside: enqueue, cancel, replay. First the ledger, after its commit the queue."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
import uuid_utils
from pydantic import BaseModel, ValidationError

from jobs import Catalogue, Kind
from jobs.kit.names import nearest
from jobs.kit.round_trip import ArgsChanged, listed, written_by
from service import agreed_time, metrics
from service.errors import ArgsInvalid, JobNotFound, KindUnknown, QueueUnknown, StateForbids, shown
from service.ledger.bulk_replay import Batch, Place, replay_batches
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Enqueued, IdempotencyKey, NewJob
from service.ledger.reads import jobs as queries
from service.ledger.reads.dispatching import HORIZON
from service.ledger.reads.listing import Filter, ToReplay
from service.ledger.states import REPLAYABLE, State
from service.options import Options as Options
from service.options import check, metadata_json
from service.queue import UNREACHABLE, Entry, Queue

log = structlog.get_logger(__name__)

MAX_ARGS_BYTES = 256 * 1024
_READ_AT_ONCE = 50  # of up to 256 KiB each
_DISPATCH_WITHIN_S = 2.0
_DISPATCH_TRIED_FOR_S = 0.2


def new_job(kind: Kind[Any, Any], args: BaseModel, options: Options, now: datetime, **fields: Any) -> NewJob:
    """Make the row of a job. Raises `ArgsInvalid` when the args are too large, or would not be read back as sent."""
    try:
        shown, sealed = written_by(kind.write, args)
        if len((sealed or shown).encode()) > MAX_ARGS_BYTES:
            raise ArgsInvalid(f"The args of {kind.name} are larger than {MAX_ARGS_BYTES // 1024} KiB as JSON.")
        kind.check_args(args)  # only now: large args take long to compare
    except ArgsChanged as error:
        raise _unfit(kind, error) from error
    run_at = options.run_at or (now + options.delay if options.delay else now)
    fields.setdefault("id", str(uuid_utils.uuid7()))
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
        metadata=metadata_json(options.metadata) if options.metadata else None,
        **fields,
    )


def accepted_args(kind: Kind[Any, Any], args: BaseModel | Mapping[str, Any] | None) -> BaseModel:
    """Validate args that come from Python code. Raises `ArgsInvalid`, naming each field that does not fit."""
    try:
        accepted: BaseModel = kind.accept(args)
    except ValidationError as error:
        errors = with_nearest_names(describe(error), kind)
        raise ArgsInvalid(f"The args do not fit {kind.name}: {listed(errors)}.", errors=errors) from error
    except ArgsChanged as error:
        raise _unfit(kind, error) from error
    return accepted


def _unfit(kind: Kind[Any, Any], error: ArgsChanged) -> ArgsInvalid:
    return ArgsInvalid(f"The args of {kind.name} cannot be kept as they were sent: {error}.", errors=error.errors)


def with_nearest_names(errors: Sequence[dict[str, Any]], kind: Kind[Any, Any]) -> list[dict[str, Any]]:
    """Add to each unknown name of the args the known one that it is like. A place ends with the name."""
    return [
        one | {"msg": f"{one['msg']}; {_hint(one['loc'][-1], kind)}"}
        if one["type"] == "extra_forbidden" and len(one["loc"]) == 1
        else one
        for one in errors
    ]


def _hint(name: object, kind: Kind[Any, Any]) -> str:
    near = nearest(name, kind.arg_names)
    return f"did you mean {near!r}?" if near else f"known are: {', '.join(kind.arg_names) or 'none'}"


@dataclass(slots=True)
class BulkReplay:
    """What a bulk replay came to. `left_at`: its time was up there, before it had looked at all."""

    matched: int = 0
    replayed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left_at: Place | None = None

    def add(self, batch: Batch) -> None:
        self.matched += len(batch.jobs)
        self.replayed += len(batch.replayed)
        self.skipped += batch.skipped


class Lifecycle:
    """Moves jobs on behalf of the API, of cron, and of jobs themselves. `writer` names this process in the tallies.

    `check_queue` raises `QueueUnknown` for a queue that nobody works.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: Queue,
        catalogue: Catalogue,
        *,
        writer: str,
        check_queue: Callable[[str], None] = lambda _queue: None,
    ) -> None:
        self.ledger = ledger
        self.queue = queue
        self.catalogue = catalogue
        self.writer = writer
        self._check_queue = check_queue
        self._redis_answers = True
        self._to_dispatch: list[Entry] = []
        self._dispatched: list[asyncio.Future[None]] = []
        self._dispatching: set[asyncio.Task[None]] = set()

    async def enqueue(self, jobs: Sequence[NewJob], key: IdempotencyKey | None = None) -> Enqueued:
        """Record jobs, all or none, and dispatch those that are new. Raises `LedgerUnavailable`."""
        enqueued = await self.ledger.enqueue(Enqueue(jobs=tuple(jobs), writer=self.writer, key=key))
        await self.dispatch([job for job in jobs if job.id in enqueued.created])
        return enqueued

    async def enqueue_one(self, kind_name: str, args: BaseModel | Mapping[str, Any] | None, options: Options) -> str:
        """Enqueue a job by its kind's name; returns its id, or that of the holder of its unique key."""
        check(options)
        kind = self.known(kind_name)
        enqueued = await self.enqueue([new_job(kind, accepted_args(kind, args), options, agreed_time.now())])
        return enqueued.ids[0]

    def known(self, kind_name: str) -> Kind[Any, Any]:
        """Find a kind by its name. Raises `KindUnknown`."""
        kind = self.catalogue.get(kind_name)
        if kind is None:
            raise KindUnknown(f"There is no kind {kind_name!r}. Known are: {', '.join(sorted(self.catalogue))}.")
        return kind

    async def dispatch(self, jobs: Sequence[NewJob]) -> None:
        """Put recorded jobs that are due soon on the queue; what Redis does not take in time is left to the sweep."""
        await self.put([Entry(job.id, job.kind, job.queue, job.run_at, job.priority) for job in jobs])

    async def put(self, waiting: Sequence[Entry]) -> None:
        """Put what is due soon on the queue, together with whatever else is put at this moment; see `dispatch`."""
        soon = agreed_time.now() + HORIZON
        entries = [entry for entry in waiting if entry.due_at <= soon]
        if not entries:
            return
        if not self._dispatched:
            task = asyncio.create_task(self._dispatch_waiting(), name="dispatch")
            self._dispatching.add(task)  # asyncio itself does not keep it
            task.add_done_callback(self._dispatching.discard)
        self._to_dispatch += entries
        self._dispatched.append(done := asyncio.get_running_loop().create_future())
        await done

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: a waiting one at once, a running one as soon as its worker hears of it."""
        if await self.ledger.cancel(job_id, self.writer, agreed_time.now()) is None:
            raise await self._forbidden(job_id, "cancelled")

    async def replay(self, job_id: str) -> None:
        """Run a failed or cancelled job anew, under its own id.

        Raises `UniqueKeyTaken`, and what enqueueing it would: `KindUnknown`, `QueueUnknown`, `ArgsInvalid`.
        """
        now = agreed_time.now()
        await self._check_runnable(job_id)
        if not await self.ledger.replay(job_id, now):
            raise await self._forbidden(job_id, "replayed")
        async with self.ledger.read() as connection:
            row = await queries.get_job(connection, job_id)
        if row is not None:
            await self.put_anew([Entry(job_id, row["kind"], row["queue"], now, row["priority"])])

    async def _check_runnable(self, job_id: str) -> None:
        """Refuse to replay a job that could not run. One that is not there, or may not be replayed, is told later."""
        async with self.ledger.read() as connection:
            row = await queries.get_job(connection, job_id)
            stored = await queries.stored_args(connection, [job_id])
        if row is None or row["state"] not in REPLAYABLE:
            return
        kind = self.known(row["kind"])
        self._check_queue(row["queue"])
        try:
            kind.load_args(stored[job_id])
        except ValidationError as error:
            raise ArgsInvalid(
                f"The stored args no longer fit {kind.name}, so the job cannot be replayed; `errors` says where. Give"
                " what is new in the kind's args a default, or enqueue a new job.",
                errors=[one | {"loc": ["args", *one["loc"]]} for one in describe(error)],
            ) from error
        except Exception as error:
            log.error("validator_failed", job_id=job_id, kind=kind.name, exc_info=error)
            raise ArgsInvalid(
                f"The job cannot be replayed: a validator of {kind.name} failed on the stored args"
                f" ({type(error).__name__}); the log has its traceback."
            ) from error

    async def _unrunnable(self, jobs: Sequence[ToReplay]) -> dict[str, str]:
        """Say of jobs that could not run why, by their ids."""
        reasons = {job.id: reason for job in jobs if (reason := self._nowhere_to_run(job)) is not None}
        left = [job for job in jobs if job.id not in reasons]
        for start in range(0, len(left), _READ_AT_ONCE):
            some = left[start : start + _READ_AT_ONCE]
            async with self.ledger.read() as connection:
                stored = await queries.stored_args(connection, [job.id for job in some])
            unfit = await asyncio.to_thread(self._unfit, some, stored)
            reasons |= dict.fromkeys(unfit, "args_invalid")
        return reasons

    def _nowhere_to_run(self, job: ToReplay) -> str | None:
        if job.kind not in self.catalogue:
            return "kind_unknown"
        try:
            self._check_queue(job.queue)
        except QueueUnknown:
            return "queue_unknown"
        return None

    def _unfit(self, jobs: Sequence[ToReplay], stored: Mapping[str, str]) -> list[str]:
        return [job.id for job in jobs if job.id in stored and not self.catalogue[job.kind].reads(stored[job.id])]

    async def replay_matching(
        self, wanted: Filter, *, dry_run: bool, within_s: float, beyond: Place | None = None
    ) -> BulkReplay:
        """Replay all that match, `beyond` a place, batch by batch, until `within_s` is over; see `bulk_replay`.

        Jobs that could not run are left as they are, and counted as skipped. Raises `KindUnknown` for a filter's kind.
        """
        for kind in wanted.kinds:
            self.known(kind)
        deadline, now, done = time.monotonic() + within_s, agreed_time.now(), BulkReplay()
        batches = replay_batches(self.ledger, wanted, now, dry_run=dry_run, unrunnable=self._unrunnable, beyond=beyond)
        async for batch in batches:
            done.add(batch)
            if batch.replayed and not dry_run:
                await self.put_anew([Entry(job.id, job.kind, job.queue, now, job.priority) for job in batch.replayed])
            if time.monotonic() > deadline:
                done.left_at = batch.place
                break
        return done

    async def put_anew(self, entries: Sequence[Entry]) -> None:
        """Dispatch replayed jobs. An id left on the queue from the job's former life does not keep its due time."""
        by_queue: dict[str, list[bytes]] = {}
        for entry in entries:
            by_queue.setdefault(entry.queue, []).append(entry.id.encode())

        async def put() -> None:
            for queue, members in by_queue.items():
                await self.queue.remove(queue, members)
            await self.queue.put(entries)

        await self._dispatch(len(entries), put())

    async def _dispatch_waiting(self) -> None:
        """Dispatch, in one call and under one timeout, for all who wait: those whose jobs one commit recorded."""
        entries, self._to_dispatch = self._to_dispatch, []
        waiting, self._dispatched = self._dispatched, []
        try:
            await self._dispatch(len(entries), self.queue.put(entries))
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _dispatch(self, count: int, put: Coroutine[Any, Any, None]) -> None:
        """Never raises for Redis, nor waits long for it: the jobs are accepted already.

        A Redis that did not answer the last time is not waited for again, until it does.
        """
        try:
            async with asyncio.timeout(_DISPATCH_WITHIN_S if self._redis_answers else _DISPATCH_TRIED_FOR_S):
                await put
            self._redis_answers = True
        except UNREACHABLE as error:
            self._redis_answers = False
            metrics.dispatch_failures.inc(count)
            reason = str(error) or type(error).__name__
            log.warning("dispatch_failed", jobs=count, error=reason, remedy="the sweep will dispatch them")

    async def _forbidden(self, job_id: str, verb: str) -> JobNotFound | StateForbids:
        async with self.ledger.read() as connection:
            state = (await queries.states_of(connection, [job_id])).get(job_id)
        if state is None:
            return JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
        return StateForbids(f"The job is {state[0]}: it cannot be {verb}.")


def describe(error: ValidationError) -> list[dict[str, Any]]:
    """Say where and why validation failed, without the input: it may be a secret."""
    return shown(error.errors(include_url=False, include_context=False, include_input=False))
