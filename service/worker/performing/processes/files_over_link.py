"""`ctx.files` in a child process: its worker lends it files by path, and stores what it has written.

Bytes travel in files too, except small amounts, which go over the link.
"""

import asyncio
import itertools
import tempfile
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from jobs.kit.files import StoredFile
from jobs.kit.outcomes import Seconds

_BLOCK_BYTES = 1 << 20
# A file from a bucket is a copy on disk. A file larger than this is given back at once, not with the next loan.
_SMALL_BYTES = 64 << 20


class FilesOverLink:
    """See `jobs.kit.files.Files`; `call` has the worker carry out a call."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self._numbers = itertools.count()
        self._lent: dict[str, StoredFile] = {}
        self._returned: deque[int] = deque()  # returned to the worker with the next loan, or at the end

    def of(self, _job_id: str, _attempt: int) -> "FilesOverLink":
        return self

    async def get(self, file_id: str) -> StoredFile:
        known = self._lent.get(file_id)
        return await self._call("get_file", file_id) if known is None else known

    async def stream(self, file_id: str, *, start: int = 0) -> AsyncIterator[bytes]:
        async with self.local(file_id) as path:
            with path.open("rb") as file:
                file.seek(start)
                while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
                    yield block

    @asynccontextmanager
    async def local(self, file_id: str) -> AsyncIterator[Path]:
        number = next(self._numbers)
        path, stored = await self._call("lend_file", number, file_id, self._take_returned())
        self._lent[file_id] = stored
        try:
            yield path
        finally:
            self._lent.pop(file_id, None)
            if stored.size > _SMALL_BYTES:
                await self._call("take_file_back", number)
            else:
                self._returned.append(number)

    def _take_returned(self) -> list[int]:
        """Take the numbers of returned files. Safe to call from several threads of a kind at once."""
        returned = []
        with suppress(IndexError):
            while True:
                returned.append(self._returned.popleft())
        return returned

    async def store(
        self,
        source: Path | bytes | AsyncIterable[bytes],
        *,
        name: str,
        content_type: str | None = None,
        expires_in: Seconds | None = None,
    ) -> StoredFile:
        options = {"name": name, "content_type": content_type, "expires_in": expires_in}
        if isinstance(source, bytes) and len(source) <= _BLOCK_BYTES:
            return await self._call("store_file", source, **options)  # type: ignore[no-any-return]
        if isinstance(source, Path):
            whole = Path.cwd() / source  # the worker may be in another folder
            return await self._call("store_file", whole, **options)  # type: ignore[no-any-return]
        with tempfile.NamedTemporaryFile() as file:
            if isinstance(source, bytes):
                file.write(source)  # without a loop: see `Calls.run_here`
            else:
                async for chunk in source:
                    await asyncio.to_thread(file.write, chunk)
            file.flush()
            return await self._call("store_file", Path(file.name), **options)  # type: ignore[no-any-return]

    async def delete(self, file_id: str) -> None:
        self._lent.pop(file_id, None)
        await self._call("delete_file", file_id)
