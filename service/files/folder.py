"""Files in a folder: each is written beside its place, synced, and then renamed; a small one is written in place."""

import asyncio
import contextlib
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, ClassVar

from jobs.kit.files import FileGone
from service.files.storage import BLOCK_BYTES, Block, StorageUnavailable

# Files being written; no id has this name.
_INCOMING = "incoming"
_KEY = re.compile(r"[0-9a-f-]{36}")
_SHARDS = [f"{number:02x}" for number in range(256)]
_KEYS_AT_ONCE = 500
# A kind that borrows a file must not write to it.
_READ_ONLY = 0o440


class Folder:
    """Keeps files below a folder, in 256 subfolders by the end of their keys, which is random."""

    rowless_for: ClassVar[timedelta] = timedelta(hours=1)  # a row follows the last byte within a minute, or never

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / _INCOMING
        self._subfolders = _Subfolders(folder)

    async def write(
        self, key: str, blocks: AsyncIterator[Block], *, at_end: Callable[[], object] | None = None
    ) -> None:
        beside, place = self._incoming / key, self._place(key)
        incoming = _Incoming(beside, place, self._subfolders)
        last: Block = ()  # waits for the next block: a small file takes one hop to a thread
        try:
            async for block in blocks:
                if last:
                    with _told():
                        await asyncio.to_thread(incoming.write, last)
                last = block
            with _told():
                await asyncio.to_thread(incoming.finish, last, at_end)
        except BaseException:
            incoming.give_up()
            raise

    async def read(self, key: str, *, start: int, end: int, sha256: str | None = None) -> AsyncIterator[bytes]:
        with _told(key):
            file = await asyncio.to_thread(self._open, key, start)
        try:
            left = end - start
            while left > 0:
                with _told():
                    block = await asyncio.to_thread(file.read, min(BLOCK_BYTES, left))
                if not block:
                    raise FileGone(f"The last {left} bytes of file {key} are gone.")
                left -= len(block)
                yield block
        finally:
            file.close()

    @asynccontextmanager
    async def local(self, key: str, size: int, sha256: str) -> AsyncIterator[Path]:
        place = self._place(key)
        with _told(key):
            found = (await asyncio.to_thread(place.stat)).st_size
        if found != size:
            raise FileGone(f"The file {key} has {found:,} bytes, not the {size:,} that were stored.")
        yield place

    async def delete(self, keys: Sequence[str]) -> None:
        def unlink() -> None:
            for key in keys:
                self._place(key).unlink(missing_ok=True)

        with _told():
            await asyncio.to_thread(unlink)

    async def written_before(self, moment: datetime) -> AsyncIterator[Sequence[str]]:
        before = moment.timestamp()
        with _told():
            await asyncio.to_thread(_delete_old, self._incoming, before)
            shards = await asyncio.to_thread(_shards, self._folder)
        for shard in shards:
            with _told():
                keys = await asyncio.to_thread(_old_keys, shard, before)
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                yield keys[start : start + _KEYS_AT_ONCE]

    def _place(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise FileGone(f"There is no file {key!r}.")
        return self._folder / key[-2:] / key

    def _open(self, key: str, start: int) -> BinaryIO:
        file = self._place(key).open("rb", buffering=0)
        file.seek(start)
        return file


class _Incoming:
    """A file being written `beside` its place, opened when its first bytes arrive.

    A file written in one go is put in its place at once: it is too new for the sweep, which deletes old files without
    rows, and a rename would have the disk write its journal a second time.
    """

    def __init__(self, beside: Path, place: Path, subfolders: "_Subfolders") -> None:
        self._at = beside
        self._place = place
        self._subfolders = subfolders
        self._file: BinaryIO | None = None

    def write(self, block: Block) -> BinaryIO:
        file = self._file = self._file or self._open()
        left: deque[memoryview] = deque(memoryview(piece) for piece in block)
        while left:
            _leave_out(left, os.writev(file.fileno(), left))  # a nearly full disk takes only a part
        return file

    def finish(self, last: Block, at_end: Callable[[], object] | None) -> None:
        """Write what is left, call `at_end`, sync the file, and rename it to its place."""
        if self._file is None:
            self._at = self._place
        file = self.write(last)
        if at_end is not None:
            at_end()
        os.fchmod(file.fileno(), _READ_ONLY)
        os.fsync(file.fileno())
        file.close()
        if self._at != self._place:
            self._at.rename(self._place)
        _sync_folder(self._place.parent)

    def give_up(self) -> None:
        if self._file is not None:
            self._file.close()
            self._at.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        self._subfolders.make(self._at.parent, self._place.parent)
        return self._at.open("xb", buffering=0)


class _Subfolders:
    """The subfolders of a folder for files, made and synced together: one by one, each would have a file wait for it.

    Every process syncs them before its first file: the one that has made them may not have done so yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._are_safe = False

    def make(self, *needed: Path) -> None:
        """Make all, once; and again when somebody has removed what is needed."""
        if self._are_safe and all(one.exists() for one in needed):
            return
        is_new = not self._folder.exists()
        for name in (_INCOMING, *_SHARDS):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        _sync_folder(self._folder)
        if is_new:
            _sync_folder(self._folder.parent)
        self._are_safe = True


@contextmanager
def _told(key: str | None = None) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if key is None:
            raise StorageUnavailable(f"the folder for files does not exist: {error}") from error
        raise FileGone(f"The bytes of file {key} are gone.") from error
    except OSError as error:
        raise StorageUnavailable(f"the folder for files cannot be used: {error}") from error


def _leave_out(pieces: deque[memoryview], count: int) -> None:
    """Take the first bytes away."""
    while pieces and count >= len(pieces[0]):
        count -= len(pieces.popleft())
    if count:
        pieces[0] = pieces[0][count:]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shards(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(shard for shard in folder.iterdir() if len(shard.name) == 2 and shard.is_dir())
    return []


def _old_keys(shard: Path, before: float) -> list[str]:
    return [entry.name for entry in _entries(shard) if _KEY.fullmatch(entry.name) and _is_old(entry, before)]


def _delete_old(folder: Path, before: float) -> None:
    for entry in _entries(folder):
        if _is_old(entry, before):
            Path(entry.path).unlink(missing_ok=True)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from entries


def _is_old(entry: os.DirEntry[str], before: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before
    return False
