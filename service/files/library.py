"""The files of the service: rows in the ledger's database, bytes in the storage."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path

import structlog
import uuid_utils

from jobs.kit.files import FileGone, StoredFile
from service import agreed_time
from service.files.errors import FilesFull
from service.files.intake import Intake
from service.files.reads import find_file
from service.files.records import Deleted, Maker, Uploaded, record_deleted, record_made, record_uploads
from service.files.storage import Storage, StorageUnavailable
from service.ledger.group_commit import GroupCommit, Operation
from service.ledger.ledger import Ledger
from service.ledger.models import IdempotencyKey, KeyHeld
from service.ledger.outages import is_data_error

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FileLibrary:
    """Bytes are safe before their row is written, and a row is deleted before its bytes.

    So a crash between the two leaves only bytes without a row, which `keeping` sweeps. `kept_for` is how long
    files are kept by default, and `most_in_all` limits the bytes of all files together.
    """

    ledger: Ledger
    storage: Storage
    kept_for: timedelta
    most_in_all: int | None = None

    @cached_property
    def _uploads(self) -> GroupCommit:
        """Uploads recorded at the same time share a transaction, for which their senders wait."""
        return GroupCommit(self.ledger.database.transact, is_data_error=_fails_alone)

    @cached_property
    def _record_uploads(self) -> Operation[Uploaded, KeyHeld | None]:
        return partial(record_uploads, most_in_all=self.most_in_all)

    async def find(self, file_id: str, *, owner: str | None = None) -> StoredFile:
        """Return a file's row (only their own for an `owner`). Raises `FileGone`."""
        found = await self.ledger.database.read(
            lambda connection: find_file(connection, file_id, agreed_time.now(), owner=owner)
        )
        if found is None:
            raise FileGone(f"There is no file {file_id!r}: it expired, was deleted, or never existed.")
        return found

    async def record_upload(
        self, file: StoredFile, *, owner: str | None, key: IdempotencyKey | None = None
    ) -> KeyHeld | None:
        """Record a stored file, unless an earlier request holds its `key`. Raises `FilesFull`."""
        try:
            held = (await self._uploads.write(self._record_uploads, [Uploaded(file, owner, key)]))[0]
        except FilesFull:
            await self.delete_bytes([file.id])
            raise
        if held is not None:
            await self.delete_bytes([file.id])
        return held

    async def make(
        self, intake: Intake, chunks: AsyncIterable[bytes], name: str, *, expires_in: timedelta | None, maker: Maker
    ) -> StoredFile | None:
        """Store a file that an attempt makes; None if the attempt was taken away."""
        file = await self.keep(intake, chunks, name, lambda: expires_in)
        replaced = await self.ledger.database.run(partial(record_made, file=file, maker=maker))
        await self.delete_bytes([file.id] if replaced is None else replaced)
        return None if replaced is None else file

    async def keep(
        self,
        intake: Intake,
        chunks: AsyncIterable[bytes | memoryview],
        name: str,
        expires_in: Callable[[], timedelta | None] = lambda: None,
    ) -> StoredFile:
        """Store the bytes of a file, to be recorded next. `expires_in` is called once all have arrived."""
        file_id = str(uuid_utils.uuid7())
        await self.storage.write(file_id, intake.blocks(chunks), at_end=intake.hash_last)
        assert intake.content_type is not None
        now, kept_for = agreed_time.now(), expires_in()
        expires_at = now + (self.kept_for if kept_for is None else kept_for)
        return StoredFile(file_id, name, intake.size, intake.content_type, intake.sha256, now, expires_at)

    def read(self, file: StoredFile, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Read the bytes of a file from `start` to before `end`. Raises `FileGone`."""
        end = file.size if end is None else end
        is_whole = (start, end) == (0, file.size)
        return self.storage.read(file.id, start=start, end=end, sha256=file.sha256 if is_whole else None)

    def local(self, file: StoredFile) -> AbstractAsyncContextManager[Path]:
        """Make a file available on this machine's disk. Raises `FileGone`."""
        return self.storage.local(file.id, file.size, file.sha256)

    async def delete(self, file_id: str, *, by: str | None = None) -> Deleted:
        """Delete a file, unless a job that may still run names it; see `record_deleted` for the job `by`."""
        recording = partial(record_deleted, file_id=file_id, now=agreed_time.now(), by=by)
        deleted = await self.ledger.database.run(recording)
        if deleted.is_done:
            await self.delete_bytes([file_id])
        return deleted

    async def delete_bytes(self, ids: Sequence[str]) -> None:
        """Delete the bytes of deleted rows; if the storage is away, the sweep does it later."""
        try:
            if ids:
                await self.storage.delete(ids)
        except StorageUnavailable as error:
            log.warning("bytes_not_deleted_yet", count=len(ids), reason=str(error))


def _fails_alone(error: BaseException) -> bool:
    return isinstance(error, FilesFull) or is_data_error(error)
