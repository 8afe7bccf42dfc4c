"""HEAD for every GET, and the methods that a path has."""

from fastapi import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_IS_HEAD = "postlude.head"


class HeadAsGet:
    """Answers HEAD as GET, headers included, without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET", _IS_HEAD: True}, receive, send_head)


def asked(request: Request) -> str:
    """Return the method that the client sent."""
    return "HEAD" if request.scope.get(_IS_HEAD) else request.method


def allowed(request: Request) -> list[str]:
    """Return every method that any route has for the request's path; for `Allow` (RFC 9110, 10.2.1)."""
    found = [method for method in _METHODS if method != request.method and _has_route(request, method)]
    if "GET" in found:
        found.insert(1, "HEAD")
    return [*found, "OPTIONS"]


def _has_route(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
