"""Lets FastAPI solve the dependencies of a function that runs in the background, as it solves an endpoint's."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Message

from postlude.fastapi.origin import PENDING, Origin, Pending, came_from, origin_now

_PASSED_ON = ("asgi", "client", "http_version", "root_path", "scheme", "server", "state")
# Where FastAPI looks for the stack that closes what a request has opened: before 0.106, and since 0.118.
_STACKS = ("fastapi_astack", "fastapi_middleware_astack")


async def solved(
    app: Any, parameters: Sequence[inspect.Parameter], run: Callable[[dict[str, Any]], Awaitable[Any]]
) -> Any:
    """Run a function with its dependencies, and return what it returns.

    It runs like a separate endpoint: dependencies are solved afresh, with the app's overrides; those that `yield`
    continue when it has ended, and see its error.
    """
    results: list[Any] = []

    async def endpoint(**given: Any) -> Response:
        results.append(await run(given))
        return Response()

    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    route = APIRoute("/", endpoint, methods=["POST"], response_model=None, dependency_overrides_provider=app)
    origin = origin_now()
    async with AsyncExitStack() as stack:
        scope = {**_scope(app, origin), **dict.fromkeys(_STACKS, stack), PENDING: None}
        came_from(Origin(origin.home, scope))
        await route.app(scope, _receive, _send)
    added: Pending | None = scope.get(PENDING)
    if added is not None:
        await added.deliver()
    return results[0]


def _scope(app: Any, origin: Origin) -> dict[str, Any]:
    passed_on = {name: origin.scope[name] for name in _PASSED_ON if name in origin.scope}
    request = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", "path_params": {}}
    return {**passed_on, **request, "app": app, "router": getattr(app, "router", None)}


async def _receive() -> Message:
    return {"type": "http.request", "body": b""}


async def _send(_message: Message) -> None:
    """Discard the response."""
