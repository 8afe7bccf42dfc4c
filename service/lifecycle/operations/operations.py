"""Operations are accepted, carried out by the worker of their job, stopped, and handed over if they are abandoned."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from jobs import Catalogue
from jobs.operate import OperateArgs, Operated, operate
from service import agreed_time
from service.errors import OperationEnded, OperationNotFound, located
from service.ledger.models import NewJob
from service.ledger.operations import JOB_CANCELLED, NewOperation, Operation, OperationState, Place
from service.ledger.reads.operations import (
    MemberFailed,
    Orphan,
    failures_of,
    get_operation,
    list_operations,
    orphans_among_operations,
)
from service.ledger.records.operations import (
    record_begun,
    record_broken_off,
    record_handed_over,
    record_operation,
    record_rate,
    record_stopped,
)
from service.lifecycle.enqueue import Enqueuer
from service.lifecycle.following import Following
from service.lifecycle.kinds import known_kind
from service.lifecycle.new_job import new_job
from service.lifecycle.operations.changing import ChangeMembers, RunMembersNow, read_change
from service.lifecycle.operations.deeds import CancelMembers, Deed, DeleteMembers, ReplayMembers
from service.lifecycle.operations.job_filter import stored_filter
from service.lifecycle.operations.runner import PAGE, Progress, Runner
from service.lifecycle.runnable import Runnable
from service.options import Options

T = TypeVar("T")
_ORPHANS_AT_ONCE = 100


class Operations:
    """See the package. Every method raises `LedgerUnavailable`, but `operate` outlives outages once it has begun."""

    def __init__(self, enqueuer: Enqueuer, following: Following, catalogue: Catalogue, runnable: Runnable) -> None:
        self.ledger = enqueuer.ledger
        self._enqueuer = enqueuer
        self._following = following
        self._catalogue = catalogue
        self._runnable = runnable

    async def accept(self, new: NewOperation) -> Operation:
        """Record an operation with the job that carries it out.

        Raises `KindUnknown` for a replay of an unknown kind.
        """
        self.check(new)

        async def write(job: NewJob) -> None:
            with_job = replace(new, job_id=job.id)
            record = partial(record_operation, new=with_job, job=job, writer=self._enqueuer.writer)
            await self.ledger.database.run(record)

        await self._enqueue(new.id, write)
        return await self.find(new.id)

    def check(self, new: NewOperation) -> None:
        """Raise `KindUnknown` for a replay of jobs of an unknown kind: none of them could run."""
        kinds = stored_filter(new.action, new.filter, new.created_at).kinds if new.action == "replay" else ()
        with located("filter", "kind"):
            for kind in kinds:
                if "." not in kind:  # a name with a dot may be a label
                    known_kind(self._catalogue, kind)

    async def find(self, operation_id: str) -> Operation:
        """Look an operation up. Raises `OperationNotFound`."""
        async with self.ledger.read() as connection:
            found = await get_operation(connection, operation_id)
        if found is None:
            raise _not_found(operation_id)
        return found

    async def failures(self, operation_id: str) -> Sequence[MemberFailed]:
        """Return the first members that an operation failed on."""
        async with self.ledger.read() as connection:
            return await failures_of(connection, operation_id)

    async def page(self, after: Place | None, limit: int) -> Sequence[Operation]:
        """List operations, newest first."""
        async with self.ledger.read() as connection:
            return await list_operations(connection, after, limit)

    async def stop(self, operation_id: str) -> Operation:
        """Stop an operation: no further member is acted on. Raises `OperationNotFound` and `OperationEnded`."""
        record = partial(record_stopped, operation_id=operation_id, writer=self._enqueuer.writer, at=agreed_time.now())
        operation, followed = await self.ledger.database.run(record)
        self._following.carry_on(followed)
        if operation is None:
            raise _not_found(operation_id)
        if operation.state is not OperationState.STOPPED:
            raise OperationEnded(f"The operation has {operation.state}: it cannot be stopped.")
        return operation

    async def set_rate(self, operation_id: str, rate: float | None) -> Operation:
        """Change an operation's rate from now on. Raises `OperationNotFound` and `OperationEnded`."""
        record = partial(record_rate, operation_id=operation_id, rate=rate, at=agreed_time.now())
        operation = await self.ledger.database.run(record)
        if operation is None:
            raise _not_found(operation_id)
        if not operation.is_live:
            raise OperationEnded(f"The operation has {operation.state}: its pace cannot be changed.")
        return operation

    async def operate(self, operation_id: str, job_id: str, *, within_s: float, progress: Progress) -> Operated | None:
        """See `jobs.operate.Operator`."""
        until = time.monotonic() + within_s
        begun = await self.ledger.database.run(partial(record_begun, operation_id=operation_id, job_id=job_id))
        if begun is None:
            return None
        left = await self.runner(begun, progress).run(begun, until=until)
        return Operated(str(left.state), left.matched, left.done, left.failed, is_over=not left.is_live)

    def runner(self, operation: Operation, progress: Progress | None = None, *, page: int = PAGE) -> Runner:
        """Make the runner of an operation, with pages of `page` members."""
        wanted = stored_filter(operation.action, operation.filter, operation.created_at)
        return Runner(self.ledger, wanted, self.deed_of(operation), progress, page=page)

    def deed_of(self, new: NewOperation | Operation) -> Deed:
        """Make the deed of an operation's action. Raises `ArgsInvalid` for args that do not fit their kind."""
        dispatcher, writer = self._enqueuer.dispatcher, self._enqueuer.writer
        match new.action:
            case "replay":
                return ReplayMembers(dispatcher, self._following, self._runnable)
            case "cancel":
                return CancelMembers(dispatcher, self._following, writer)
            case "delete":
                return DeleteMembers(self.ledger)
            case "run_now":
                return RunMembersNow(dispatcher)
            case "change":
                kinds = stored_filter(new.action, new.filter, new.created_at).kinds
                kind = self._catalogue.get(kinds[0]) if len(kinds) == 1 else None
                wanted = read_change(new.change or "{}", kind)
                return ChangeMembers(self.ledger, dispatcher, self._catalogue, wanted)

    async def adopt_orphans(self) -> bool:
        """Take care of live operations that nobody carries out any more; return whether there may be more of them.

        An operation that an API could not finish gets a job. An operation whose job has ended is marked as failed or
        stopped; a replay of the job lets it go on.
        """
        now = agreed_time.now()
        async with self.ledger.read() as connection:
            orphans = await orphans_among_operations(connection, now, _ORPHANS_AT_ONCE)
        for orphan in orphans:
            await (self._hand_over(orphan) if orphan.job_id is None else self._break_off(orphan))
        return len(orphans) == _ORPHANS_AT_ONCE

    async def _hand_over(self, orphan: Orphan) -> None:
        async def write(job: NewJob) -> bool:
            writer, now = self._enqueuer.writer, agreed_time.now()
            record = partial(record_handed_over, operation_id=orphan.id, job=job, writer=writer, at=now)
            return await self.ledger.database.run(record)

        await self._enqueue(orphan.id, write)

    async def _break_off(self, orphan: Orphan) -> None:
        state, error = OperationState.FAILED, f"Its job has failed: {orphan.job_error}"
        if orphan.job_state == "cancelled":
            state, error = OperationState.STOPPED, JOB_CANCELLED
        elif orphan.job_state != "failed":
            error = "Its job is gone."
        record = partial(record_broken_off, operation_id=orphan.id, state=state, error=error, at=agreed_time.now())
        await self.ledger.database.run(record)

    async def _enqueue(self, operation_id: str, write: Callable[[NewJob], Awaitable[bool | None]]) -> None:
        """Make the job of an operation, and dispatch it unless `write` says that it was not recorded."""

        async def write_one(jobs: Sequence[NewJob]) -> NewJob | None:
            [job] = jobs
            return None if await write(job) is False else job

        planned = new_job(operate, OperateArgs(operation=operation_id), Options(), agreed_time.now())
        job = await self._enqueuer.within_hooks([planned], write_one)
        if job is not None:
            await self._enqueuer.dispatcher.dispatch([job])


def _not_found(operation_id: str) -> OperationNotFound:
    return OperationNotFound(f"There is no operation {operation_id!r}. It may be past its retention.")
