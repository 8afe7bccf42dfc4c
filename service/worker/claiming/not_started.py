"""Claimed ids whose start the ledger refused: each goes back, aside, or off the queue, or turns out to be arq's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from service.ledger.reads.dispatching import HORIZON
from service.ledger.reads.standings import Standing, standings_of
from service.ledger.states import WAITING
from service.lifecycle.lifecycle import Lifecycle
from service.queue import Claimed, Entry, is_own_payload
from service.resources import Resources
from service.worker.claiming.adoption import Adoption
from service.worker.claiming.unknown_kinds import UnknownKinds
from service.worker.suspects import Suspects
from service.worker.workload import Workload

log = structlog.get_logger(__name__)

# A job may be refused for what passes: it has expired and is about to be failed, or its claimer is declared dead.
_NEXT_TRY = timedelta(seconds=1)


@dataclass
class _Sorted:
    """Where refused ids go."""

    back: list[Entry] = field(default_factory=list)
    aside: list[Entry] = field(default_factory=list)
    off: list[Claimed] = field(default_factory=list)
    maybe_arq_jobs: dict[str, Claimed] = field(default_factory=dict)
    startable: list[str] = field(default_factory=list)
    certain: dict[str, Entry] = field(default_factory=dict)
    suspects: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class Startable:
    """The jobs that may be started: those of arq's clients, and `at_once` those that must not wait for a slot."""

    jobs: list[str]
    at_once: list[str]


class NotStarted:
    """Settles the ids that could not be started."""

    def __init__(self, resources: Resources, lifecycle: Lifecycle, workload: Workload, suspects: Suspects) -> None:
        self._resources = resources
        self._queue = resources.queue
        self._workload = workload
        self._suspects = suspects
        self._unknown = UnknownKinds(resources.queue)
        self._adoption = Adoption(lifecycle, self._unknown)

    async def settle(self, refused: Mapping[str, Claimed], due_by: datetime) -> Startable:
        """Deal with refused ids; return the jobs that may be started all the same.

        A job that has crashed, or was lost while it may have waited, begins at once in a slot that is held for it: so
        it is known to have begun when its worker dies.
        """
        async with self._resources.ledger.read() as connection:
            standings = await standings_of(connection, list(refused))
        places = _Sorted()
        for member, claimed in refused.items():
            self._sort(places, member, claimed, standings.get(member), due_by)
        at_once = await self._at_once(places)
        held_up = places.suspects | places.certain
        places.back += [entry for job_id, entry in held_up.items() if job_id not in at_once]
        if places.back:
            await self._queue.put_back(places.back)
        if places.aside:
            await self._unknown.set_aside(places.aside, due_by)
        await self._take_off(places.off)
        adopted = await self._adopt(places.maybe_arq_jobs, standings, due_by)
        return Startable([*places.startable, *adopted], at_once)

    async def _at_once(self, places: _Sorted) -> list[str]:
        """Hold slots for the jobs that must begin at once; return those for which there is one."""
        suspects = self._suspects.may_start(list(places.suspects), self._workload.begun)
        wanted = [*suspects, *places.certain]
        return wanted[: await self._workload.slots.hold(len(wanted))] if wanted else []

    def _sort(
        self, places: _Sorted, member: str, claimed: Claimed, standing: Standing | None, due_by: datetime
    ) -> None:
        if standing is None or standing.state not in WAITING:
            places.maybe_arq_jobs[member] = claimed
            return
        entry = Entry(member, standing.kind, claimed.queue, standing.run_at, standing.priority)
        if standing.run_at > due_by:
            # Beyond the horizon a job waits in SQL; an arq client would miss the payload of one that it waits for.
            if standing.run_at <= due_by + HORIZON or standing.arq_id is not None:
                places.back.append(entry)
            else:
                places.off.append(claimed)
        elif standing.kind not in self._resources.catalogue:
            places.aside.append(entry)
        elif self._suspects.includes(standing.crashes):
            places.suspects[standing.id] = Entry(member, standing.kind, claimed.queue, due_by + _NEXT_TRY)
        elif standing.crashes or standing.prefetched:
            places.certain[standing.id] = Entry(member, standing.kind, claimed.queue, due_by + _NEXT_TRY)
        elif standing.id != member:
            places.startable.append(standing.id)
        else:
            places.back.append(Entry(member, standing.kind, claimed.queue, due_by + _NEXT_TRY))

    async def _take_off(self, claimed: Sequence[Claimed]) -> None:
        for queue in {one.queue for one in claimed}:
            await self._queue.remove(queue, [one.member for one in claimed if one.queue == queue])

    async def _adopt(
        self, members: Mapping[str, Claimed], standings: Mapping[str, Standing], due_by: datetime
    ) -> list[str]:
        own = await self._own([member for member in members if member in standings])
        await self._take_off([members[member] for member in own])
        maybe_arq_jobs = {member: claimed.queue for member, claimed in members.items() if member not in own}
        return await self._adoption.adopt(maybe_arq_jobs, due_by)

    async def _own(self, members: Sequence[str]) -> set[str]:
        """Find the ids, of jobs that run or are over, that no arq client has used again or is still shown."""
        if not members:
            return set()
        payloads = await self._queue.arq.payloads(members)
        return {
            member for member, payload in payloads.items() if not isinstance(payload, bytes) or is_own_payload(payload)
        }
