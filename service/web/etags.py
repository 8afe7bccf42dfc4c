"""`ETag` for every JSON answer to GET, and 304 for clients that have it already (RFC 9110, 13.1.2).

The tags are weak, so that they are valid with and without gzip. Files have strong ones of their own.
"""

import re
from hashlib import blake2b
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For OpenAPI.
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "`If-None-Match` names the `ETag`: nothing is new"}}

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_OF_THE_BODY = ("content-length", "content-type")


class ETags:
    """Tags answers to GET, and answers 304 if `If-None-Match` names the tag."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start" and _can_be_tagged(message):
                held.append(message)
                return
            if held and message["type"] == "http.response.body":
                start = held.pop()
                if not message.get("more_body"):
                    start, message = _tagged(Headers(scope=scope), start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _can_be_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    is_json = headers.get("content-type", "").startswith("application/json")
    return start["status"] == 200 and is_json and "etag" not in headers


def _tagged(request: Headers, start: Message, message: Message) -> tuple[Message, Message]:
    tag = blake2b(message.get("body", b""), digest_size=16).hexdigest()
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = f'W/"{tag}"'
    headers.setdefault("Cache-Control", "private, no-cache")
    if not _names(request, tag):
        return {**start, "headers": headers.raw}, message
    for name in _OF_THE_BODY:
        del headers[name]
    headers.add_vary_header("Accept-Encoding")
    return {**start, "status": 304, "headers": headers.raw}, {**message, "body": b""}


def _names(request: Headers, tag: str) -> bool:
    given = ", ".join(request.getlist("if-none-match"))
    return given.strip() == "*" or tag in _TAG.findall(given)
