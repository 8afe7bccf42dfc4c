"""From ids on the queue to attempts that may be performed."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from service import agreed_time
from service.ledger.models import Start, Started
from service.ledger.states import isolated_from
from service.queue import LONGEST_ID, Claimed
from service.worker.claiming.not_started import NotStarted
from service.worker.claiming.waiting import Waiting
from service.worker.performing.attempt import timeout_of
from service.worker.performing.performer import Performer

log = structlog.get_logger(__name__)

# How long arq's clients are shown an adopted job as in progress, beyond its timeout.
_HOLD_MARGIN_S = 60.0


class Claims:
    """Claims due ids, and starts what the ledger lets it start."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._resources = performer.resources
        self._refused = NotStarted(performer.resources, performer.lifecycle)
        self._kinds = tuple(performer.resources.catalogue)
        self.waiting = Waiting(performer.resources.queue, performer.resources.settings.queues)
        self._first = 0
        self._isolated_from = isolated_from(performer.resources.settings.max_crashes)

    @property
    def allowed(self) -> bool:
        return self._performer.may_claim

    async def take(self, free: int) -> list[Started]:
        """Claim up to `free` due ids and start them; nothing means that nothing is due.

        Claimed ids that cannot be started leave the due range, so that what is behind them comes next.
        Raises `UNREACHABLE` and `LedgerUnavailable`.
        """
        while True:
            taken = await self._resources.queue.claim(self._queues(), free, self._kinds)
            self.waiting.note_time(taken.due_by)
            if not taken.claimed:
                return []
            if started := await self.start(taken.claimed, taken.due_by):
                return started

    async def start(self, claimed: Sequence[Claimed], due_by: datetime) -> list[Started]:
        """Start the jobs behind claimed ids; what cannot start is taken off the queue or left for others."""
        by_id = {job_id: one for one in claimed if (job_id := self._job_id(one)) is not None}
        # Those that may have to wait for a slot are marked so, and what has crashed before is not among them.
        is_ahead = len(by_id) > self._performer.slots.free
        started = await self._record_started(list(by_id), due_by, prefetched=is_ahead)
        at_once: dict[str, Started] = {}
        try:
            await self._tidy(by_id, started, at_once, due_by, prefetched=is_ahead)
        except Exception as error:  # noqa: BLE001 - what is started must be performed, whatever happens to the rest
            log.warning(
                "queue_not_tidied", error=repr(error.__cause__ or error), remedy="it is tried at the next claim"
            )
        return [*at_once.values(), *started.values()]  # in this order, for slots are held for the first

    async def _tidy(
        self,
        by_id: Mapping[str, Claimed],
        started: dict[str, Started],
        at_once: dict[str, Started],
        due_by: datetime,
        *,
        prefetched: bool,
    ) -> None:
        """Take started ids off the queue, and deal with the refused; adds to both dicts what is started on the way."""
        self._take_off([by_id[job_id] for job_id in started if started[job_id].arq_id is None])
        held_ids = self._performer.held_ids
        refused = {job_id: one for job_id, one in by_id.items() if job_id not in started and job_id not in held_ids}
        if refused:
            may_start, hold = not self._performer.runs_suspect, self._performer.slots.hold
            startable = await self._refused.settle(refused, due_by, suspect_may_start=may_start, hold=hold)
            started |= await self._record_started(startable.jobs, due_by, prefetched=prefetched)
            at_once |= await self._record_started(startable.at_once, due_by, any_crashes=True)
        if adopted := [one for one in (*at_once.values(), *started.values()) if one.arq_id is not None]:
            await self._hold(adopted)

    def _queues(self) -> list[str]:
        """Return the queues, each time beginning with the next one, so that none starves the others."""
        queues = self._resources.settings.queues
        self._first = (self._first + 1) % len(queues)
        return [*queues[self._first :], *queues[: self._first]]

    def _job_id(self, claimed: Claimed) -> str | None:
        """Read a member as a job's id; one that can be no id is removed."""
        try:
            job_id = claimed.member.decode()
        except UnicodeDecodeError:
            job_id = ""
        if 0 < len(job_id) <= LONGEST_ID and "\0" not in job_id:
            return job_id
        log.error("queue_member_removed", found=repr(claimed.member[:LONGEST_ID]), reason="it can be no job's id")
        self._resources.queue.remove_soon(claimed.queue, [claimed.member])
        return None

    async def _record_started(
        self, ids: Sequence[str], due_by: datetime, *, prefetched: bool = False, any_crashes: bool = False
    ) -> dict[str, Started]:
        """Begin attempts. The ids are in hand before the ledger knows, so that nobody takes them for forgotten."""
        crashes_below = None if any_crashes else 1 if prefetched else self._isolated_from
        worker_id, now = self._performer.worker_id, agreed_time.now()
        new = [job_id for job_id in ids if job_id not in self._performer.held_ids]
        self._performer.held_ids.update(new)
        started: dict[str, Started] = {}
        try:
            if new:
                start = Start(tuple(new), worker_id, self._kinds, now, due_by, crashes_below, prefetched)
                started = await self._resources.ledger.start(start)
        finally:
            self._performer.held_ids.difference_update(set(new) - started.keys())
        return started

    def _take_off(self, started: Sequence[Claimed]) -> None:
        for queue in {one.queue for one in started}:
            self._resources.queue.remove_soon(queue, [one.member for one in started if one.queue == queue])

    async def _hold(self, adopted: Sequence[Started]) -> None:
        catalogue = self._resources.catalogue
        await self._resources.queue.arq.hold(
            {
                one.arq_id: timeout_of(one, catalogue[one.kind]) + _HOLD_MARGIN_S
                for one in adopted
                if one.arq_id is not None
            }
        )
