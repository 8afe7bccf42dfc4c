"""What is uploaded: a path, bytes, or an open file, read in chunks, and from its beginning if it is sent again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Union
from urllib.parse import quote

from postlude.errors import NotRepeatable

CHUNK_BYTES = 256 * 1024

Sendable = Union[str, "os.PathLike[str]", bytes, IO[bytes]]
Chunks = Callable[[], Iterator[bytes]]


class Source:
    """A file to send. `length` is None if it is not known beforehand."""

    def __init__(self, source: Sendable, name: str | None = None) -> None:
        self._source = source
        self._started = False
        if isinstance(source, (str, os.PathLike)):
            self.name = name or Path(source).name
            self.length: int | None = Path(source).stat().st_size
        elif isinstance(source, bytes):
            self.name, self.length = name or "file", len(source)
        else:
            own = getattr(source, "name", None)
            self.name = name or (Path(own).name if isinstance(own, str) else "file")
            self.length = None

    def chunks(self) -> Iterator[bytes]:
        """Read it from its beginning. Raises `NotRepeatable`."""
        if isinstance(self._source, bytes):
            yield self._source
        elif isinstance(self._source, (str, os.PathLike)):
            with Path(self._source).open("rb") as file:
                yield from _read(file)
        else:
            self._rewind(self._source)
            yield from _read(self._source)

    def _rewind(self, file: IO[bytes]) -> None:
        if file.seekable():
            file.seek(0)
        elif self._started:
            raise NotRepeatable("The upload broke off, and its source cannot be read again.")
        self._started = True

    def headers(self) -> dict[str, str]:
        """Return the headers that name it."""
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(self.name, safe='')}",
        }
        return headers if self.length is None else {**headers, "content-length": str(self.length)}


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


async def in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read chunks off the loop: a disk may be slow."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
