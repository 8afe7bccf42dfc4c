"""Claimed ids whose start the ledger refused: each goes back, aside or off the queue, or turns out to be arq's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from service.ledger.reads.dispatching import HORIZON
from service.ledger.reads.standings import Standing, standings_of
from service.ledger.states import WAITING
from service.lifecycle.lifecycle import Lifecycle
from service.queue import ASIDE_FOR, Claimed, Entry, Taken, is_own_payload
from service.resources import Resources
from service.worker.claiming.adoption import Adoption, ToStart
from service.worker.claiming.lane_refusals import LaneRefusals, lanes_of
from service.worker.claiming.process_room import ProcessRoom
from service.worker.claiming.unknown_kinds import UnknownKinds
from service.worker.suspects import Suspects
from service.worker.workload import Workload

log = structlog.get_logger(__name__)

# A refusal may be temporary: the job has expired and is about to be failed, or its claimer was declared dead.
NEXT_TRY = timedelta(seconds=1)
# A job of an unknown kind at the head of a strict lane holds up all others there.
_HEADS_TRY = timedelta(seconds=5)
# A payload of a plain arq client has up to 1 MiB.
_PAYLOADS_AT_ONCE = 50


@dataclass
class _Sorted:
    """Where refused ids of a claim go. Ids `behind` wait for others in strict lanes; ids `moved` wait elsewhere.

    `standings` has what the ledger knows about each existing job, by id. Ids in `later` come due in `NEXT_TRY`.
    """

    taken: Taken
    standings: Mapping[str, Standing]
    behind: set[str]
    back: list[Entry] = field(default_factory=list)
    later: list[Entry] = field(default_factory=list)
    aside: list[Entry] = field(default_factory=list)
    off: dict[str, Claimed] = field(default_factory=dict)
    moved: list[Entry] = field(default_factory=list)
    maybe_arq_jobs: dict[str, Claimed] = field(default_factory=dict)
    startable: dict[str, Claimed] = field(default_factory=dict)
    certain: dict[str, Entry] = field(default_factory=dict)
    suspects: dict[str, Entry] = field(default_factory=dict)
    in_processes: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class Startable:
    """The jobs that may be started: `jobs` of arq's clients, and jobs to start `at_once`, which must not wait for a
    slot.

    `wait`: further jobs wait for a child process where the next claim finds them. `come_again`: further jobs come due
    after `NEXT_TRY`. A job that has an entry in `entries` goes back by it if its start is refused again.
    """

    jobs: dict[str, Claimed]
    at_once: dict[str, Claimed]
    entries: dict[str, Entry]
    wait: bool
    come_again: bool


class NotStarted:
    """Settles the ids that could not be started."""

    def __init__(
        self,
        resources: Resources,
        lifecycle: Lifecycle,
        workload: Workload,
        suspects: Suspects,
        processes: ProcessRoom,
    ) -> None:
        self._resources = resources
        self._queue = resources.queue
        self._workload = workload
        self._suspects = suspects
        self._processes = processes
        self._knows_lanes = not resources.settings.stock_worker
        self._lane_refusals = LaneRefusals(resources)
        self._unknown = UnknownKinds(resources.queue)
        self._adoption = Adoption(lifecycle, self._unknown)

    async def settle(self, refused: Mapping[str, Claimed], taken: Taken) -> Startable:
        """Deal with refused ids; return the jobs that may be started after all.

        A job that has crashed, or was lost while it may have been waiting, begins at once in a slot that is held for
        it, so that it is known to have begun if its worker dies. So does a job for which a child process is free.
        """
        async with self._resources.ledger.read() as connection:
            standings = await standings_of(connection, list(refused))
        places = _Sorted(taken, standings, behind=await self._lane_refusals.turn_to_heads(refused))
        for member, claimed in refused.items():
            self._sort(places, member, claimed)
        at_once = await self._at_once(places)
        held_up = places.suspects | places.certain | places.in_processes
        places.later += [held_up[job_id] for job_id in (*places.suspects, *places.certain) if job_id not in at_once]
        places.back += [entry for job_id, entry in places.in_processes.items() if job_id not in at_once]
        await self._put(places)
        await self._take_off(places.off, places)
        await self._queue.put(places.moved)
        adopted = await self._adopt(places)
        startable = places.startable | {job_id: refused[member] for job_id, member in adopted.members.items()}
        return Startable(
            startable,
            {job_id: refused[held_up[job_id].id] for job_id in at_once},
            {job_id: _later(held_up[job_id], taken) for job_id in at_once} | adopted.entries,
            wait=not places.in_processes.keys() <= set(at_once),
            come_again=bool(places.later),
        )

    async def put_back(self, entries: Sequence[Entry], taken: Taken) -> None:
        """Put ids back as their entries say, and end their claim."""
        if entries:
            await self._queue.put_back(entries, taken.claim_ms)

    async def _at_once(self, places: _Sorted) -> list[str]:
        """Hold slots for the jobs that must begin at once; return the jobs that got one."""
        suspects = self._suspects.may_start(list(places.suspects), self._workload.begun)
        in_processes = list(places.in_processes)[: self._processes.left(self._workload)]
        wanted = [*suspects, *places.certain, *in_processes]
        return wanted[: await self._workload.slots.hold(len(wanted))] if wanted else []

    def _sort(self, places: _Sorted, member: str, claimed: Claimed) -> None:
        standing, due_by = places.standings.get(member), places.taken.due_by
        if standing is None or standing.state not in WAITING:
            places.maybe_arq_jobs[member] = claimed
            return
        lanes = lanes_of(standing) if self._knows_lanes else ()
        limits = standing.lane_limits
        entry = Entry(member, standing.kind, claimed.queue, standing.run_at, standing.priority, lanes, limits)
        # Beyond the horizon a job waits in SQL, except an arq client's, which would miss its payload.
        is_soon = standing.run_at <= due_by + HORIZON or standing.arq_id is not None
        if _has_moved(standing, claimed, lanes):
            places.off[member] = claimed
            places.moved += [entry._replace(queue=standing.queue)] if is_soon else []
        elif standing.run_at > due_by:
            if is_soon:
                places.back.append(entry)
            else:
                places.off[member] = claimed
        elif standing.kind not in self._resources.catalogue:
            _sort_unknown(places, entry, due_by + (_HEADS_TRY if claimed.strict else ASIDE_FOR))
        elif member in places.behind or (lanes and not claimed.in_lane):
            places.back.append(entry)  # into its lane, where it waits
        else:
            self._sort_startable(places, claimed, standing, entry)

    def _sort_startable(self, places: _Sorted, claimed: Claimed, standing: Standing, entry: Entry) -> None:
        """Place a job that may be started here, alone or under a condition."""
        later = _later(entry, places.taken)
        if self._suspects.includes(standing.crashes):
            places.suspects[standing.id] = later
        elif standing.crashes or standing.prefetched:
            places.certain[standing.id] = later
        elif standing.kind in self._processes.kinds:
            places.in_processes[standing.id] = entry  # keeps its place: a child may soon be free, here or elsewhere
        elif standing.id != entry.id:
            places.startable[standing.id] = claimed
        else:
            places.later.append(later)

    async def _put(self, places: _Sorted) -> None:
        await self.put_back([*places.back, *places.later], places.taken)
        if places.aside:
            await self._unknown.set_aside(places.aside, places.taken.due_by)

    async def _take_off(self, claimed: Mapping[str, Claimed], places: _Sorted) -> None:
        for queue in {one.queue for one in claimed.values()}:
            await self._queue.remove(queue, [one.member for one in claimed.values() if one.queue == queue])
        await self._let_go(claimed, places)

    async def _let_go(self, claimed: Mapping[str, Claimed], places: _Sorted) -> None:
        await self._lane_refusals.let_go(claimed, places.standings, places.behind, places.taken.claim_ms)

    async def _adopt(self, places: _Sorted) -> ToStart:
        members = places.maybe_arq_jobs
        own = await self._own([member for member in members if member in places.standings])
        await self._take_off({member: members[member] for member in own}, places)
        maybe_arq_jobs = {member: claimed.queue for member, claimed in members.items() if member not in own}
        adopted = await self._adoption.adopt(maybe_arq_jobs, places.taken.due_by, into_lanes=self._knows_lanes)
        left = {member: members[member] for member in maybe_arq_jobs if member not in adopted.members.values()}
        await self._let_go(left, places)
        return adopted

    async def _own(self, members: Sequence[str]) -> set[str]:
        """Find the ids of running and ended jobs that no arq client has reused or still sees."""
        own: set[str] = set()
        for first in range(0, len(members), _PAYLOADS_AT_ONCE):
            payloads = await self._queue.arq.payloads(members[first : first + _PAYLOADS_AT_ONCE])
            own |= {one for one, found in payloads.items() if not isinstance(found, bytes) or is_own_payload(found)}
        return own


def _later(entry: Entry, taken: Taken) -> Entry:
    return entry._replace(due_at=taken.due_by + NEXT_TRY, priority=0)


def _sort_unknown(places: _Sorted, entry: Entry, again_at: datetime) -> None:
    """Place a job whose kind this worker does not know. A job in a lane stays there: lanes have no place aside."""
    if entry.lanes:
        places.back.append(entry._replace(due_at=again_at))  # others may know its kind, and jobs wait behind it
    else:
        places.aside.append(entry)


def _has_moved(standing: Standing, claimed: Claimed, lanes: Sequence[str]) -> bool:
    """Whether a job, changed since its id was put there, waits in another place than where the id was claimed."""
    left = set(claimed.lanes) - set(lanes)
    # An arq client's id is claimed from only one of its lanes.
    come = set(lanes) - set(claimed.lanes) if claimed.in_lane and standing.arq_id is None else set()
    return standing.queue != claimed.queue or bool(left or come)
