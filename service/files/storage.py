"""Where the bytes of files are stored: what a folder and a bucket have in common."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

# Blocks of files on their way: large enough that a hop to a thread costs little, small enough for many at once.
BLOCK_BYTES = 1 << 20

# The pieces in which a block arrived: to join them would copy each byte once more.
Block: TypeAlias = Sequence[bytes | bytearray | memoryview]


class StorageUnavailable(Exception):
    """The storage did not answer, or did not accept a file. Trying again may help."""


class Storage(Protocol):
    """Keeps files by keys, which are our ids. Each method may raise `StorageUnavailable`.

    A file without a row that is older than `rowless_for` is what a crash has left.
    """

    rowless_for: ClassVar[timedelta]

    async def write(
        self, key: str, blocks: AsyncIterator[Block], *, at_end: Callable[[], object] | None = None
    ) -> None:
        """Store a file: it is safe when this returns, and does not exist if this raises.

        `at_end` is called in a thread once all blocks have come.
        """
        ...

    def read(self, key: str, *, start: int, end: int, sha256: str | None = None) -> AsyncIterator[bytes]:
        """Read the bytes from `start` to before `end`. Raises `FileGone`.

        With `sha256`, which goes with a whole file, a storage that may give other bytes than it was given compares them
        before it yields the last ones.
        """
        ...

    def local(self, key: str, size: int, sha256: str) -> AbstractAsyncContextManager[Path]:
        """Make a file available on this machine's disk while the context is open. Raises `FileGone`."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete those files that exist."""
        ...

    def written_before(self, moment: datetime) -> AsyncIterator[Sequence[str]]:
        """Yield the keys of files written before `moment`, some at a time; delete leftovers of broken writes."""
        ...
