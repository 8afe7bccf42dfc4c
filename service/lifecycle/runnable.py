"""Whether a job of the past could run today: its kind and its queue are known, and its args still fit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog
from pydantic import ValidationError

from jobs import Catalogue
from service.errors import ArgsInvalid, QueueUnknown
from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.ledger.reads.listing import ToReplay
from service.lifecycle.args import describe
from service.lifecycle.kinds import known_kind

log = structlog.get_logger(__name__)

_READ_AT_ONCE = 50  # args, of up to 256 KiB each


class Runnable:
    """Judges jobs by `catalogue` and by `check_queue`, which raises `QueueUnknown` for a queue that nobody works."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, check_queue: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._check_queue = check_queue

    def check(self, job_id: str, kind_name: str, queue: str, args: str) -> None:
        """Raise `KindUnknown`, `QueueUnknown` or `ArgsInvalid` for a job that could not run."""
        kind = known_kind(self._catalogue, kind_name)
        self._check_queue(queue)
        try:
            kind.load_args(args)
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

    async def reasons_against(self, jobs: Sequence[ToReplay]) -> dict[str, str]:
        """Return why jobs could not run, by their ids; a job that could is left out."""
        reasons = {job.id: reason for job in jobs if (reason := self._nowhere_to_run(job)) is not None}
        left = [job for job in jobs if job.id not in reasons]
        for start in range(0, len(left), _READ_AT_ONCE):
            some = left[start : start + _READ_AT_ONCE]
            async with self._ledger.read() as connection:
                stored = await queries.stored_args(connection, [job.id for job in some])
            unfit = await asyncio.to_thread(self._unfit, some, stored)
            reasons |= dict.fromkeys(unfit, "args_invalid")
        return reasons

    def _nowhere_to_run(self, job: ToReplay) -> str | None:
        if job.kind not in self._catalogue:
            return "kind_unknown"
        try:
            self._check_queue(job.queue)
        except QueueUnknown:
            return "queue_unknown"
        return None

    def _unfit(self, jobs: Sequence[ToReplay], stored: Mapping[str, str]) -> list[str]:
        return [job.id for job in jobs if job.id in stored and not self._catalogue[job.kind].reads(stored[job.id])]
