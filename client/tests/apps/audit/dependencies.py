import logging
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Annotated
from uuid import UUID

from fastapi import BackgroundTasks as Later
from fastapi import Depends, Header, HTTPException, Request

from audit.log import Actor, AuditLog, count_view

logger = logging.getLogger(__name__)


def current_actor(x_actor: Annotated[str, Header()]) -> Actor:
    return Actor(id=UUID(int=len(x_actor)), name=x_actor, admin=x_actor == "root")


async def count(request: Request, later: Later) -> None:
    """Stand on a router, for its effect alone."""
    later.add_task(count_view, request.url.path)


class Audit:
    """Given to endpoints; adds to the tasks of their request."""

    def __init__(self, later: Later, actor: Annotated[Actor, Depends(current_actor)]) -> None:
        self.later = later
        self.actor = actor

    def note(self, action: str, **details: object) -> None:
        self.later.add_task(AuditLog.write, self.actor, action, **details)


def admin(actor: Annotated[Actor, Depends(current_actor)], audit: Annotated[Audit, Depends()], later: Later) -> Actor:
    audit.note("enter")
    if not actor.admin:
        later.add_task(AuditLog.alert, "intruder", at=datetime.now(timezone.utc))
        raise HTTPException(403)
    return actor


def unit_of_work(later: Later, audit: Annotated[Audit, Depends()]) -> Iterator[list[str]]:
    """Note first what was begun, and once all is well what was changed."""
    audit.note("begin")
    changes: list[str] = []
    yield changes
    logger.info("%s changes, %s tasks", len(changes), len(later.tasks))


async def session(later: Later) -> AsyncIterator[dict[str, str]]:
    kept: dict[str, str] = {}
    try:
        yield kept
    except ValueError:
        logger.exception("rolled back")
        raise
