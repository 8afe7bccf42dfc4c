"""A file on its way in: cut into blocks, counted, hashed and inspected, in constant memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable

from service.files.sniffing import SNIFFED_BYTES, content_type_of
from service.files.storage import BLOCK_BYTES


class Intake:
    """Reads the incoming bytes once, and knows afterwards what they were.

    `check_size` is called with the size so far, `check_type` with the type as soon as it is known. An error of
    theirs ends the file.
    """

    def __init__(
        self,
        name: str,
        *,
        content_type: str | None = None,
        check_size: Callable[[int], None] | None = None,
        check_type: Callable[[str], None] | None = None,
    ) -> None:
        self.size = 0
        self.content_type = content_type
        self._name = name
        self._check_size = check_size
        self._check_type = check_type
        self._hash = hashlib.sha256()
        self._last = b""

    @property
    def sha256(self) -> str:
        """Of all that came, after `hash_last`."""
        return self._hash.hexdigest()

    async def blocks(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the incoming bytes in blocks. The next block is received while a thread hashes the one before."""
        gathered, length = [], 0
        async for chunk in chunks:
            self._count(len(chunk))
            gathered.append(chunk)
            length += len(chunk)
            if length >= BLOCK_BYTES:
                block = b"".join(gathered)
                gathered, length = [], 0
                self._look_at(block, is_whole=False)
                hashing = asyncio.create_task(asyncio.to_thread(self._hash.update, block))
                yield block
                await hashing
        self._last = b"".join(gathered)
        self._look_at(self._last, is_whole=True)
        if self._last:
            yield self._last

    def hash_last(self) -> None:
        """Hash the last block, which takes a thread up to a millisecond, once it has been yielded."""
        self._hash.update(self._last)
        self._last = b""

    def _count(self, more: int) -> None:
        self.size += more
        if self._check_size is not None:
            self._check_size(self.size)

    def _look_at(self, block: bytes, *, is_whole: bool) -> None:
        if self.content_type is not None:
            return
        head = block[:SNIFFED_BYTES]
        self.content_type = content_type_of(head, self._name, is_whole=is_whole and len(block) <= SNIFFED_BYTES)
        if self._check_type is not None:
            self._check_type(self.content_type)
