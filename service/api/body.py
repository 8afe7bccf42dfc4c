"""Reads a request's body, no more of it than allowed, straight into a model."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from jobs import Kind
from service.api.deps import header_of
from service.errors import ArgsInvalid, BodyMalformed, BodyTooLarge, KindUnknown
from service.lifecycle import describe, with_nearest_names

MIB = 1024 * 1024
_MOST_ERRORS = 100
T = TypeVar("T")
Kinds = Mapping[str, Kind[Any, Any]]
_ESCAPED_NUL = b"\\u0000"
# An escape for NUL: an odd number of backslashes before u0000. No database text may hold one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body. Raises `BodyTooLarge` as soon as it passes `limit` bytes, and `ClientDisconnect`."""
    length = header_of(request, b"content-length") or "0"
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return bytes(body)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body of this request may have {limit // MIB} MiB at most.")


def parse(adapter: TypeAdapter[T], body: bytes, kinds: Kinds) -> T:
    """Validate JSON into the adapter's type. Raises `BodyMalformed`, `KindUnknown` and `ArgsInvalid`."""
    if _ESCAPED_NUL in body and _NUL.search(body):  # the pattern alone takes 0.7 s for 32 MiB
        raise ArgsInvalid("The body holds the character NUL (\\u0000), which cannot be stored.")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise _refusal(error, kinds) from error


def _refusal(error: ValidationError, kinds: Kinds) -> Exception:
    errors = [_shown(one, kinds) for one in describe(error)[:_MOST_ERRORS]]
    sorts = {one["type"] for one in errors}
    if "json_invalid" in sorts:
        return BodyMalformed(f"The body is not valid JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}.")
    if "union_tag_invalid" in sorts:
        return KindUnknown(f"The kind is unknown. Known are: {', '.join(kinds)}.", errors=errors)
    return ArgsInvalid("The body does not fit; `errors` says where.", errors=errors)


def _shown(error: dict[str, Any], kinds: Kinds) -> dict[str, Any]:
    """Leave out the union's own steps, and the one message of Pydantic's that repeats the input."""
    if error["type"] == "union_tag_invalid":
        error = error | {"msg": "The kind is unknown"}
    before, tag, inside = _split(error["loc"], kinds)
    if tag is None:
        return error
    if inside[:1] == ["args"]:
        before, inside = [*before, "args"], inside[1:]
        [error] = with_nearest_names([error | {"loc": inside}], kinds[tag])
    return error | {"loc": [*before, *inside]}


def _split(loc: list[str | int], kinds: Kinds) -> tuple[list[str | int], str | None, list[str | int]]:
    """Split a place at the kind's name that the union puts in front of a job's own fields; in a batch it is third."""
    for place in (0, 2):
        if len(loc) > place and (tag := loc[place]) in kinds and (place == 0 or loc[0] == "jobs"):
            return loc[:place], str(tag), loc[place + 1 :]
    return loc, None, []
