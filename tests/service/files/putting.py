"""Puts files into a library, as an upload does."""

from collections.abc import AsyncIterator
from datetime import timedelta

from jobs.kit.files import StoredFile
from service.files.intake import Intake
from service.files.library import FileLibrary


async def put(
    library: FileLibrary,
    *chunks: bytes,
    name: str = "a.txt",
    expires_in: timedelta | None = None,
    owner: str | None = None,
) -> StoredFile:
    """Keep a file of these chunks."""

    async def come() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    file = await library.keep(Intake(name), come(), name, lambda: expires_in)
    await library.record_upload(file, owner=owner)
    return file
