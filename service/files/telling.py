"""Files and their storage know no HTTP; what they raise is told in its words."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from jobs.kit.files import FileGone
from service.files.errors import FileNotFound, FilesUnavailable
from service.files.storage import StorageUnavailable

log = structlog.get_logger(__name__)


@contextmanager
def told_errors() -> Iterator[None]:
    """Raise `FileNotFound` and `FilesUnavailable` in the place of what the library raises."""
    try:
        yield
    except FileGone as error:
        raise FileNotFound(error.reason) from error
    except StorageUnavailable as error:
        log.error("files_unavailable", reason=str(error))
        raise FilesUnavailable("Files cannot be read or kept at the moment. Send the request again.") from error
