"""Answers some calls directly, past FastAPI's layers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import HostRefused, OriginRefused
from service.web import problems
from service.web.deps import authorise, storable
from service.web.door import Door
from service.web.paths import mounted, path_of
from service.web.query import known_query

Endpoint = Callable[[Request], Awaitable[Response]]

# Methods, and headers beyond those that browsers let pass by themselves.
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID"],
    "expose_headers": ["ETag", "Idempotent-Replayed", "Location", "Retry-After"],
}
_PREFLIGHT_KEPT_S = 600


class DirectApi(FastAPI):
    """A FastAPI app that hands requests for its `direct` endpoints straight to them.

    Middlewares, finding the route, solving its dependencies and entering its exit stacks cost more than enqueueing a
    job does. The routes stay: FastAPI describes them in OpenAPI, and would answer them the same. See
    docs/decisions/0009.
    """

    def __init__(
        self,
        *,
        direct: Mapping[tuple[str, str], Endpoint],
        door: Door,
        origins: Sequence[str] = (),
        prefix: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.direct = direct
        self.prefix = prefix
        self._door = door
        self._behind_door: ASGIApp = self._answer
        if origins:  # around the direct calls too, which FastAPI's own middlewares are not
            self._behind_door = CORSMiddleware(self._answer, allow_origins=origins, max_age=_PREFLIGHT_KEPT_S, **_CORS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.prefix:
                scope = mounted(scope, self.prefix)
            try:
                self._door.check(scope)
            except (HostRefused, OriginRefused) as error:
                response = await problems.answer_foreseen(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._behind_door(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.direct.get((scope["method"], path_of(scope))) if scope["type"] == "http" else None
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request = Request(scope, receive)
        try:
            await authorise(request, None)
            await storable(request)
            await known_query(request)
            response = await endpoint(request)
        except problems.FORESEEN as error:
            response = await problems.answer_foreseen(request, error)
        except Exception as error:
            await (await problems.answer_bug(request, error))(scope, receive, send)
            raise
        await response(scope, receive, send)
