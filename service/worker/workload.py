"""What a worker is working on: the ids it holds, its slots and attempts, and the lease under which it holds them."""

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
        """Called when this process ends unasked."""

    def exit(self, error: BaseException) -> None:
        """Hear that a task or callback which the kind left to the loop raised `SystemExit` or the like."""

    def is_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the kind's own coroutine."""

    async def stack(self) -> list[str] | None:
        """Return its frames, except those in threads. None: its own process reports them."""


class Workload:
    """Owns what a worker is working on. Only its own methods write its fields.

    `held_ids` are the jobs that the worker is starting, is performing, keeps waiting for a slot, or has ended without
    a recorded outcome yet. `worker_id` names the lease. `changed` is set whenever something ends. `handing_over` is
    locked while a finish may start jobs whose ids are held only once it is recorded.
    """

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._lease_lost = False
        self._crashed = False
        self._stopped = False
        self._drains = False
        self.slots = Slots()
        self.changed = asyncio.Event()
        self.handing_over = asyncio.Lock()
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
        """Hold ids before the ledger knows, so that nobody takes them for forgotten; return the new ones."""
        new = [job_id for job_id in ids if job_id not in self._held_ids]
        self._held_ids.update(new)
        return new

    def release(self, ids: Iterable[str]) -> None:
        """Let go of ids that were not started, or whose outcome is recorded."""
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
        """The attempts that run or wait for a slot."""
        return self._begun.values()

    @property
    def running(self) -> Sequence[Attempt]:
        """The attempts that run now. Safe to ask from another thread."""
        return list(self._attempts.values())

    def begin(self, started: Started, begin: Begin, *, has_slot: bool = False) -> None:
        """Take on a started attempt; `begin` is told whether it has got a slot, in the order of these calls.

        Attempts in lanes go ahead: while one waits here, others in its lanes wait too, in all workers.
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
        """Note that an attempt runs. It is stopped at once if everything has been stopped, or its lease is lost."""
        self._attempts[attempt.started.id] = attempt
        if self._stopped or self._crashed or attempt.started.worker != self._worker_id:
            attempt.stop(Outcome.INTERRUPTED)

    def end(self, started: Started, *, has_slot: bool, handed_back: bool = False) -> None:
        """Note that an attempt is over: its slot, if it has one, goes to the next one.

        An attempt that was `handed_back` unperformed says nothing about how soon others end: attempts started in its
        place would be handed back, too.
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
        """Return how many attempts of each kind run or wait, beyond as many as have ended lately.

        Attempts that end within a moment hold up nobody, so the ones prefetched behind them take nothing from others.
        """
        counts = Counter(one.kind for one in self._begun.values())
        counts.subtract(self.slots.lately.by_kind)
        return counts

    def leave_lanes(self, started: Started) -> None:
        """Free the share of this worker that an attempt takes for its destination. Only the first call counts.

        A failed attempt keeps its share until its lanes know: before their breaker has heard of a dead destination, the
        next attempts would be sent there.
        """
        if self._in_lanes and self._in_lanes.pop((started.id, started.attempt), None) is not None:
            self.changed.set()

    @property
    def by_lane(self) -> Mapping[str, int]:
        """Return how many attempts run or wait in each lane, or have failed there and not left it yet."""
        return Counter(chain.from_iterable(self._in_lanes.values()))

    def attempt_of(self, job_id: str) -> Attempt | None:
        return self._attempts.get(job_id)

    def stop_all(self) -> None:
        """Interrupt all attempts that run or are about to; they go back without cost."""
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
        """Whether the worker takes no new jobs until it is stopped."""
        return self._drains

    def drain(self) -> None:
        """Take no new jobs. Attempts that run or wait for a slot go on to their end."""
        self._drains = True
        self.changed.set()

    @property
    def crashed(self) -> bool:
        """Whether the process is ending although nobody has asked it to."""
        return self._crashed

    def lose_lease(self, worker_id: str) -> bool:
        """Stop everything, because others run it by now.

        Returns False if `worker_id` is not, or no longer, the lease held here.
        """
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
        """End the attempts in this process as crashed: the process is ending, and nobody has asked it to.

        Attempts that wait for a slot go back without cost, and so do isolated ones, whose processes have not crashed.
        An attempt that does not end in time is lost, which the ledger shows by itself.
        """
        self._crashed = True
        self.slots.hand_back()
        for attempt in self.running:
            attempt.crash(f"Worker {self._worker_id} ended by {line_of(error)} while it ran this job.")

    # ---- for the watch of the loop, in its thread

    def on_the_loop(self) -> list[Running]:
        """Return what the loop is busy with."""
        return [Running(one.started.id, one.started.kind, one.timeout_s) for one in self.running]

    def note_blocked(self, task: asyncio.Task[Any] | None, for_s: float) -> None:
        """Note whose task does not let the loop turn."""
        for attempt in self.running:
            if attempt.is_in(task):
                attempt.blocked_s += for_s
