"""The context of an attempt in a child process: steps, progress and enqueues go through the worker."""

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from datetime import datetime, timedelta
from typing import Any, NoReturn, cast

from jobs import Context, Kind
from jobs.kit.context import FeatureMissing
from jobs.kit.files import FilesOfJobs
from jobs.kit.steps import KeptStep, Steps
from jobs.kit.thread_context import AttemptOver
from service import agreed_time
from service.worker.performing.processes.files_over_link import FilesOverLink
from service.worker.performing.processes.link import Link
from service.worker.performing.processes.messages import Handed


def context_in_child(handed: Handed, kind: Kind[Any, Any], calls: "Calls") -> Context:
    """Make the context of an attempt that was handed to this process."""
    started = handed.started
    steps = StepsOverLink(handed, calls)
    return Context(
        job_id=started.id,
        kind=started.kind,
        attempt=started.attempt,
        created_at=started.created_at,
        http=cast(Any, _Absent("http")),
        ledger=cast(Any, _Absent("ledger")),
        session=cast(Any, _Absent("session")),
        capabilities=_Capabilities({FilesOfJobs: FilesOverLink(calls.call)}),
        progress=calls.progress,
        enqueue=calls.enqueue,
        failures=started.failures,
        steps=lambda: steps,
        timeout=kind.timeout if started.timeout_s is None else timedelta(seconds=started.timeout_s),
    )


class Calls:
    """The calls that the worker carries out. Each begins at once, whether it is awaited or not.

    `run_here` waits for them in the thread of a `def`. Through a loop, an answer would wake three threads in turn,
    which costs more CPU than the call itself, and they would compete with threads that compute.
    """

    def __init__(self, handed: Handed, link: Link) -> None:
        self._handed = handed
        self._link = link
        self._under_way: set[asyncio.Task[Any]] = set()
        self._here = _Here()

    def progress(self, done: int, total: int | None = None) -> Awaitable[None]:
        return self.call("progress", done, total)

    def enqueue(self, kind: str, args: Any = None, **options: Any) -> Awaitable[str]:
        return self.call("enqueue", kind, args, **options)

    def call(self, name: str, /, *args: Any, **options: Any) -> Awaitable[Any]:
        if self._here.waits:
            return _answered(self._link.ask(self._handed, name, args, options))
        asking = asyncio.create_task(asyncio.to_thread(self._link.ask, self._handed, name, args, options))
        self._under_way.add(asking)
        asking.add_done_callback(self._under_way.discard)
        return asyncio.shield(asking)

    def run_here(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine that awaits nothing but calls. Raises what it raises, and `AttemptOver`."""
        self._here.waits = True
        try:
            coroutine.send(None)
        except StopIteration as ended:
            return ended.value
        except asyncio.CancelledError:
            raise AttemptOver("the attempt was taken away") from None
        finally:
            self._here.waits = False
        raise AssertionError("it awaits something else")

    async def settled(self) -> None:
        """Wait until the worker has carried out all calls."""
        if self._under_way:
            await asyncio.wait(set(self._under_way))


class _Here(threading.local):
    """Whether this thread itself waits for its calls."""

    waits = False


async def _answered(value: Any) -> Any:
    return value


class StepsOverLink(Steps):
    """The steps of an attempt whose worker keeps them."""

    __slots__ = ("_calls",)

    def __init__(self, handed: Handed, calls: Calls) -> None:
        super().__init__(handed.given)
        self._calls = calls

    async def keep(self, step: KeptStep) -> None:
        await self._calls.call("keep", step)

    async def keep_checkpoint(self, value: str) -> None:
        await self._calls.call("keep_checkpoint", value)

    def _now(self) -> datetime:
        return agreed_time.now()


class _Absent:
    """Stands for what a worker's loop has and its children do not."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, _name: str) -> NoReturn:
        _refuse(self._name)

    def __call__(self, *_args: Any, **_options: Any) -> NoReturn:
        _refuse(self._name)


class _Capabilities(dict[Any, Any]):
    def __missing__(self, wanted: Any) -> NoReturn:
        _refuse(f"capability({getattr(wanted, '__qualname__', wanted)})")


def _refuse(name: str) -> NoReturn:
    raise FeatureMissing(
        f'ctx.{name} is not there in a kind with runs="process": open a connection of your own, or enqueue a job of a'
        " kind that runs in the worker"
    )
