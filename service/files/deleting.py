"""Deletes files for a caller, over HTTP or on a page."""

from service.files.errors import FileStillUsed
from service.files.library import FileLibrary
from service.trail.trail import Operator


async def delete_by(operator: Operator, library: FileLibrary, file_id: str, *, owner: str | None = None) -> str:
    """Delete a file (only their own for an `owner`); return its name. Raises `FileGone` and `FileStillUsed`."""
    file = await library.find(file_id, owner=owner)
    async with operator.action("delete", "file", file_id, before={"name": file.name, "size": file.size}):
        deleted = await library.delete(file_id)
        if deleted.used_by is not None:
            raise FileStillUsed(f"Job {deleted.used_by} may still run and names this file in its args.")
    return file.name
