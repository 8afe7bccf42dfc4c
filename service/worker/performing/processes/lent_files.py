"""`ctx.files` of an attempt in a child, as its worker carries it out: mostly paths are exchanged."""

from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from jobs import Context
from jobs.kit.files import Files, StoredFile


class LentFiles:
    """The files that an attempt has on its machine's disk, until it gives them back or ends."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lent: dict[int, AsyncExitStack] = {}

    @cached_property
    def _files(self) -> Files:
        """The same object for all calls of the attempt, because it remembers the file that was asked for last."""
        return self._context.files

    async def get(self, file_id: str) -> StoredFile:
        return await self._files.get(file_id)

    async def lend(self, number: int, file_id: str, returned: Sequence[int]) -> tuple[Path, StoredFile]:
        """Take back the files that the child has returned, and lend it one more."""
        for one in returned:
            await self.take_back(one)
        stored = await self._files.get(file_id)
        stack = self._lent[number] = AsyncExitStack()
        return await stack.enter_async_context(self._files.local(file_id)), stored

    async def take_back(self, number: int) -> None:
        with suppress(OSError):  # somebody has removed the copy
            await self._lent.pop(number).aclose()

    async def store(self, source: Path | bytes, **options: Any) -> StoredFile:
        return await self._files.store(source, **options)

    async def delete(self, file_id: str) -> None:
        await self._files.delete(file_id)

    async def take_all_back(self) -> None:
        """Take back the rest: the last returned files, and files that a child had when it died."""
        for number in list(self._lent):
            await self.take_back(number)
