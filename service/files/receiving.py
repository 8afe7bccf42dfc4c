"""An upload as it arrives over HTTP: a raw body, or a form with one file."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import ClassVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.files.errors import UploadRefused, UploadTooSlow
from service.files.multipart import FormWithFile, name_of_disposition, text_of
from service.files.names import NAMELESS, clean_name
from service.web.headers import header_of

_FORM = "multipart/form-data"
_LONGEST_KEPT_S = 3650 * 86_400


class Upload:
    """A file that a request sends. `begin` reads up to its name; after `chunks`, `expires_in` is known."""

    # For the next chunk; the total time of a body is bounded for every request.
    idle_within_s: ClassVar[float] = 30.0

    def __init__(self, request: Request, expires_in: float | None, check_body: Callable[[int], None]) -> None:
        self.name = NAMELESS
        self._check_body = check_body  # called with the size so far: a form around the file may be endless
        self._size = 0
        self._request = request
        self._expires_in = expires_in
        self._form: FormWithFile | None = None

    async def begin(self) -> None:
        """Raises `UploadRefused`, `UploadMalformed`, `UploadTooSlow` and `ClientDisconnect`."""
        content_type = header_of(self._request, b"content-type") or ""
        if content_type.partition(";")[0].strip().lower() != _FORM:
            self.name = clean_name(_raw_name(self._request) or NAMELESS)
            return
        self._form = FormWithFile(content_type, self._stream())
        await self._form.begin()
        self.name = clean_name(self._form.name or NAMELESS)

    def chunks(self) -> AsyncIterator[bytes] | AsyncIterator[memoryview]:
        """Yield the bytes of the file."""
        return self._stream() if self._form is None else self._form.chunks()

    @property
    def expires_in(self) -> timedelta | None:
        """Return how long to keep the file. Raises `UploadRefused`."""
        told = None if self._form is None else self._form.fields.get("expires_in")
        if not told:
            return None if self._expires_in is None else timedelta(seconds=self._expires_in)
        try:
            seconds = float(told)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= _LONGEST_KEPT_S:
            raise UploadRefused("`expires_in` must be a number of seconds, more than 0 and at most ten years.")
        return timedelta(seconds=seconds)

    async def _stream(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self.idle_within_s):
                    message = await self._request.receive()
            except TimeoutError:
                raise UploadTooSlow(f"Nothing arrived for {self.idle_within_s:g} s.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if body := message.get("body", b""):
                self._size += len(body)
                self._check_body(self._size)
                yield body
            if not message.get("more_body", False):
                return


def _raw_name(request: Request) -> str | None:
    """Return the name of a raw body. Raises `UploadMalformed`."""
    if (name := header_of(request, b"x-file-name")) is not None:
        return text_of(name.encode("latin-1"))
    if (disposition := header_of(request, b"content-disposition")) is None:
        return None
    return name_of_disposition(text_of(disposition.encode("latin-1")))
