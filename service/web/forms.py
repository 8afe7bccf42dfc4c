"""Reads what a page's form posts. Its size is bounded, and it is read only once per request."""

from urllib.parse import parse_qsl

from fastapi import Request

from service.errors import BodyMalformed, BodyTooLarge, MediaTypeRefused
from service.web.headers import header_of
from service.web.room import KIB, MIB
from service.web.state import state_of

LARGEST_FORM = 2 * MIB  # args of 256 KiB, percent-encoded
_MOST_FIELDS = 5_000
_TYPE = "application/x-www-form-urlencoded"
Form = dict[str, list[str]]


async def read_form(request: Request) -> Form:
    """Return the values of each field. Raises `BodyTooLarge`, `BodyMalformed` and `MediaTypeRefused`."""
    known: Form | None = getattr(request.state, "form", None)
    if known is None:
        known = request.state.form = _parsed(await _read(request))
    return known


def was_read(request: Request) -> bool:
    """Whether the body was a form that has been read: nothing of it is left to receive."""
    return getattr(request.state, "form", None) is not None


async def read_fields(request: Request) -> dict[str, str]:
    """Return the last value of each field."""
    return {name: values[-1] for name, values in (await read_form(request)).items()}


async def _read(request: Request) -> bytes:
    media_type = (header_of(request, b"content-type") or _TYPE).partition(";")[0].strip().lower()
    if media_type != _TYPE:
        raise MediaTypeRefused(f"The body is of the type {media_type[:100]!r}. Send a form: {_TYPE}.")
    body = bytearray()
    with state_of(request).room.stay() as stay:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                raise BodyTooLarge(f"A form may have at most {LARGEST_FORM // KIB:,} KiB.")
            stay.grow(len(body))
    return bytes(body)


def _parsed(body: bytes) -> Form:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise BodyMalformed(f"The form cannot be read: {error}.") from error
    form: Form = {}
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise BodyMalformed("The form contains the character NUL, which cannot be stored.")
        form.setdefault(name, []).append(value)
    return form
