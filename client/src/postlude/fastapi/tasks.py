"""The tasks of a request: the counterpart of FastAPI's `BackgroundTasks`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastapi
from starlette.background import BackgroundTask
from typing_extensions import ParamSpec

from postlude import mode
from postlude.calling import uploads
from postlude.calling.arguments import pack, unpack
from postlude.calling.call import Call
from postlude.calling.names import name_of
from postlude.calling.refused import CannotTravel
from postlude.fastapi import own
from postlude.fastapi.entries import AuditEntry
from postlude.fastapi.handle import Enqueued, Handle
from postlude.fastapi.local import say_that_entries_are_logged_here, say_that_tasks_run_here
from postlude.fastapi.options import options_of
from postlude.fastapi.origin import Origin, origin_now
from postlude.fastapi.running import run_task
from postlude.mode import Added, Mode

P = ParamSpec("P")


class Task(Enqueued):
    """A function and its arguments as they are now: later changes do not travel."""

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Raises `CannotTravel`, and `TypeError` if the function cannot be called like that."""
        super().__init__(func, *args, **kwargs)
        self.call = Call(name_of(func), pack(func, args, kwargs))
        self.options = options_of(func, args, kwargs, self.call)
        self.origin = origin_now()

    @property
    def added(self) -> Added:
        return self

    @property
    def function(self) -> str:
        return self.call.function

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(unpack(self.func, self.call.arguments).arguments)

    async def run(self) -> Any:
        uploads.rewind(self.call.arguments)
        return await run_task(self.origin.app, self.call, function=self.func)


class StandIn(BackgroundTask):
    """A call in which a test has replaced the function or an argument. It does not travel."""

    def __init__(self, added: Added, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(func, *args, **kwargs)
        self.added = added
        self.handle = Handle(added.id)


class Tasks(BackgroundTask):
    """Background tasks of one request, or made by hand and then enqueued when awaited."""

    # FastAPI refuses `Depends` on subclasses of `BackgroundTasks`, so this is one of `BackgroundTask`; other packages,
    # which ask `isinstance`, are told that it is the former.

    @property  # type: ignore[misc] # nobody sets it, though typeshed allows it
    def __class__(self) -> type:
        return fastapi.BackgroundTasks

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None, *, origin: Origin | None = None) -> None:
        self.tasks: list[BackgroundTask] = list(tasks or ())
        self._origin = origin or origin_now()
        self._enqueued = 0

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Handle:
        """Add a function to be called in the background, with these arguments.

        Raises `CannotTravel` for a function or an argument that cannot be run later in another process.
        """
        now = self._origin.mode()
        if now is Mode.LOCAL:
            say_that_tasks_run_here()
        if now is Mode.LOCAL or (now is not Mode.SEND and own.is_replaced()):
            self.tasks.extend(own.added(func, *args, **kwargs))
            return Handle(None)
        task = _task_or_stand_in(func, args, kwargs)
        self.tasks.append(task)
        return task.handle

    def add_entry(self, entry: AuditEntry) -> Handle:
        """Add an entry of the audit log."""
        if self._origin.mode() is not Mode.LOCAL:
            self.tasks.append(entry)
            return entry.handle
        say_that_entries_are_logged_here()
        if entry.always:
            entry.log()
        else:
            self.tasks.append(entry)
        return Handle(None)

    def drop(self) -> None:
        """Drop what is not enqueued yet, except entries that are always kept."""
        kept = [task for task in self.tasks[self._enqueued :] if isinstance(task, AuditEntry) and task.always]
        self.tasks[self._enqueued :] = kept

    async def __call__(self) -> None:
        """Enqueue the tasks, or run them if there is no service. Awaited again, it enqueues the tasks added since."""
        if (now := self._origin.mode()) is Mode.LOCAL:
            for task in self.tasks:
                await task()
            return
        new = [_added(task) for task in self.tasks[self._enqueued :]]
        if now is Mode.SEND:
            await self._origin.enqueue([task for task in new if isinstance(task, Task | AuditEntry)])
        self._enqueued += len(new)
        if now is not Mode.SEND:
            await _deliver_in_test(new, now)


def _added(task: BackgroundTask) -> Task | StandIn | AuditEntry:
    """Return a task that was put into the list directly, as if it had been added."""
    return (
        task if isinstance(task, Task | StandIn | AuditEntry) else _task_or_stand_in(task.func, task.args, task.kwargs)
    )


def _task_or_stand_in(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Task | StandIn:
    try:
        return Task(func, *args, **kwargs)
    except CannotTravel:
        double = mode.stand_in(func, tuple(args), kwargs)
        if double is None:
            raise
        return StandIn(double, func, *args, **kwargs)


async def _deliver_in_test(tasks: Sequence[Task | StandIn | AuditEntry], now: Mode) -> None:
    """Report the tasks to the test and, inline, run them all. Raises the first error."""
    errors: list[Exception] = []
    for task in tasks:
        mode.tell(task.added)
        if now is Mode.INLINE:
            try:
                await task.added.run()
            except Exception as error:  # noqa: BLE001 - the rest must run, as it would in separate jobs
                errors.append(error)
    if errors:
        raise errors[0]
