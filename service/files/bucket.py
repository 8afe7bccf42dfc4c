"""Files in a bucket that speaks S3."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from jobs.kit.files import FileGone
from service.files.storage import Block, StorageUnavailable

# A file is read and written in parts of this size, so that each request is bounded and can be repeated.
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 2
_CONNECT_WITHIN_S, _REQUEST_WITHIN_S = 5, 30
_RETRIES, _RETRY_WITHIN_S = 3, 10
_KEYS_AT_ONCE = 500
_NO_BUCKET = "NoSuchBucket"
_DETAILS = "\n\nDebug source"


class Bucket:
    """Keeps files in a bucket, below a prefix. A file sent in parts exists once all its parts have arrived."""

    # S3 dates a file in parts by its beginning, and a slow sender takes hours.
    rowless_for: ClassVar[timedelta] = timedelta(days=1)

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        named: Any = {} if endpoint is None else {"endpoint": endpoint, "virtual_hosted_style_request": False}
        told = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
        self._store = S3Store.from_url(
            url,
            client_options={
                "connect_timeout": timedelta(seconds=_CONNECT_WITHIN_S),
                "timeout": timedelta(seconds=_REQUEST_WITHIN_S),
                "allow_http": told.startswith("http://"),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_WITHIN_S)},
            **named,
        )

    async def write(
        self, key: str, blocks: AsyncIterator[Block], *, at_end: Callable[[], object] | None = None
    ) -> None:
        parts = _Parts(blocks)
        try:
            with _told():
                await self._put(key, parts)
            if at_end is not None:
                await asyncio.to_thread(at_end)
        except BaseException:
            if parts.error is not None:  # the sender's error: the bucket is not to blame
                raise parts.error from None
            raise

    async def _put(self, key: str, parts: "_Parts") -> None:
        first = await anext(parts, b"")
        if parts.is_over:
            await obstore.put_async(self._store, key, first, use_multipart=False)
        else:
            parts.again = first
            await obstore.put_async(self._store, key, parts, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    async def read(self, key: str, *, start: int, end: int, sha256: str | None = None) -> AsyncIterator[bytes]:
        hashed = hashlib.sha256()
        for at in range(start, end, _PART_BYTES):
            wanted = min(_PART_BYTES, end - at)
            with _told(key):
                part = await obstore.get_range_async(self._store, key, start=at, length=wanted)
            if len(part) != wanted:
                raise StorageUnavailable(f"the bucket gave {len(part):,} of {wanted:,} bytes of file {key}")
            content = part.to_bytes()
            if sha256 is not None:
                await asyncio.to_thread(hashed.update, content)
                if at + wanted == end and hashed.hexdigest() != sha256:
                    raise StorageUnavailable(f"the bucket gave other bytes of file {key} than were stored")
            yield content

    @asynccontextmanager
    async def local(self, key: str, size: int, sha256: str) -> AsyncIterator[Path]:
        with tempfile.NamedTemporaryFile() as file:
            async for part in self.read(key, start=0, end=size, sha256=sha256):
                file.write(part)
            file.flush()
            yield Path(file.name)

    async def delete(self, keys: Sequence[str]) -> None:
        with _told():
            try:
                await obstore.delete_async(self._store, list(keys))
            except FileNotFoundError:
                return

    async def written_before(self, moment: datetime) -> AsyncIterator[Sequence[str]]:
        with _told():
            async for listed in obstore.list(self._store, chunk_size=_KEYS_AT_ONCE):
                yield [one["path"] for one in listed if _is_key(one["path"]) and one["last_modified"] < moment]


class _Parts:
    """Joins blocks into parts, and remembers what their source raised."""

    def __init__(self, blocks: AsyncIterator[Block]) -> None:
        self.is_over = False
        self.error: BaseException | None = None
        self.again: bytes | None = None
        self._blocks = blocks

    def __aiter__(self) -> "_Parts":
        return self

    async def __anext__(self) -> bytes:
        if self.again is not None:
            part, self.again = self.again, None
            return part
        gathered: list[bytes | bytearray | memoryview] = []
        size = 0
        while size < _PART_BYTES and not self.is_over:
            if (block := await self._next()) is None:
                self.is_over = True
                break
            gathered += block
            size += sum(map(len, block))
        if not gathered:
            raise StopAsyncIteration
        return b"".join(gathered)

    async def _next(self) -> Block | None:
        try:
            return await anext(self._blocks, None)
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def _told(key: str | None = None) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if key is None or _NO_BUCKET in str(error):
            raise StorageUnavailable(f"the bucket of files is not there: {_line_of(error)}") from error
        raise FileGone(f"The bytes of file {key} are gone.") from error
    except (BaseError, OSError, ValueError) as error:
        raise StorageUnavailable(f"the bucket of files failed: {_line_of(error)}") from error


def _line_of(error: Exception) -> str:
    return " ".join(str(error).partition(_DETAILS)[0].split())


def _is_key(path: str) -> bool:
    try:
        return str(UUID(path)) == path
    except ValueError:
        return False
