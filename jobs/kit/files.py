"""Files that jobs read and make; what a kind has as `ctx.files`."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from jobs.kit.outcomes import Discard, Seconds


class FileGone(Discard, LookupError):
    """There is no such file: it expired, was deleted, or never existed. An attempt that raises this is not retried."""


class FileInUse(RuntimeError):
    """A job that may still run names the file."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known about a file. `sha256` is in hex; `content_type` was detected from the first bytes."""

    id: str
    name: str
    size: int
    content_type: str
    sha256: str
    created_at: datetime
    expires_at: datetime | None


class FileMark:
    """Marks a field of args that names a file: the file is not deleted while the job may still run."""


FileId = Annotated[
    str, Field(min_length=1, max_length=64, description="A file's id, as `POST /v1/files` returned it."), FileMark()
]


class Files(Protocol):
    """Files in the store of the settings: a folder or a bucket."""

    async def get(self, file_id: str) -> StoredFile:
        """Return what is known about a file. Raises `FileGone`."""
        ...

    def stream(self, file_id: str, *, start: int = 0) -> AsyncIterator[bytes]:
        """Read a file in chunks, from the byte `start` on. Raises `FileGone`."""
        ...

    def local(self, file_id: str) -> AbstractAsyncContextManager[Path]:
        """Provide a file on this machine's disk, read-only, as long as the context is open. Raises `FileGone`."""
        ...

    async def store(
        self,
        source: Path | bytes | AsyncIterable[bytes],
        *,
        name: str,
        content_type: str | None = None,
        expires_in: Seconds | None = None,
    ) -> StoredFile:
        """Store a file, whole or not at all.

        It replaces a file of the same `name` that an earlier attempt of the job stored. Without `expires_in`
        (seconds) it is kept as long as the settings say.
        """
        ...

    async def delete(self, file_id: str) -> None:
        """Delete a file; nothing happens if it is gone. Raises `FileInUse` while another job that may run names it.

        A file that this job itself names goes when the job has ended: until then it may be retried.
        """
        ...


class FilesOfJobs(Protocol):
    """What the service offers: the files as one attempt has them."""

    def of(self, job_id: str, attempt: int) -> Files:
        """Return the files for an attempt, whose own files replace those of earlier attempts."""
        ...
