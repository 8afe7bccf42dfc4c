"""Reads the body of a request. Size and cost are bounded."""

import re
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from service.errors import BodyTooLarge, MediaTypeRefused
from service.web.headers import header_of
from service.web.room import MIB, Stay

_JSON_TYPE = re.compile(r"application/(?:[^+]+\+)?json")


def described(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """Describe a body that the route reads itself, for OpenAPI."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


async def read_body(request: Request, limit: int, stay: Stay) -> bytes:
    """Read the body. Raises `BodyTooLarge` as soon as it passes `limit` bytes, and `ClientDisconnect`."""
    _check_media_type(header_of(request, b"content-type"))
    length = header_of(request, b"content-length") or "0"
    if length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)
    before = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size = len(before) + len(part)
        if size > limit:
            raise _too_large(limit)
        stay.grow(size)
        if not message.get("more_body", False):
            return bytes(before + part) if before else part
        before += part


def _check_media_type(content_type: str | None) -> None:
    """Refuse the types that a page of another origin may send without a preflight. A missing type counts as JSON."""
    if content_type is None or content_type == "application/json":
        return
    media_type = content_type.partition(";")[0].strip().lower()
    if not _JSON_TYPE.fullmatch(media_type):
        raise MediaTypeRefused(
            f"The body is of the type {media_type[:100]!r}. Send JSON, with `Content-Type: application/json`."
        )


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body of this request may have at most {limit // MIB} MiB.")
