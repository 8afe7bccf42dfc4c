"""What a worker has in hand: the ids it holds, its slots and attempts, and the lease under which it holds them."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.worker.keeping.loop_watch import Running
from service.worker.performing.failure import line_of
from service.worker.performing.slots import Begin, Slots


class Attempt(Protocol):
    """A running attempt, in this process or in a child, and how to end it early."""

    started: Started
    timeout_s: float
    blocked_s: float

    async def run(self) -> Finish:
        """Run the kind to its end, and judge how it ended."""

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Only the first call counts."""

    def give_up(self) -> None:
        """Wait no longer for what does not end."""

    def crash(self, what: str) -> None:
        """Hear that this process ends, unasked."""

    def exit(self, error: BaseException) -> None:
        """Hear that a task or callback which the kind left to the loop raised `SystemExit` or the like."""

    def is_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the kind's own coroutine."""

    async def stack(self) -> list[str] | None:
        """Return the frames in which it stands, apart from those in threads. None: its own process tells."""


class Workload:
    """Owns what a worker has in hand. Only its own methods write its fields.

    `held_ids` are the jobs that the worker is starting, is performing, keeps waiting for a slot, or has ended without
    a recorded outcome yet. `worker_id` names the lease. `changed` is set whenever something ends.
    """

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._lease_lost = False
        self._crashed = False
        self._stopped = False
        self._drains = False
        self.slots = Slots()
        self.changed = asyncio.Event()
        self._held_ids: set[str] = set()
        self._begun: dict[str, Started] = {}
        self._in_lanes: dict[tuple[str, int], tuple[str, ...]] = {}
        self._attempts: dict[str, Attempt] = {}

    # ---- held ids

    @property
    def held_ids(self) -> frozenset[str]:
        return frozenset(self._held_ids)

    def holds(self, job_id: str) -> bool:
        return job_id in self._held_ids

    def reserve(self, ids: Iterable[str]) -> list[str]:
        """Hold ids before the ledger knows, so that nobody takes them for forgotten; return those that are new."""
        new = [job_id for job_id in ids if job_id not in self._held_ids]
        self._held_ids.update(new)
        return new

    def release(self, ids: Iterable[str]) -> None:
        """Let go of ids: they were not started, or their outcome is recorded."""
        self._held_ids.difference_update(ids)
        self.changed.set()

    def next_change(self) -> Coroutine[Any, Any, Any]:
        """Wait until something ends after this call."""
        self.changed.clear()
        return self.changed.wait()

    @property
    def is_empty(self) -> bool:
        return not self._held_ids

    # ---- attempts and their slots

    @property
    def begun(self) -> Iterable[Started]:
        """The attempts that run, or wait for a slot."""
        return self._begun.values()

    @property
    def running(self) -> Sequence[Attempt]:
        """The attempts that run now. Safe to ask from another thread."""
        return list(self._attempts.values())

    def begin(self, started: Started, begin: Begin, *, has_slot: bool = False) -> None:
        """Take on a started attempt; `begin` hears whether it has got a slot, in the order of these calls.

        Attempts in lanes go ahead: what waits here keeps others in their lanes waiting, in all workers.
        """
        self._begun[started.id] = started
        in_lane = started.in_lane
        if in_lane:
            self._in_lanes[started.id, started.attempt] = started.lanes
        if has_slot:
            begin(True)
        else:
            self.slots.ask(begin, first=in_lane)

    def run(self, attempt: Attempt) -> None:
        """Note that an attempt runs. It is stopped at once if all were by now, or its lease is lost."""
        self._attempts[attempt.started.id] = attempt
        if self._stopped or self._crashed or attempt.started.worker != self._worker_id:
            attempt.stop(Outcome.INTERRUPTED)

    def end(self, started: Started, *, has_slot: bool, handed_back: bool = False) -> None:
        """Note that an attempt is over: its slot, if it has one, goes to the next one.

        One that was `handed_back` unperformed says nothing of how soon others end: to start more in its place would
        hand those back, too.
        """
        self._begun.pop(started.id, None)
        self._attempts.pop(started.id, None)
        if has_slot and handed_back:
            self.slots.give_back()
        elif has_slot:
            self.slots.free(started.kind)
        self.changed.set()

    @property
    def by_kind(self) -> Mapping[str, int]:
        """How many attempts of each kind run or wait, beyond as many as ended lately.

        Those that end within a moment hold up nobody, so the ones prefetched behind them take nothing from others.
        """
        counts = Counter(one.kind for one in self._begun.values())
        counts.subtract(self.slots.lately.by_kind)
        return counts

    def leave_lanes(self, started: Started) -> None:
        """Let others have the share of its destination that an attempt has of this worker. Only the first call counts.

        One that has failed keeps its share until its lanes know: before their breaker has heard of a dead destination,
        the next ones would be sent there.
        """
        if self._in_lanes and self._in_lanes.pop((started.id, started.attempt), None) is not None:
            self.changed.set()

    @property
    def by_lane(self) -> Mapping[str, int]:
        """How many attempts run or wait in each lane, or have failed there and not left it."""
        return Counter(chain.from_iterable(self._in_lanes.values()))

    def attempt_of(self, job_id: str) -> Attempt | None:
        return self._attempts.get(job_id)

    def stop_all(self) -> None:
        """Interrupt what runs, or is about to; it goes back without cost."""
        self._stopped = True
        for attempt in self.running:
            attempt.stop(Outcome.INTERRUPTED)

    def give_up_all(self) -> None:
        for attempt in self.running:
            attempt.give_up()

    # ---- the lease

    @property
    def worker_id(self) -> str:
        return self._worker_id

    @property
    def lease_lost(self) -> bool:
        return self._lease_lost

    @property
    def drains(self) -> bool:
        """Whether no new jobs are to be taken, until the worker is stopped."""
        return self._drains

    def drain(self) -> None:
        """Take no new jobs. What runs, or waits for a slot, goes on to its end."""
        self._drains = True
        self.changed.set()

    @property
    def crashed(self) -> bool:
        """Whether the process ends although nobody has asked it to."""
        return self._crashed

    def lose_lease(self, worker_id: str) -> bool:
        """Stop everything, for others run it by now. False if `worker_id` is not, or no longer, the lease held here."""
        if worker_id != self._worker_id or self._lease_lost:
            return False
        self._lease_lost = True
        self.slots.hand_back()
        self.stop_all()
        return True

    def renew_lease(self, worker_id: str) -> None:
        """Go on under a new lease after the last one was lost."""
        self._worker_id = worker_id
        self._lease_lost = self._stopped = False

    def crash(self, error: BaseException) -> None:
        """End what runs in this process as crashed: the process ends, and nobody has asked it to.

        What waits for a slot goes back without cost, and so do isolated attempts, whose processes are not the one that
        crashed. An attempt that does not end in time is lost: the ledger tells that by itself.
        """
        self._crashed = True
        self.slots.hand_back()
        for attempt in self.running:
            attempt.crash(f"Worker {self._worker_id} ended by {line_of(error)} while it ran this job.")

    # ---- for the watch of the loop, in its thread

    def on_the_loop(self) -> list[Running]:
        """What the loop is busy with."""
        return [Running(one.started.id, one.started.kind, one.timeout_s) for one in self.running]

    def note_blocked(self, task: asyncio.Task[Any] | None, for_s: float) -> None:
        """Hear whose task does not let the loop turn."""
        for attempt in self.running:
            if attempt.is_in(task):
                attempt.blocked_s += for_s
