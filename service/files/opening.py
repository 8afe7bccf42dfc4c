"""The files of the storage that the settings name."""

from typing import TYPE_CHECKING

from service.errors import StartRefused
from service.files.folder import Folder
from service.files.library import FileLibrary
from service.files.storage import Storage
from service.ledger.ledger import Ledger
from service.settings import Settings

if TYPE_CHECKING:
    from fastapi import Request


def storage_of(settings: Settings) -> Storage:
    """Return the storage of the settings; it is contacted on first use. Raises `StartRefused`."""
    if settings.files_url is None:
        return Folder(settings.files_dir)
    try:
        from service.files.bucket import Bucket  # late: its library is optional, and large
    except ImportError as error:
        raise StartRefused("POSTLUDE_FILES_URL names a bucket: install postlude[s3], or unset it.") from error
    return Bucket(settings.files_url, settings.files_s3_endpoint)


def library_of(settings: Settings, ledger: Ledger) -> FileLibrary:
    return FileLibrary(ledger, storage_of(settings), settings.retention_files, settings.files_max_total_bytes)


def library_at(request: "Request") -> FileLibrary:
    """Return the library of the app that serves the request, opened on first use."""
    known: FileLibrary | None = getattr(request.app.state, "files", None)
    if known is None:
        resources = request.app.state.api.resources
        known = request.app.state.files = library_of(resources.settings, resources.ledger)
    return known
