"""Which app and which request a task comes from."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from postlude import mode
from postlude.errors import SettingsInvalid
from postlude.mode import Mode
from postlude.settings import from_environment

if TYPE_CHECKING:
    from postlude.fastapi.entries import AuditEntry
    from postlude.fastapi.tasks import Task


PENDING = "postlude"
"""Where a request's scope keeps its tasks: None before the first, missing if nothing enqueues them."""


class Pending(Protocol):
    async def deliver(self) -> None: ...


class Home(Protocol):
    """What `Postlude(app)` made of an app."""

    app: Any
    service_url: str | None

    async def enqueue(self, tasks: Sequence[Task | AuditEntry]) -> None: ...


class Origin(NamedTuple):
    """Where a task was added."""

    home: Home | None = None
    scope: MutableMapping[str, Any] = {}  # noqa: RUF012 - never changed
    """The ASGI scope of the request; empty outside of one."""

    @property
    def app(self) -> Any:
        return self.scope.get("app") or (self.home and self.home.app)

    def mode(self) -> Mode:
        return mode.current(self.home.service_url if self.home else from_environment().url)

    async def enqueue(self, tasks: Sequence[Task | AuditEntry]) -> None:
        if self.home is None:
            raise SettingsInvalid("POSTLUDE_URL is set, but no app has Postlude: write Postlude(app) once.")
        await self.home.enqueue(tasks)


_current: ContextVar[Origin] = ContextVar("postlude_origin")
_homes: list[Home] = []


def came_from(origin: Origin) -> None:
    """Attribute everything that follows in this context to a request."""
    _current.set(origin)


def made(home: Home) -> None:
    """Attribute tasks outside of requests to the app that was made last."""
    _homes[:] = [home]


def origin_now() -> Origin:
    return _current.get(None) or Origin(_homes[0] if _homes else None)
