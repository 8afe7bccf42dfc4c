"""Answers some calls directly, past FastAPI's layers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from service.api import problems
from service.api.deps import authorise, storable
from service.api.paths import mounted, path_of
from service.api.query import known_query

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectApi(FastAPI):
    """A FastAPI app that hands requests for its `direct` endpoints straight to them.

    Middlewares, finding the route, solving its dependencies and entering its exit stacks cost more than enqueueing a
    job does. The routes stay: FastAPI describes them in OpenAPI, and would answer them the same. See
    docs/decisions/0009.
    """

    def __init__(
        self, *, direct: Mapping[tuple[str, str], Endpoint], prefix: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.direct = direct
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.prefix and scope["type"] == "http":
            scope = mounted(scope, self.prefix)
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
