"""From ids on the queue to attempts that may be performed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from service.ledger import queries
from service.ledger.models import Start, Started
from service.ledger.states import WAITING
from service.queue import Claimed, is_own_payload
from service.worker.adopted import LONGEST_ID, Adoption
from service.worker.perform import Performer

log = structlog.get_logger(__name__)

# How long arq's clients are shown an adopted job as in progress, beyond its timeout.
_HOLD_MARGIN_S = 60.0


class Claims:
    """Claims due ids, and starts what the ledger lets it start."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._resources = performer.resources
        self._adoption = Adoption(performer.resources)
        self._kinds = tuple(performer.resources.catalogue)
        self._first = 0

    @property
    def allowed(self) -> bool:
        return self._performer.may_claim

    async def take(self, free: int) -> list[Started]:
        """Claim up to `free` due ids and start them. Raises `UNREACHABLE` and `LedgerUnavailable`."""
        claimed: list[Claimed] = []
        for queue in self._queues():
            if len(claimed) < free:
                claimed += await self._resources.queue.claim(queue, free - len(claimed))
        return await self.start(claimed) if claimed else []

    async def start(self, claimed: Sequence[Claimed]) -> list[Started]:
        """Start the jobs behind claimed ids; what cannot start is taken off the queue or left for others."""
        by_id = {job_id: one for one in claimed if (job_id := await self._job_id(one)) is not None}
        started = await self._record_started(list(by_id))
        try:
            await self._tidy(by_id, started)
        except Exception as error:  # noqa: BLE001 - what is started must be performed, whatever happens to the rest
            log.warning(
                "queue_not_tidied", error=repr(error.__cause__ or error), remedy="it is tried at the next claim"
            )
        return list(started.values())

    async def _tidy(self, by_id: Mapping[str, Claimed], started: dict[str, Started]) -> None:
        """Take started ids off the queue, and deal with the refused; adds to `started` what is adopted on the way."""
        refused = {job_id: one for job_id, one in by_id.items() if job_id not in started}
        await self._take_off([by_id[job_id] for job_id in started if started[job_id].arq_id is None])
        for attempt in list(started.values()):
            if attempt.arq_id is not None:
                await self._hold(attempt)
        for job_id, claim in refused.items():
            try:
                adopted = await self._settle_refused(job_id, claim)
            except Exception as error:  # noqa: BLE001 - one odd id must not keep the others from being settled
                log.warning("claim_not_settled", job_id=job_id, error=repr(error.__cause__ or error))
                continue
            if adopted is not None:
                started[adopted.id] = adopted
                await self._hold(adopted)

    def _queues(self) -> list[str]:
        """Give the queues, each time beginning with the next one, so that none starves the others."""
        queues = self._resources.settings.queues
        self._first = (self._first + 1) % len(queues)
        return [*queues[self._first :], *queues[: self._first]]

    async def _job_id(self, claimed: Claimed) -> str | None:
        """Read a member as a job's id; one that can be no id is removed."""
        try:
            job_id = claimed.member.decode()
        except UnicodeDecodeError:
            job_id = ""
        if 0 < len(job_id) <= LONGEST_ID and "\0" not in job_id:
            return job_id
        log.error("queue_member_removed", member=repr(claimed.member[:LONGEST_ID]), reason="it can be no job's id")
        await self._resources.queue.remove(claimed.queue, [claimed.member])
        return None

    async def _record_started(self, ids: Sequence[str]) -> dict[str, Started]:
        """Begin attempts. The ids are in hand before the ledger knows, so that nobody takes them for forgotten."""
        worker_id, now = self._performer.worker_id, datetime.now(UTC)
        new = [job_id for job_id in ids if job_id not in self._performer.in_hand]
        self._performer.in_hand.update(new)
        started: dict[str, Started] = {}
        try:
            starts = [Start(job_id, worker_id, self._kinds, now) for job_id in new]
            started = {one.id: one for one in await self._resources.ledger.start(starts) if one is not None}
        finally:
            self._performer.in_hand.difference_update(set(new) - started.keys())
        return started

    async def _take_off(self, started: Sequence[Claimed]) -> None:
        for queue in {one.queue for one in started}:
            await self._resources.queue.remove(queue, [one.member for one in started if one.queue == queue])

    async def _hold(self, started: Started) -> None:
        kind = self._resources.catalogue[started.kind]
        timeout_s = started.timeout_s or kind.timeout.total_seconds()
        assert started.arq_id is not None
        await self._resources.queue.hold(started.arq_id, timeout_s + _HOLD_MARGIN_S)

    async def _settle_refused(self, job_id: str, claimed: Claimed) -> Started | None:
        """A refused start: a job that is over or runs already leaves the queue, an unknown id may be arq's."""
        if job_id in self._performer.in_hand:
            return None
        async with self._resources.ledger.read() as connection:
            state, kind = (await queries.states_of(connection, [job_id])).get(job_id, (None, None))
            adopted_id = await queries.waiting_as(connection, job_id)
        if state in WAITING:
            if kind not in self._kinds:
                log.warning("kind_unknown", kind=kind, job_id=job_id, reason="left for a worker that knows it")
            await self._resources.queue.release([claimed.member])
            return None
        if adopted_id is not None:  # an id that an arq client used again stands for a row of another id
            return (await self._record_started([adopted_id])).get(adopted_id)
        if state is not None and not await self._is_foreign(job_id):
            await self._take_off([claimed])
            return None
        return await self._adopt(job_id, claimed)

    async def _is_foreign(self, job_id: str) -> bool:
        payload = await self._resources.queue.payload(job_id)
        return payload is not None and not is_own_payload(payload)

    async def _adopt(self, member: str, claimed: Claimed) -> Started | None:
        job_id = await self._adoption.adopt(member, claimed.queue)
        if job_id is None:
            return None
        return (await self._record_started([job_id])).get(job_id)
