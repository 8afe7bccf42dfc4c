"""One attempt, from its recorded start to what Redis is told of its end."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from jobs import Kind
from jobs.kit.steps import NOTHING, Given
from service import agreed_time
from service.errors import LedgerUnavailable
from service.job_resources import JobResources
from service.ledger.models import NOTHING_FOLLOWED, Finish, Finished, Started
from service.ledger.sealed import JOB_ARGS
from service.ledger.states import SUCCESS, Outcome
from service.ledger.traits import PREPARED
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.vault import is_sealed
from service.worker.claiming.pauses import Pauses
from service.worker.performing import outcome
from service.worker.performing.attempt_log import is_quiet, tell_end
from service.worker.performing.contexts import Contexts
from service.worker.performing.deadlines import Deadlines
from service.worker.performing.durations import Durations, is_late
from service.worker.performing.finish import finish_of
from service.worker.performing.finishing import Finishing
from service.worker.performing.in_process import InProcessAttempt
from service.worker.performing.isolated import IsolatedAttempt
from service.worker.performing.lane_starts import LaneStarts
from service.worker.performing.masked_failure import without_secrets
from service.worker.performing.particulars import Particulars
from service.worker.performing.processes.attempt import ProcessAttempt
from service.worker.performing.processes.messages import Handed
from service.worker.performing.processes.pool import ProcessPool
from service.worker.performing.recorded_log import RecordedLog
from service.worker.performing.settling import Settling
from service.worker.performing.threads import JobThreads
from service.worker.suspects import Suspects
from service.worker.workload import Attempt, Workload

CTX_KEY = "postlude"
_logger = logging.getLogger(__name__)

OnFinished = Callable[[Finished | None], None]


class Performer:
    """Performs attempts for one worker, each in one story: `_perform`.

    What many attempts do together (waiting for slots, recording, telling Redis) is hidden behind the story's awaits.
    """

    def __init__(self, resources: Resources, job_resources: JobResources) -> None:
        self.resources = resources
        self.lifecycle = Lifecycle(
            resources.ledger,
            resources.queue,
            resources.catalogue,
            writer=resources.process_id,
            hooks=resources.hooks,
            check_queue=resources.check_queue,
        )
        self.workload = Workload(resources.process_id)
        self.suspects = Suspects(resources.settings.max_crashes)
        self.threads = JobThreads(resources.settings.max_jobs)
        self.processes = ProcessPool(resources.settings)
        self._deadlines = Deadlines()
        self._contexts = Contexts(resources, job_resources, self.lifecycle)
        self._particulars = Particulars(resources.ledger)
        self.durations = Durations(resources.ledger, resources.process_id)
        self.lane_starts = LaneStarts(resources.ledger, resources.process_id)
        self.finishing = Finishing(resources.ledger, resources.catalogue)
        self.recorded_log = RecordedLog(resources.ledger, resources.catalogue)
        self.pauses = Pauses(resources.ledger)
        self._settling = Settling(self.lifecycle, self.workload.changed.set)

    def begin(self, started: Started, on_finished: OnFinished, *, has_slot: bool = False) -> None:
        """Begin a started attempt as soon as there is a slot, in the order of these calls; at once if it `has_slot`.

        `on_finished` gets the recorded finish: None if the attempt was taken away meanwhile.
        """
        if started.in_lane:
            self.lane_starts.note(started.lanes)
        self.workload.begin(
            started,
            lambda has_slot: asyncio.create_task(self._perform(started, has_slot, on_finished)),
            has_slot=has_slot,
        )

    async def _perform(self, started: Started, has_slot: bool, on_finished: OnFinished) -> None:
        """Perform one attempt. Its start was recorded when it was claimed, together with others."""
        kind = self.resources.catalogue[started.kind]
        began_s, ran_s, handed_back = time.monotonic(), None, False
        try:
            try:
                if has_slot:
                    finish = await self._run(started, kind)
                    ran_s, handed_back = time.monotonic() - began_s, finish.outcome is Outcome.INTERRUPTED
                    if kind.slo is not None and is_late(started, finish, kind):
                        finish = finish._replace(late=True)
                else:
                    finish = finish_of(started, outcome.of_no_slot(), kind.retry, agreed_time.now())
            finally:
                self.workload.end(started, has_slot=has_slot, handed_back=handed_back)
            if finish.outcome is SUCCESS:
                self.workload.leave_lanes(started)
            finish, finished = await self.finishing.record(started, finish)
        finally:
            # Before the job is on the queue again, where this very worker may claim it at once.
            self.workload.release((started.id,))
        if not is_quiet(finish, finished) or _logger.isEnabledFor(logging.DEBUG):
            tell_end(finish, finished)
        if finished is not None and ran_s is not None:
            self.durations.note(started, finish, ran_s)
        if finished is not None and finished.followed is not NOTHING_FOLLOWED:
            self.lifecycle.following.carry_on(finished.followed)
        await self._settling.settle(started, finish, finished)
        self.workload.leave_lanes(started)
        on_finished(finished)

    async def _run(self, started: Started, kind: Kind[Any, Any]) -> Finish:
        """Run the kind under its timeout, within the hooks, and judge how it ended.

        An attempt that cannot begin fails.
        """
        given = NOTHING
        try:
            if is_sealed(started.args):
                started = self._open(started)
            if started.traits & PREPARED:
                started, given = await self._particulars.of(started)
            attempt = self._attempt(started, kind, given)
            self.workload.run(attempt)
            finish = await attempt.run()
            return finish if finish.failure is None else without_secrets(finish, kind, started.args)
        except LedgerUnavailable:
            return finish_of(started, outcome.of_unprepared(), kind.retry, agreed_time.now())
        except Exception as error:  # noqa: BLE001 - whatever happens, no job may stay `running` for ever
            return finish_of(started, outcome.of_error(error), kind.retry, agreed_time.now())
        finally:
            self.threads.leave(started.id, started.attempt)

    def _open(self, started: Started) -> Started:
        return started._replace(args=JOB_ARGS.open(self.resources.ledger.vault, started.args, started.id))

    def _attempt(self, started: Started, kind: Kind[Any, Any], given: Given) -> Attempt:
        settings = self.resources.settings
        if self.suspects.includes(started.crashes):
            return IsolatedAttempt(started, kind, settings, given)
        context = self._contexts.context_of(started, kind, given)
        deadlines, hooks = self._deadlines, self.resources.hooks
        if kind.runs == "process":
            handed = Handed(started, given, agreed_time.now())
            hear = self.recorded_log.hear
            return ProcessAttempt(handed, kind, context, self.processes, deadlines=deadlines, hooks=hooks, hear=hear)
        return InProcessAttempt(
            started, kind, context, deadlines=deadlines, hooks=hooks, max_crashes=settings.max_crashes
        )

    @property
    def may_claim(self) -> bool:
        """Whether the worker may take on more work: it holds its lease, can write outcomes, and is not draining."""
        return not (self.workload.lease_lost or self.workload.drains or self.finishing.unwritable)

    @property
    def busy(self) -> bool:
        """Whether an attempt is running, its outcome is unrecorded, or Redis has not been told about it."""
        return not self.workload.is_empty or self._settling.busy

    async def idle(self) -> None:
        """Wait until nothing runs, every outcome is recorded, and Redis has been told."""
        while self.busy:
            await self.workload.next_change()


def performer_of(ctx: Mapping[Any, Any]) -> Performer:
    """Return the performer from arq's ctx, where it is the only key of ours."""
    performer: Performer = ctx[CTX_KEY]
    return performer
