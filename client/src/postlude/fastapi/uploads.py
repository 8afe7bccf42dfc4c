"""Uploads of requests are stored at the service with their tasks, and read from there by the functions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from postlude.calling import uploads

if TYPE_CHECKING:
    from postlude.async_client import AsyncClient
    from postlude.calling.call import Call


async def store(client: AsyncClient, call: Call, *, within_s: float) -> list[str]:
    """Store a call's uploads that are not stored yet; return all ids. Raises `PostludeError`."""
    ids = []
    for described in uploads.tags_in(call.arguments) if uploads.any_here() else ():
        if "id" not in described:
            upload = uploads.find(described)
            at = upload.file.tell()
            stored = await client.upload(upload.file, name=described["name"] or "file", within_s=within_s)
            upload.file.seek(at)
            described.update(id=stored.id, size=stored.size)
        ids.append(described["id"])
    return ids


@asynccontextmanager
async def fetched(client: AsyncClient, arguments: dict[str, Any]) -> AsyncIterator[None]:
    """Provide the uploads that arguments name, as long as the context is open. Raises `PostludeError`."""
    open_here = []
    try:
        for described in uploads.tags_in(arguments):
            upload = uploads.made(described)
            open_here.append(upload)
            await client.download(described["id"], upload.file)
            upload.file.seek(0)
            described["here"] = uploads.keep(upload)
        yield
    finally:
        for upload in open_here:
            upload.file.close()
