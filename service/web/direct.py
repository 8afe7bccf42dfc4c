"""Answers some calls past the routes of FastAPI. See docs/decisions/0009."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import principal
from service.web import guards, problems
from service.web.paths import path_of

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """Hands requests for the `endpoints` straight to them: they enqueue or upload, and any query is for their routes.

    The layers below, finding the route, solving its dependencies and entering its exit stacks cost more than
    enqueueing a job does. The routes stay: FastAPI describes them in OpenAPI, and would answer in the same way.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], path_of(scope))) if scope["type"] == "http" else None
        if endpoint is None or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            await guards.check_key(request, principal.Scope.ENQUEUE, narrowed=True)
            response = await endpoint(request)
        except problems.FORESEEN as error:
            response = await problems.answer_foreseen(request, error)
        await response(scope, receive, send)
