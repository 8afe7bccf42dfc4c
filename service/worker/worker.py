"""The worker class that `arq worker_settings.WorkerSettings` runs: a drop-in for `arq.worker.Worker`.

It takes the same arguments (arq's CLI reads them off the signature, so there is no `__init__` here), performs kinds
itself, and leaves plain functions to arq.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import datetime
from signal import Signals
from types import FrameType

import arq.worker
import structlog

from service.ledger.models import Finished
from service.ledger.states import State
from service.worker.claiming.claim_loop import ClaimLoop
from service.worker.exits import Names, run_through_exits
from service.worker.forced_exit import exit_after_signal, exit_in, exit_without_threads
from service.worker.functions import KindFunction
from service.worker.health import Health
from service.worker.performing.attempt import CTX_KEY, performer_of
from service.worker.performing.failure import line_of
from service.worker.performing.last_attempts import drain, record_crashes

log = structlog.get_logger(__name__)

# How much longer than the grace period the process may take to end.
_EXIT_MARGIN_S = 4.5
# The time a crashing worker has, in all, to record the crashes of its attempts and to sign off.
_CRASHED_EXIT_S = 15.0
# How long all threads may hang before the worker gives up.
_HUNG_FOR_S = 5.0


class Worker(arq.worker.Worker):
    """Claims due ids in batches, starts them in the ledger, performs them; outlives Redis and the database."""

    _stopping: asyncio.Event | None = None
    _crashed = False
    _gave_up = ""
    _hurry: asyncio.Event

    async def main(self) -> None:
        if not self._performs_kinds:
            await super().main()
            return
        self._stopping, self._hurry = asyncio.Event(), asyncio.Event()
        self.ctx["redis"] = self.pool
        if await self._started_up():
            performer = performer_of(self.ctx)
            performer.workload.slots.limit_to(self.max_jobs)
            performer.threads.on_full = self._look_at_threads
            async with Health(self.pool, self.health_check_key, self._state_of_health):
                await ClaimLoop(performer, self._stop, self._count, burst=self.burst).run()
                await drain(performer, within_s=self._grace_s, hurry=self._hurry)

    def run(self) -> None:
        """Run until told to stop.

        An end that nobody asked for has a non-zero exit status and a sentence that says why.
        """
        if not self._performs_kinds:
            super().run()
            return
        self.main_task = self.loop.create_task(self.main())
        try:
            run_through_exits(self.loop, self.main_task, self._kind_exited)
        except asyncio.CancelledError as error:
            if CTX_KEY in self.ctx and not self._stop.is_set():
                self._crash(error)  # a kind cancelled tasks that are not its own
                raise SystemExit(1) from error
        except BaseException as error:
            if CTX_KEY not in self.ctx or self._is_ctrl_c(error):
                raise  # a start that was refused, or a stop that was asked for
            self._crash(error)
            raise SystemExit(1) from error
        finally:
            run_through_exits(self.loop, self.loop.create_task(self.close()), self._kind_exited)
            if self._handle_signals:
                exit_without_threads(self._status)
        if self._gave_up:
            raise SystemExit(f"error: {self._gave_up}")

    def handle_sig(self, signum: Signals) -> None:
        """Stop claiming and let running jobs finish within the grace; at the second signal, stop at once."""
        if not self._performs_kinds:
            super().handle_sig(signum)
            return
        if self._stopping is None:
            if self.main_task is not None:
                self.main_task.cancel()
            return
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        log.info("worker_stopping", signal=Signals(signum).name, running=self._running, grace_s=self._grace_s)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        if self._performs_kinds:
            self.handle_sig(signum)
        else:
            super().handle_sig_wait_for_completion(signum)

    async def close(self) -> None:
        if not self._performs_kinds:
            await super().close()
            return
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        await self.pool.aclose(close_connection_pool=True)

    def _add_signal_handler(self, signum: Signals, handler: Callable[[Signals], None]) -> None:
        super()._add_signal_handler(signum, handler)
        # asyncio gets signals through a descriptor, whatever the handler is.
        signal.signal(signum, self._exit_in_time)
        signal.siginterrupt(signum, False)

    def _exit_in_time(self, _signum: int, _frame: FrameType | None) -> None:
        """Make sure that the process ends after a signal, even if a kind blocks the loop, which `handle_sig` needs."""
        if self._performs_kinds:
            exit_after_signal(self._grace_s + _EXIT_MARGIN_S, lambda: self._status)

    @property
    def _performs_kinds(self) -> bool:
        return any(isinstance(function, KindFunction) for function in self.functions.values())

    @property
    def _stop(self) -> asyncio.Event:
        assert self._stopping is not None
        return self._stopping

    def _state_of_health(self) -> str:
        """Return what arq's CLI shows for `--check`, in arq's words."""
        counts = f"j_complete={self.jobs_complete} j_failed={self.jobs_failed} j_retried={self.jobs_retried}"
        return f"{datetime.now():%b-%d %H:%M:%S} {counts} j_ongoing={self._running}"  # noqa: DTZ005 - in local time

    @property
    def _running(self) -> int:
        return len(performer_of(self.ctx).workload.running) if CTX_KEY in self.ctx else 0

    @property
    def _grace_s(self) -> float:
        return float(self._job_completion_wait)

    def _exit_in_the_end(self, seconds: float) -> None:
        """Make sure that the process ends, even if a thread or a server hangs."""
        if self._handle_signals:
            exit_in(seconds, self._status)

    @property
    def _status(self) -> int:
        return 1 if self._gave_up or self._crashed else 0

    def _kind_exited(self, attempt: Names | None, error: BaseException) -> bool:
        """Handle `sys.exit()` in a task or callback: if it comes from a kind, end only the kind's attempt."""
        if attempt is None or self._is_ctrl_c(error):
            return False
        remedy = "raise an ordinary exception instead"
        log.error("kind_exited", error=line_of(error), remedy=remedy, **attempt)
        # Tasks that a kind has left behind may call `sys.exit()` while the worker closes; closing goes on all the same.
        running = performer_of(self.ctx).workload.attempt_of(attempt["job_id"]) if CTX_KEY in self.ctx else None
        if running is not None and running.started.attempt == attempt["attempt"]:
            self.loop.call_soon(running.exit, error)
        return True

    def _is_ctrl_c(self, error: BaseException) -> bool:
        """Whether the error is Python's own for SIGINT, which matters if this worker handles no signals."""
        return isinstance(error, KeyboardInterrupt) and not self._handle_signals

    def _crash(self, error: BaseException) -> None:
        """Record at once that all running attempts have crashed, because nobody asked for this end."""
        self._crashed = True
        self._exit_in_the_end(_CRASHED_EXIT_S)
        performer = performer_of(self.ctx)
        running = {one.started.id: one.started.kind for one in performer.workload.running}
        log.critical("worker_crashed", error=line_of(error), running=running, exc_info=error)
        assert self.main_task is not None
        self._stop.set()  # stop claiming, even if a library swallows the cancellation
        self.main_task.cancel()
        ending = self.loop.create_task(record_crashes(performer, error, self.main_task))
        run_through_exits(self.loop, ending, lambda _attempt, _error: True)

    def _look_at_threads(self) -> None:
        """Check again in a while whether all threads hang: some calls may return."""
        self.loop.call_later(_HUNG_FOR_S, self._give_up_if_full)

    def _give_up_if_full(self) -> None:
        threads = performer_of(self.ctx).threads if CTX_KEY in self.ctx else None
        if threads is not None and threads.is_full and not self._stop.is_set():
            self._gave_up = (
                f"{threads.hung} calls in threads hang, as many as POSTLUDE_MAX_JOBS; a thread cannot be stopped, so"
                " this worker hands its jobs back and ends, for its supervisor to restart it"
            )
            log.error("worker_gives_up", reason=self._gave_up, remedy="give what these kinds call a timeout of its own")
            self._stop.set()
            self._exit_in_the_end(self._grace_s + _EXIT_MARGIN_S)

    async def _started_up(self) -> bool:
        """Run the start-up, which waits for the database. Return False if the worker was told to stop meanwhile."""
        assert self.on_startup is not None
        starting = asyncio.ensure_future(_awaited(self.on_startup(self.ctx)))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return False
        await starting
        return True

    def _count(self, finished: Finished | None) -> None:
        match finished.state if finished else None:
            case State.SUCCEEDED:
                self.jobs_complete += 1
            case State.FAILED | State.CANCELLED:
                self.jobs_failed += 1
            case _:
                self.jobs_retried += 1


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting
