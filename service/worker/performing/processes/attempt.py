"""One attempt of a kind with `runs="process"`: in a child of the pool, which a timeout, a cancel or a stop kills."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from jobs import Context, Kind
from service import agreed_time
from service.attempt_lines import KeptLines
from service.hooks import Hooks
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.performing import Performing, performing
from service.worker.performing import outcome, stack
from service.worker.performing.contexts import timeout_of
from service.worker.performing.deadlines import Deadlines
from service.worker.performing.finish import finish_of
from service.worker.performing.outcome import AttemptOutcome
from service.worker.performing.processes.child import Child, NeverBegun
from service.worker.performing.processes.lent_files import LentFiles
from service.worker.performing.processes.messages import Ask, Handed
from service.worker.performing.processes.pool import AllBusy, NoProcess, ProcessPool
from service.worker.performing.within_hooks import HookFailed, within_hooks

# Children that die idle, or are stuck, say nothing about the attempt; this many in a row mean that something is wrong.
_MOST_CHILDREN = 5


class ProcessDied(Exception):
    """The child process of an attempt ended before the attempt did."""


class EndedBadly(Exception):
    """Tells hooks around an attempt that it has not succeeded."""

    def __init__(self, finish: Finish) -> None:
        super().__init__(f"{finish.failure.type}: {finish.failure.message}" if finish.failure else str(finish.outcome))
        self.finish = finish


class ProcessAttempt:
    """An attempt that waits for a child and is performed there. Its timeout counts from when the child begins it."""

    def __init__(
        self,
        handed: Handed,
        kind: Kind[Any, Any],
        context: Context,
        pool: ProcessPool,
        *,
        deadlines: Deadlines,
        hooks: Hooks,
        hear: Callable[[KeptLines], None],
    ) -> None:
        self.started = handed.started
        self.timeout_s = timeout_of(handed.started, kind)
        self.blocked_s = 0.0
        self._kind = kind
        self._context = context
        self._files = LentFiles(context)
        self._pool = pool
        self._handed = handed
        self._deadlines = deadlines
        self._hooks = hooks
        self._hear = hear
        self._stop_as: Outcome | None = None
        self._timed_out = False
        self._child: Child | None = None
        self._waiting: asyncio.Task[Child] | None = None

    async def run(self) -> Finish:
        """Have the attempt performed, and judge how it ended."""
        try:
            if not self._hooks.attempts:
                return await self._perform()
            around = self._hooks.around_attempt(self.started, self._context)
            return await within_hooks(around, self._perform_or_raise)
        except EndedBadly as ended:
            return ended.finish
        except AllBusy:
            return self._finish(outcome.of_no_slot())
        except (NoProcess, HookFailed) as error:
            return self._finish(outcome.of_error(error))
        except asyncio.CancelledError:  # by another kind that cancels all tasks it finds
            return self._finish(outcome.of_stop(self._stop_as or Outcome.INTERRUPTED))
        finally:
            self._deadlines.remove(self)

    def stop(self, outcome: Outcome) -> None:
        """Kill the child, or stop waiting for one; the attempt ends as `outcome`. Only the first call counts."""
        if self._stop_as is None:
            self._stop_as = outcome
            self.give_up()

    def time_out(self) -> None:
        self._timed_out = True
        self.give_up()

    def give_up(self) -> None:
        if self._child is not None:
            self._child.kill()
        elif self._waiting is not None:
            self._waiting.cancel()

    def crash(self, _what: str) -> None:
        """Hand the attempt back: the process that crashes is not the one that runs it."""
        self.stop(Outcome.INTERRUPTED)

    def exit(self, error: BaseException) -> None:
        """Do nothing: no code of this attempt runs on the loop of this process."""

    def is_in(self, _task: asyncio.Task[Any] | None) -> bool:
        return False

    async def stack(self) -> list[str] | None:
        return None if self._child is None else stack.of_dump(await self._child.stack())

    async def _perform_or_raise(self) -> Finish:
        finish = await self._perform()
        if finish.outcome is not Outcome.SUCCEEDED:
            raise EndedBadly(finish)
        return finish

    async def _perform(self) -> Finish:
        for _ in range(_MOST_CHILDREN):
            if self._stop_as is not None:
                return self._finish(outcome.of_stop(self._stop_as))
            self._waiting = asyncio.create_task(self._pool.take())
            self._child = child = await self._waiting
            try:
                return await self._perform_in(child)
            except NeverBegun:
                continue
            except BaseException:
                child.kill()
                raise
            finally:
                self._child = None
                self._pool.give_back(child)
                await self._files.take_all_back()
        raise NoProcess("child processes end before they begin it: see the log of the worker")

    async def _perform_in(self, child: Child) -> Finish:
        done = await child.perform(
            self._handed._replace(at=agreed_time.now()), self._carry_out, self._begin, self._hear
        )
        if self._timed_out:
            return self._finish(outcome.of_timeout(timedelta(seconds=self.timeout_s)))
        if done is not None and _is_end_of(done.finish, self.started):
            return done.finish
        fate = await child.fate()
        if self._stop_as is not None:
            return self._finish(outcome.of_stop(self._stop_as))
        return self._finish(outcome.of_error(ProcessDied(self._describe(child, fate))))

    def _begin(self) -> None:
        self._deadlines.add(self, asyncio.get_running_loop().time() + self.timeout_s)

    async def _carry_out(self, asked: Ask) -> Any:
        """Carry out a call of the context that the kind has made in the child."""
        of_it = self.started
        # Over: lines that the worker now logs are its own. The child keeps the lines of the attempt.
        performing.set(Performing(of_it.id, of_it.kind, of_it.attempt, of_it.args, is_over=True))
        args, options = asked.read()
        steps = self._context.steps()
        calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "progress": self._context.progress,
            "enqueue": self._context.enqueue,
            "keep": steps.keep,
            "keep_checkpoint": steps.keep_checkpoint,
            "get_file": self._files.get,
            "lend_file": self._files.lend,
            "take_file_back": self._files.take_back,
            "store_file": self._files.store,
            "delete_file": self._files.delete,
        }
        return await calls[asked.name](*args, **options)

    def _describe(self, child: Child, fate: str) -> str:
        if child.sent_nonsense:
            return (
                f"The process that ran this attempt sent nonsense to its worker, and was killed: {child.sent_nonsense}."
            )
        limit = self._kind.memory_mb
        may_be_memory = limit is not None and fate.startswith("it was ended by")
        hint = f" It may have reached memory_mb={limit}, which code in C seldom survives." if may_be_memory else ""
        return f"The process that ran this attempt died: {fate}.{hint}"

    def _finish(self, ended: AttemptOutcome) -> Finish:
        return finish_of(self.started, ended, self._kind.retry, agreed_time.now())


def _is_end_of(finish: Finish, started: Started) -> bool:
    return (finish.id, finish.attempt, finish.worker) == (started.id, started.attempt, started.worker)
