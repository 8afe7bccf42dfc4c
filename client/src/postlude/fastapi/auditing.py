"""What endpoints and dependencies use to write the audit log."""

# Without `from __future__ import annotations`, which would hide the inner function's annotations from FastAPI.
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from starlette.requests import HTTPConnection

from postlude.fastapi.collecting import collect
from postlude.fastapi.entries import LONGEST_NAME, AuditEntry
from postlude.fastapi.handle import Handle
from postlude.fastapi.tasks import Tasks

_LONGEST_AGENT = 1_024


class Auditor:
    """Records what a request did. `actor` is who did it; set it once that is known."""

    def __init__(self, tasks: Tasks, origin: Mapping[str, str], actor: str | None = None) -> None:
        self.actor = actor
        self._tasks, self._origin = tasks, origin

    def write(
        self,
        action: str,
        *,
        target: str | None = None,
        data: Any = None,
        actor: str | None = None,
        at: datetime | None = None,
        always: bool = False,
    ) -> Handle:
        """Write an entry: `data` is any JSON, `at` is when it was done, by default now.

        It is recorded before the response starts, as tasks are. A request that raises writes nothing but entries that
        are kept `always`. Raises `NotJson`, and `ValueError` if nobody says who the actor is.
        """
        if (actor or self.actor) is None:
            raise ValueError("Who acts? Say actor=…, set audit.actor, or take the one that audit_by(…) gives.")
        said = {"action": action, "actor": actor or self.actor, "target": target, "at": _with_zone(at), "data": data}
        return self._tasks.add_entry(AuditEntry({**said, "origin": self._origin or None}, always=always))


async def _audit(connection: HTTPConnection, tasks: Annotated[Tasks, Depends(collect)]) -> Auditor:
    return Auditor(tasks, _origin_of(connection))


Audit = Annotated[Auditor, Depends(_audit)]
"""In an annotation: what this request writes the audit log with. All of the request have the same."""


def audit_by(actor: Callable[..., Any]) -> Callable[..., Awaitable[Auditor]]:
    """Make a dependency that knows who acts: `Annotated[Auditor, Depends(audit_by(current_user_id))]`.

    `actor` is a dependency as any other. It returns text, a number or a UUID; None says that nobody is known.
    """

    async def audit(
        connection: HTTPConnection, tasks: Annotated[Tasks, Depends(collect)], who: Annotated[Any, Depends(actor)]
    ) -> Auditor:
        return Auditor(tasks, _origin_of(connection), _name_of(who))

    return audit


def _name_of(who: object) -> str | None:
    if who is None or isinstance(who, (str, int, UUID)):
        return None if who is None else str(who)
    raise TypeError(f"the actor must be text, a number or a UUID, and is a {type(who).__qualname__}")


def _with_zone(at: datetime | None) -> datetime:
    if at is not None and at.tzinfo is None:
        raise ValueError("`at` must have a time zone, such as datetime.now(timezone.utc)")
    return at or datetime.now(timezone.utc)


def _origin_of(connection: HTTPConnection) -> dict[str, str]:
    """Return where a request came from. Its headers are the caller's: they are cut, and never refused."""
    found = {
        "address": (connection.client.host if connection.client else "")[:LONGEST_NAME],
        "user_agent": connection.headers.get("user-agent", "")[:_LONGEST_AGENT],
        "request_id": connection.headers.get("x-request-id", "")[:LONGEST_NAME],
    }
    return {name: clean for name, value in found.items() if (clean := value.replace("\0", ""))}
