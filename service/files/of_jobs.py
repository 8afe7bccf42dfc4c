"""`ctx.files` in a worker."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from jobs.kit.files import FileInUse, StoredFile
from jobs.kit.outcomes import Seconds, to_timedelta
from service.files.intake import Intake
from service.files.library import FileLibrary
from service.files.names import clean_name
from service.files.records import Maker
from service.files.storage import BLOCK_BYTES


class LibraryOfJobs:
    """See `jobs.kit.files.FilesOfJobs`."""

    def __init__(self, library: FileLibrary) -> None:
        self._library = library

    def of(self, job_id: str, attempt: int) -> "AttemptFiles":
        return AttemptFiles(self._library, Maker(job_id, attempt))


class AttemptFiles:
    """The files as one attempt has them; see `jobs.kit.files.Files`."""

    def __init__(self, library: FileLibrary, maker: Maker) -> None:
        self._library = library
        self._maker = maker
        self._last: StoredFile | None = None  # a file that is looked up is mostly read next

    async def get(self, file_id: str) -> StoredFile:
        self._last = await self._library.find(file_id)
        return self._last

    async def stream(self, file_id: str, *, start: int = 0) -> AsyncIterator[bytes]:
        file = await self._known(file_id)
        async for block in self._library.read(file, start=start):
            yield block

    @asynccontextmanager
    async def local(self, file_id: str) -> AsyncIterator[Path]:
        async with self._library.local(await self._known(file_id)) as path:
            yield path

    async def store(
        self,
        source: Path | bytes | AsyncIterable[bytes],
        *,
        name: str,
        content_type: str | None = None,
        expires_in: Seconds | None = None,
    ) -> StoredFile:
        kept_for = None if expires_in is None else to_timedelta(expires_in)
        name = clean_name(name)
        intake = Intake(name, content_type=content_type)
        stored = await self._library.make(intake, _chunks(source), name, expires_in=kept_for, maker=self._maker)
        if stored is None:
            raise asyncio.CancelledError("the attempt was taken away")
        return stored

    async def delete(self, file_id: str) -> None:
        deleted = await self._library.delete(file_id, by=self._maker.job_id)
        if deleted.used_by is not None:
            raise FileInUse(f"Job {deleted.used_by} may still run and names the file {file_id}.")

    async def _known(self, file_id: str) -> StoredFile:
        last = self._last
        return last if last is not None and last.id == file_id else await self.get(file_id)


def _chunks(source: Path | bytes | AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    if isinstance(source, Path):
        return _of_path(source)
    return _of_bytes(source) if isinstance(source, bytes) else source


async def _of_path(path: Path) -> AsyncIterator[bytes]:
    file, block = await asyncio.to_thread(_begin_to_read, path)
    try:
        while block:
            yield block
            block = await asyncio.to_thread(file.read, BLOCK_BYTES) if len(block) == BLOCK_BYTES else b""
    finally:
        file.close()


def _begin_to_read(path: Path) -> tuple[BinaryIO, bytes]:
    file = path.open("rb")
    try:
        return file, file.read(BLOCK_BYTES)
    except BaseException:
        file.close()
        raise


async def _of_bytes(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]
