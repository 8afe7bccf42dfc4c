"""The door through which the API, cron, workers and kinds move jobs: first the ledger, after its commit the queue."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from jobs import Catalogue, Kind
from service import agreed_time
from service.hooks import Hooks
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueued, NewJob
from service.ledger.reads.listing import Filter
from service.lifecycle import adopt, bulk_replay, cancel, replay, tick
from service.lifecycle.adopt import Adopted
from service.lifecycle.args import accepted_args
from service.lifecycle.bulk_replay import BulkReplay, Reached
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.enqueue import Enqueuer, KeyFor
from service.lifecycle.kinds import known_kind
from service.lifecycle.new_job import new_job
from service.lifecycle.runnable import Runnable
from service.options import Options, check
from service.queue import ArqJob, Queue

_NO_HOOKS = Hooks()


class Lifecycle:
    """Moves jobs. `writer` names this process in the tallies; every job that comes in passes `hooks`.

    `check_queue` raises `QueueUnknown` for a queue that nobody works. Every method raises `LedgerUnavailable`.
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
        self._writer = writer
        self._enqueuer = Enqueuer(ledger, self.dispatcher, hooks, writer=writer)
        self._runnable = Runnable(ledger, catalogue, check_queue)

    def enqueue(self, jobs: Sequence[NewJob], key_for: KeyFor | None = None) -> Coroutine[Any, Any, Enqueued]:
        """Record jobs, all or none, and dispatch the new ones."""
        return self._enqueuer.enqueue(jobs, key_for)

    async def enqueue_one(self, kind_name: str, args: BaseModel | Mapping[str, Any] | None, options: Options) -> str:
        """Enqueue a job by its kind's name; return its id, or the id of the holder of its unique key."""
        check(options)
        kind = known_kind(self.catalogue, kind_name)
        enqueued = await self.enqueue([new_job(kind, accepted_args(kind, args), options, agreed_time.now())])
        return enqueued.ids[0]

    async def tick(self, kind: Kind[Any, Any], due_at: datetime, now: datetime) -> NewJob | None:
        """Enqueue the job of a tick; None when another worker was first."""
        return await tick.tick(self._enqueuer, kind, due_at, now)

    async def adopt(self, arq_jobs: Sequence[ArqJob], due_by: datetime) -> list[Adopted]:
        """Record jobs of plain arq clients, which were due by `due_by`; their ids are on the queue already."""
        return await adopt.adopt(self._enqueuer, self.catalogue, arq_jobs, due_by)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: a waiting one at once, a running one as soon as its worker hears of it."""
        await cancel.cancel(self.ledger, self.dispatcher, job_id, writer=self._writer)

    async def replay(self, job_id: str) -> None:
        """Run a failed or cancelled job again, under its own id.

        Raises `UniqueKeyTaken`, and what enqueueing it would: `KindUnknown`, `QueueUnknown`, `ArgsInvalid`.
        """
        await replay.replay(self.ledger, self.dispatcher, self._runnable, job_id)

    async def replay_matching(
        self, wanted: Filter, *, dry_run: bool, within_s: float, beyond: Reached | None = None
    ) -> BulkReplay:
        """Replay all that match, `beyond` a point reached before, for `within_s`.

        Jobs that could not run stay as they are, and count as skipped. Raises `KindUnknown` for a filter's kind.
        """
        for kind in wanted.kinds:
            known_kind(self.catalogue, kind)
        return await bulk_replay.replay_matching(
            self.ledger, self.dispatcher, self._runnable, wanted, dry_run=dry_run, within_s=within_s, beyond=beyond
        )
