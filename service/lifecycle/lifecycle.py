"""The one way in which the API, cron, workers and kinds move jobs: first the ledger, after its commit the queue."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from jobs import Catalogue
from service import agreed_time
from service.errors import Refused
from service.hooks import Hooks
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueued, NewFlow, NewJob
from service.lifecycle import adopt, cancel, replay
from service.lifecycle import flow as flows
from service.lifecycle.adopt import Adopted
from service.lifecycle.args import accepted_args
from service.lifecycle.change import Changer, Wanted, change_of
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.enqueue import Enqueuer, KeyFor
from service.lifecycle.file_check import FileCheck, may_name_files
from service.lifecycle.following import Following
from service.lifecycle.kinds import known_kind
from service.lifecycle.new_job import new_job
from service.lifecycle.operations.bulk_replay import BulkReplay
from service.lifecycle.operations.operations import Operations
from service.lifecycle.runnable import Runnable
from service.lifecycle.schedules.schedules import Schedules
from service.lifecycle.schedules.ticking import Ticking
from service.options import Options, check
from service.queue import ArqJob, Queue

_NO_HOOKS = Hooks()


class Lifecycle:
    """Moves jobs. `writer` names this process in the tallies; every new job passes `hooks`.

    `check_queue` raises `QueueUnknown` for a queue that no worker serves. Every method raises `LedgerUnavailable`.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: Queue,
        catalogue: Catalogue,
        *,
        writer: str,
        hooks: Hooks = _NO_HOOKS,
        check_queue: Callable[[str], None] = lambda _queue: None,
    ) -> None:
        self.ledger = ledger
        self.queue = queue
        self.catalogue = catalogue
        self.dispatcher = Dispatcher(queue)
        self.following = Following(ledger, self.dispatcher, writer=writer)
        self._writer = writer
        self._enqueuer = Enqueuer(ledger, self.dispatcher, self.following, hooks, writer=writer)
        self.ticking = Ticking(self._enqueuer, self.following, catalogue)
        self.schedules = Schedules(ledger, catalogue, self.ticking, writer=writer)
        self._runnable = Runnable(ledger, catalogue, check_queue)
        self.operations = Operations(self._enqueuer, self.following, catalogue, self._runnable)
        self.bulk_replay = BulkReplay(self.operations, writer)
        self._changer = Changer(ledger, self.dispatcher, catalogue, check_queue)

    def enqueue(
        self, jobs: Sequence[NewJob], key_for: KeyFor | None = None, flow: NewFlow | None = None
    ) -> Coroutine[Any, Any, Enqueued]:
        """Record jobs, all or none, with the `flow` that they make, and dispatch the new ones that may run."""
        return self._enqueuer.enqueue(jobs, key_for, flow)

    async def enqueue_one(
        self, kind_name: str, args: BaseModel | Mapping[str, Any] | None, options: Options, **fields: Any
    ) -> str:
        """Enqueue a job by its kind's name; return its id, or the id of its unique key's holder.

        `fields` are further fields of `NewJob`. Raises `Refused` if it names parents or a flow that do not exist.
        """
        check(options)
        kind = known_kind(self.catalogue, kind_name)
        job = new_job(kind, accepted_args(kind, args), options, agreed_time.now(), **fields)
        if may_name_files(job):
            await FileCheck(self.ledger, self.catalogue).check_jobs([job])
        enqueued = await self.enqueue([job])
        if enqueued.unknown:
            raise Refused(f"There is no job or flow {', '.join(enqueued.unknown)}. It may be past its retention.")
        return enqueued.ids[0]

    async def adopt(self, arq_jobs: Sequence[ArqJob], due_by: datetime) -> list[Adopted]:
        """Record jobs of plain arq clients, which were due by `due_by`; their ids are on the queue already."""
        return await adopt.adopt(self._enqueuer, self.catalogue, arq_jobs, due_by)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: a waiting one at once, a running one as soon as its worker hears of it."""
        await cancel.cancel(self.ledger, self.dispatcher, self.following, job_id, writer=self._writer)

    async def change(self, job_id: str, kind: str, wanted: Wanted) -> None:
        """Change a job of this kind that has not started; see `Changer.change`."""
        await self._changer.change(job_id, kind, wanted)

    async def run_now(self, job_id: str) -> None:
        """Make a job that waits for its time due at once; see `Changer.run_now`."""
        await self._changer.run_now(job_id)

    async def replay(self, job_id: str, *, from_start: bool = False) -> None:
        """Run a failed or cancelled job again, under its own id; with `from_start` without its kept steps.

        Raises `UniqueKeyTaken`, `ParentFailed`, and the errors of enqueueing it: `KindUnknown`, `QueueUnknown`,
        `ArgsInvalid`.
        """
        await replay.replay(self.ledger, self.dispatcher, self.following, self._runnable, job_id, from_start=from_start)

    async def replay_edited(self, job_id: str, kind: str, args: BaseModel, *, from_start: bool = False) -> None:
        """Replay a job of this kind with other args. Raises what `replay` does, except errors about its old args."""
        edited = await asyncio.to_thread(
            change_of, job_id, kind, Wanted(args=args), agreed_time.now(), catalogue=self.catalogue
        )
        await replay.replay(
            self.ledger,
            self.dispatcher,
            self.following,
            self._runnable,
            job_id,
            from_start=from_start,
            edited=edited,
        )

    async def cancel_flow(self, flow_id: str, *, within_s: float) -> flows.Acted:
        """Cancel the live jobs of a flow, until time runs out."""
        return await flows.cancel_flow(
            self.ledger, self.dispatcher, self.following, flow_id, writer=self._writer, within_s=within_s
        )

    async def replay_flow(self, flow_id: str, *, within_s: float) -> flows.Acted:
        """Replay the jobs of a flow that failed or that a user cancelled, until time runs out."""
        return await flows.replay_flow(
            self.ledger, self.dispatcher, self.following, self._runnable, flow_id, within_s=within_s
        )
