"""A file's content over HTTP: whole or one range of it, unless the client has it already (RFC 9110, 13 and 14)."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from jobs.kit.files import StoredFile
from service.files.errors import FileNotWanted, RangeUnsatisfiable
from service.files.library import FileLibrary
from service.web.headers import header_of
from service.web.methods import asked

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
# Whatever the file is, a browser must not show it as one of our pages.
_SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


class Span(NamedTuple):
    """The bytes from `start` to before `end`."""

    start: int
    end: int


async def answer_with(request: Request, library: FileLibrary, file: StoredFile) -> Response:
    """Answer with a file.

    Raises `FileNotWanted`, `RangeUnsatisfiable`, and errors of the storage before the first byte.
    """
    headers = {
        **_SAFETY,
        "ETag": f'"{file.sha256}"',
        "Last-Modified": format_datetime(file.created_at, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(file.name),
    }
    _check_wanted(request, file)
    if _has_it(request, file):
        return Response(status_code=304, headers=headers)
    span = None if asked(request) == "HEAD" else _span(request, file)
    status, whole = (206, span) if span else (200, Span(0, file.size))
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
    headers |= {"Content-Length": str(whole.end - whole.start), "Content-Type": file.content_type}
    if asked(request) == "HEAD":
        return Response(status_code=status, headers=headers)
    if whole.start == whole.end:
        return Response(status_code=status, headers=headers)
    blocks = library.read(file, start=whole.start, end=whole.end)
    first = await anext(blocks)
    return StreamingResponse(_content(first, blocks), status, headers)


async def _content(first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in blocks:
        yield block


def disposition(name: str) -> str:
    """Write `Content-Disposition` for a download (RFC 6266)."""
    plain = "".join(letter if letter.isascii() and letter not in '"\\%' else "_" for letter in name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def _check_wanted(request: Request, file: StoredFile) -> None:
    if tags := _tags(request, "if-match"):
        is_wanted = tags.strip() == "*" or f'"{file.sha256}"' in map(str.strip, tags.split(","))
    else:
        until = _date(header_of(request, b"if-unmodified-since"))
        is_wanted = until is None or file.created_at.replace(microsecond=0) <= until
    if not is_wanted:
        raise FileNotWanted("The file is not the one that `If-Match` or `If-Unmodified-Since` asks for.")


def _tags(request: Request, name: str) -> str:
    return ", ".join(request.headers.getlist(name))


def _has_it(request: Request, file: StoredFile) -> bool:
    if tags := _tags(request, "if-none-match"):
        return tags.strip() == "*" or file.sha256 in _TAG.findall(tags)
    since = _date(header_of(request, b"if-modified-since"))
    return since is not None and file.created_at.replace(microsecond=0) <= since


def _span(request: Request, file: StoredFile) -> Span | None:
    """Return the requested range; None: the whole file, which clients must also expect if they ask for several."""
    header = header_of(request, b"range")
    if header is None or (found := _RANGE.fullmatch(header.strip())) is None or not _is_still(request, file):
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, file.size) if last else file.size
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(0, file.size - int(last)), file.size
    else:
        return None
    if start >= end:
        raise RangeUnsatisfiable(f"The file has {file.size} bytes.", size=file.size)
    return Span(start, end)


def _is_still(request: Request, file: StoredFile) -> bool:
    """Whether the client's part belongs to this file (`If-Range`)."""
    header = header_of(request, b"if-range")
    if header is None:
        return True
    if header.strip().startswith(('"', "W/")):
        return header.strip() == f'"{file.sha256}"'
    return _date(header) == file.created_at.replace(microsecond=0)


def _date(header: str | None) -> datetime | None:
    try:
        told = None if header is None else parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return told.replace(tzinfo=UTC) if told is not None and told.tzinfo is None else told
