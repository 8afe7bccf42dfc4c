"""Whether a job of the past could run today: its kind and its queue are known, and its args still fit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog
from pydantic import ValidationError

from jobs import Catalogue
from service.errors import ArgsInvalid, QueueUnknown, SecretUnreadable
from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.ledger.reads.members import Member
from service.ledger.reads.workers import worked_queues
from service.lifecycle.args import describe
from service.lifecycle.kinds import known_kind

log = structlog.get_logger(__name__)

# Args may have 256 KiB each: read a few first, then as many as are that large together.
_READ_FIRST = 50
_BYTES_AT_ONCE = 4 * 1024 * 1024


class Runnable:
    """Judges jobs by `catalogue` and `check_queue`, which raises `QueueUnknown` for a queue that no worker serves."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, check_queue: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._check_queue = check_queue

    def check(self, job_id: str, kind_name: str, queue: str, args: str | None) -> None:
        """Raise `KindUnknown`, `QueueUnknown` or `ArgsInvalid` for a job that could not run.

        Args of None are not checked.
        """
        kind = known_kind(self._catalogue, kind_name)
        self._check_queue(queue)
        if args is None:
            return
        try:
            kind.load_args(args)
        except ValidationError as error:
            raise ArgsInvalid(
                f"The stored args no longer fit {kind.name}, so the job cannot be replayed. Give"
                " what is new in the kind's args a default, or enqueue a new job.",
                errors=[one | {"loc": ["args", *one["loc"]]} for one in describe(error)],
            ) from error
        except Exception as error:
            log.error("validator_failed", job_id=job_id, kind=kind.name, exc_info=error)
            raise ArgsInvalid(
                f"The job cannot be replayed: a validator of {kind.name} failed on the stored args"
                f" ({type(error).__name__}); the log has its traceback."
            ) from error

    async def reasons_against(self, jobs: Sequence[Member]) -> dict[str, str]:
        """Return why jobs could not run, by id; jobs that could are left out."""
        unworked = await self._unworked({job.queue for job in jobs})
        reasons = dict.fromkeys((job.id for job in jobs if job.queue in unworked), "queue_unknown")
        unknown = {job.kind for job in jobs} - self._catalogue.keys()
        reasons |= dict.fromkeys((job.id for job in jobs if job.kind in unknown), "kind_unknown")
        left = [job for job in jobs if job.id not in reasons]
        at_once = _READ_FIRST
        while left:
            some, left = left[:at_once], left[at_once:]
            async with self._ledger.read() as connection:
                stored = await queries.stored_args(connection, [job.id for job in some])
            reasons |= await asyncio.to_thread(self._unfit, some, stored)
            at_once = max(1, _BYTES_AT_ONCE * len(some) // max(1, sum(len(one.kept) for one in stored.values())))
        return reasons

    async def _unworked(self, queues: set[str]) -> set[str]:
        """Return the queues that neither this process knows nor any worker has served: workers' settings may differ."""
        unknown = {queue for queue in queues if not self._is_known(queue)}
        if unknown:
            async with self._ledger.read() as connection:
                unknown -= await worked_queues(connection)
        return unknown

    def _is_known(self, queue: str) -> bool:
        try:
            self._check_queue(queue)
        except QueueUnknown:
            return False
        return True

    def _unfit(self, jobs: Sequence[Member], stored: Mapping[str, queries.StoredArgs]) -> dict[str, str]:
        reasons = {}
        for job in jobs:
            if job.id in stored:
                try:
                    if not self._catalogue[job.kind].reads(stored[job.id].whole):
                        reasons[job.id] = "args_invalid"
                except SecretUnreadable:
                    reasons[job.id] = "secret_unreadable"
        return reasons
