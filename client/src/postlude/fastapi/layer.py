"""The layer that `Postlude(app)` adds, inside all other middleware: it lets no response start before its tasks are
enqueued.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postlude import mode
from postlude.calling.refused import CannotTravel
from postlude.errors import PostludeError
from postlude.fastapi.local import say_that_tasks_run_here
from postlude.fastapi.origin import Origin, came_from
from postlude.fastapi.request import RequestTasks
from postlude.mode import Mode

if TYPE_CHECKING:
    from postlude.fastapi.postlude import Postlude

logger = logging.getLogger("postlude")

_RETRY_AFTER_S = 5


class Layer:
    """An ASGI middleware."""

    def __init__(self, app: ASGIApp, postlude: Postlude) -> None:
        self._app, self._postlude = app, postlude

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connected = self._postlude.connected
        if scope["type"] == "lifespan":
            await (connected.live if connected else _live_alone)(self._app, scope, receive, send)
            return
        if connected is not None:
            connected.serves(scope)
        origin = Origin(self._postlude, scope)
        came_from(origin)
        if connected is not None and connected.door.is_for(scope):
            await connected.door(scope, receive, send)
        else:
            await self._collecting(origin, receive, send)

    async def _collecting(self, origin: Origin, receive: Receive, send: Send) -> None:
        guard = Guard(RequestTasks.begin(origin), origin.scope, receive, send)
        try:
            await self._app(origin.scope, receive, guard.send)
        except Exception as error:
            if not guard.is_refused:
                with suppress(PostludeError):  # the app's own error propagates; this one is logged
                    await guard.tasks.deliver()
                raise
            if not isinstance(error, NotEnqueued):
                logger.error(
                    "the app raised after its request was refused, because its tasks were not enqueued", exc_info=error
                )
        else:
            await guard.tasks.deliver()


async def _live_alone(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if mode.current(None) is Mode.LOCAL:
        say_that_tasks_run_here()
    await app(scope, receive, send)


class NotEnqueued(Exception):
    """The caller got 503 instead of the response: the app need not go on."""


class Guard:
    """Guards the response: enqueues the tasks before it starts, or answers 503 instead."""

    def __init__(self, tasks: RequestTasks, scope: Scope, receive: Receive, send: Send) -> None:
        self.tasks = tasks
        self._scope, self._receive, self._send = scope, receive, send
        self.is_refused = False

    async def send(self, message: Message) -> None:
        if self.is_refused:
            raise NotEnqueued
        if message["type"] == "http.response.start":
            try:
                await self.tasks.deliver_before_response()
            except CannotTravel:
                raise
            except PostludeError as error:
                self.is_refused = True
                await _refusal()(self._scope, self._receive, self._send)
                raise NotEnqueued from error
        await self._send(message)


def _refusal() -> JSONResponse:
    problem = {
        "type": "urn:postlude:problem:tasks-not-enqueued",
        "title": "Tasks not enqueued",
        "status": 503,
        "detail": "The work to be done after this request could not be recorded. Send it again.",
    }
    headers = {"retry-after": str(_RETRY_AFTER_S)}
    return JSONResponse(problem, 503, headers, media_type="application/problem+json")
