"""Headers that are noted while a request is checked, and sent with its answer, whatever produces the answer."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOTED = "noted_headers"


def note_header(scope: Scope, name: str, value: str) -> None:
    """Send a header with the answer to this request. Direct calls do so only if there is a rate limit."""
    scope["state"].setdefault(_NOTED, []).append((name.encode(), value.encode("latin-1")))


class Noted:
    """Adds the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *state.get(_NOTED, ())]}
            await send(message)

        await self._app(scope, receive, send_noted)
