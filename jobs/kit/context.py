"""What an attempt is given: a `Context`, and Protocols for what it carries."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, dataclass_transform, overload

import httpx
import structlog
from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from jobs.kit.files import Files, FilesOfJobs
from jobs.kit.lane import Lane
from jobs.kit.outcomes import Seconds
from jobs.kit.steps import Steps

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")


class FeatureMissing(LookupError):
    """A kind asked for something that no feature of this service offers."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a mail server said about one message: the accepted addresses, and its answer for each refused one."""

    accepted: tuple[str, ...]
    refused: Mapping[str, str]


class Mailer(Protocol):
    """Sends mail over the SMTP server of the settings."""

    @property
    def default_sender(self) -> str:
        """The address that mail is sent from when the args name none."""
        ...

    async def send(self, message: EmailMessage, *, sender: str, recipients: Sequence[str]) -> Delivery:
        """Hand `message` to the server in one transaction; done when it takes the message for at least one recipient.

        Raises `aiosmtplib.SMTPException` and `OSError`; for their meaning see `jobs.email.mailer_errors`.
        """
        ...


class RetentionApi(Protocol):
    """The few things that a clean-up job may ask of the ledger."""

    @property
    def retention(self) -> timedelta:
        """How long terminal jobs are kept, by the settings."""
        ...

    @property
    def retention_failed(self) -> timedelta:
        """How long failed jobs are kept."""
        ...

    async def purge(
        self, older_than: timedelta, *, failed_older_than: timedelta | None = None, dry_run: bool
    ) -> dict[str, int]:
        """Delete jobs, attempts, ticks and keys past `older_than`, and what features keep; return counts of each.

        Failed jobs are deleted past `failed_older_than`; None: like all others.
        """
        ...


class Enqueue(Protocol):
    """Enqueues another job; see `Context.enqueue`."""

    def __call__(
        self,
        kind: str,
        args: BaseModel | Mapping[str, Any] | None = None,
        *,
        delay: Seconds | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int = 0,
        max_attempts: int | None = None,
        timeout: Seconds | None = None,
        expires_in: Seconds | None = None,
        unique_key: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        lane: str | Lane | None = None,
        retry: Mapping[str, Any] | None = None,
        unique_for: Seconds | None = None,
        on_conflict: Literal["return", "replace", "debounce"] = "return",
        after: Sequence[str] = (),
        run_when: Literal["succeeded", "ended", "attempted"] = "succeeded",
        flow: str | bool | None = None,
        on_success: Mapping[str, Any] | None = None,
        on_failure: Mapping[str, Any] | None = None,
        on_end: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002 - as the API calls it
    ) -> Awaitable[str]: ...


class Progress(Protocol):
    """Records how far an attempt is; see `Context.progress`."""

    def __call__(self, done: int, total: int | None = None) -> Awaitable[None]: ...


def _forgotten_steps() -> Callable[[], Steps]:
    steps = Steps()
    return lambda: steps


@dataclass_transform(frozen_default=True)
def read_only(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a dataclass that type checkers take for frozen. Real freezing would make instances six times as slow."""
    return dataclass(slots=True, kw_only=kw_only)


@read_only()
class Context:
    """What one attempt is given.

    `failures` counts the failed attempts since the job was enqueued or replayed.
    `http` follows no redirects and reaches public addresses only, plus the networks of `POSTLUDE_WEBHOOK_ALLOW`.
    `session()` opens a fresh AsyncSession; it commits only when told to, so keep it short.
    `progress(done, total)` records how far the attempt is; await it to know that it is written.
    `enqueue(kind, args, ...)` enqueues another job and returns its id; with `flow=True` in this job's own flow, if it
    is in one. `id`, a UUIDv7, makes it safe to repeat: nothing happens while a job has this id.
    `timeout` bounds this attempt, from its start.
    `steps()` is what `step`, `checkpoint`, `restored` and `results` use; without it they are forgotten with
    the context, which is what a test of a kind needs.
    """

    job_id: str
    kind: str
    attempt: int
    created_at: datetime
    http: httpx.AsyncClient
    ledger: RetentionApi
    session: "Callable[[], AbstractAsyncContextManager[AsyncSession]]"
    progress: Progress
    enqueue: Enqueue
    failures: int = 0
    timeout: timedelta = timedelta(seconds=60)
    capabilities: Mapping[Any, Any] = field(default_factory=dict)
    steps: Callable[[], Steps] = field(default_factory=_forgotten_steps)

    @property
    def results(self) -> Mapping[str, Any]:
        """The results of the jobs that this one came after, by their ids or, in a flow, by their names.

        A job without a result has None. A job past its retention is missing.
        """
        return self.steps().results

    @property
    def restored(self) -> Any:
        """The latest checkpoint of the attempts before this one; None if there is none."""
        return self.steps().restored

    @overload
    def step(
        self, name: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...

    @overload
    def step(self, name: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run `fn` and keep what it returns, or return what it returned in an earlier attempt of this job.

        An `async def` is awaited, a `def` runs in a thread. The result goes through JSON by its annotation, even
        the first time. A step that was running when its worker died runs again. Raises `StepRefused`, for a `name` used
        before in this attempt among others.
        """
        return self.steps().step(name, fn, args, kwargs)

    async def checkpoint(self, value: Any) -> None:
        """Keep a JSON value, in place of the last one: the next attempt has it as `restored`.

        It is written once this returns. Raises `StepRefused`.
        """
        await self.steps().checkpoint(value)

    # Not `type[C]`, for which mypy allows no Protocol.
    def capability(self, wanted: Callable[..., C]) -> C:
        """Return what a feature offers for the Protocol `wanted`. Raises `FeatureMissing` if none does."""
        return self._offered(wanted, "that offers it")

    @property
    def mailer(self) -> Mailer:
        """The mail server of the settings. Raises `FeatureMissing`."""
        return self._offered(Mailer, "`mail`")

    @property
    def files(self) -> Files:
        """The files of the service, by their ids. Raises `FeatureMissing`."""
        return self._offered(FilesOfJobs, "`files`").of(self.job_id, self.attempt)

    def _offered(self, wanted: Callable[..., C], feature: str) -> C:
        try:
            offered: C = self.capabilities[wanted]
        except KeyError:
            name = getattr(wanted, "__qualname__", wanted)
            raise FeatureMissing(f"No {name} here: the feature {feature} is not in service/features.py.") from None
        return offered

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger named after the kind; its lines carry the job's id, kind and attempt."""
        names = {"job_id": self.job_id, "kind": self.kind, "attempt": self.attempt}
        logger: FilteringBoundLogger = structlog.get_logger(f"jobs.{self.kind}", **names)
        return logger

    async def thread(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the blocking `fn` in a thread, so that the worker's loop stays free.

        A thread cannot be stopped: after a timeout the attempt is over, but `fn` runs to its end. It takes no room from
        others then, but as many such calls as `POSTLUDE_MAX_JOBS` end the worker: give the calls in `fn` a timeout.
        """
        return await asyncio.to_thread(fn, *args, **kwargs)
