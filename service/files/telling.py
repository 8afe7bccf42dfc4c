"""Files and their storage know nothing of HTTP, so their errors are translated here."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from jobs.kit.files import FileGone
from service.files.errors import FileNotFound, FilesUnavailable
from service.files.storage import StorageUnavailable

log = structlog.get_logger(__name__)


@contextmanager
def told_errors() -> Iterator[None]:
    """Raise `FileNotFound` and `FilesUnavailable` in place of the library's errors."""
    try:
        yield
    except FileGone as error:
        raise FileNotFound(error.reason) from error
    except StorageUnavailable as error:
        log.error("files_unavailable", reason=str(error))
        raise FilesUnavailable("Files cannot be read or stored at the moment. Send the request again.") from error
