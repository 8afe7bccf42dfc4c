"""A file on its way in: cut into blocks, counted, hashed and inspected, in constant memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable

from service.files.sniffing import SNIFFED_BYTES, content_type_of
from service.files.storage import BLOCK_BYTES, Block

_SMALL_BYTES = 2 * SNIFFED_BYTES


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
        self._last: Block = ()

    @property
    def sha256(self) -> str:
        """Of all that came, after `hash_last`."""
        return self._hash.hexdigest()

    async def blocks(self, chunks: AsyncIterable[bytes | memoryview]) -> AsyncIterator[Block]:
        """Yield the incoming bytes in blocks. The next block is received while a thread hashes the one before."""
        gathered = _Gathered()
        async for chunk in chunks:
            self._count(len(chunk))
            gathered.add(chunk)
            if gathered.size >= BLOCK_BYTES:
                block = gathered.pieces
                gathered = _Gathered()
                self._look_at(block, is_whole=False)
                hashing = asyncio.create_task(asyncio.to_thread(self._add_to_hash, block))
                yield block
                await hashing
        self._last = gathered.pieces
        self._look_at(self._last, is_whole=gathered.size <= SNIFFED_BYTES)
        if self._last:
            yield self._last

    def hash_last(self) -> None:
        """Hash the last block, which takes a thread up to a millisecond, once it has been yielded."""
        self._add_to_hash(self._last)
        self._last = ()

    def _add_to_hash(self, block: Block) -> None:
        for piece in block:
            self._hash.update(piece)

    def _count(self, more: int) -> None:
        self.size += more
        if self._check_size is not None:
            self._check_size(self.size)

    def _look_at(self, block: Block, *, is_whole: bool) -> None:
        if self.content_type is not None:
            return
        # Small pieces are joined, so the first two have all that is looked at, if there is so much.
        head = b"".join(piece[:SNIFFED_BYTES] for piece in block[:2])[:SNIFFED_BYTES]
        self.content_type = content_type_of(head, self._name, is_whole=is_whole)
        if self._check_type is not None:
            self._check_type(self.content_type)


class _Gathered:
    """The pieces of a block. Small ones are joined: a slow sender may send a million."""

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray | memoryview] = []
        self.size = 0

    def add(self, chunk: bytes | memoryview) -> None:
        self.size += len(chunk)
        if len(chunk) >= _SMALL_BYTES:
            self.pieces.append(_unchanging(chunk))
        elif self.pieces and isinstance(self.pieces[-1], bytearray):
            self.pieces[-1] += chunk
        elif chunk:
            self.pieces.append(bytearray(chunk))


def _unchanging(chunk: bytes | memoryview) -> bytes | memoryview:
    """Copy a chunk unless it is of bytes: a kind may read the next one into the same buffer."""
    is_of_bytes = isinstance(chunk, bytes) or (isinstance(chunk, memoryview) and isinstance(chunk.obj, bytes))
    return chunk if is_of_bytes else bytes(chunk)
