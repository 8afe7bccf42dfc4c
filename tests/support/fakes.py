"""Small public fakes: a `Context` for calling a kind by hand, and what it carries."""

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from jobs import Context, ThreadContext
from jobs.kit.context import Delivery, Mailer
from jobs.kit.files import Files, FilesOfJobs


@dataclass
class FakeMailer:
    """Keeps what it is handed, and accepts everybody."""

    default_sender: str = "postlude@localhost"
    sent: list[EmailMessage] = field(default_factory=list)

    async def send(self, message: EmailMessage, *, sender: str, recipients: Sequence[str]) -> Delivery:
        self.sent.append(message)
        return Delivery(accepted=tuple(recipients), refused={})


class OneFiles:
    """Offers the same files to every attempt."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def of(self, _job_id: str, _attempt: int) -> Any:
        return self._files


class NoLedger:
    retention = retention_failed = timedelta(days=30)

    async def purge(
        self, older_than: timedelta, *, failed_older_than: timedelta | None = None, dry_run: bool
    ) -> dict[str, int]:
        return {}


def _no_session() -> AbstractAsyncContextManager[AsyncSession]:
    raise NotImplementedError


async def _no_progress(done: int, total: int | None = None) -> None: ...


async def _no_enqueue(kind: str, args: Mapping[str, Any] | Any = None, **options: Any) -> str:
    raise NotImplementedError


def fake_context(
    *,
    mailer: Mailer | None = None,
    files: Files | None = None,
    capabilities: Mapping[type[Any], Any] | None = None,
    **overrides: Any,
) -> Context:
    """Make a context for attempt 1 of a job; pass what the kind under test really needs."""
    offered: dict[type[Any], Any] = {Mailer: mailer or FakeMailer(), FilesOfJobs: OneFiles(files)}
    context = Context(
        job_id="018f0000-0000-7000-8000-000000000001",
        kind="test",
        attempt=1,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        http=httpx.AsyncClient(trust_env=False),
        ledger=NoLedger(),
        session=_no_session,
        progress=_no_progress,
        enqueue=_no_enqueue,
        capabilities=offered | dict(capabilities or {}),
    )
    return replace(context, **overrides)


def fake_thread_context(**named: Any) -> ThreadContext:
    """Make a context for a kind that is a `def`; takes what `fake_context` takes."""
    return ThreadContext.over(fake_context(**named), _run_here)


def _run_here(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing, with or without a loop around it."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise NotImplementedError("a fake context waits for nothing: give it fakes that answer at once")
