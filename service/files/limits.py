"""The limits of uploads: how large, of which types, and how many bytes in all."""

from fnmatch import fnmatchcase

from service.files.errors import FilesFull, FileTooLarge, FileTypeRefused
from service.files.reads import total_bytes
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.settings import Settings

MIB = 1024 * 1024
_AROUND_BYTES = 64 * 1024


class UploadLimits:
    """The limits of one upload, given the bytes that `there_are` already; `record_uploads` checks again."""

    def __init__(self, settings: Settings, there_are: int = 0) -> None:
        self._most = settings.files_max_bytes
        self._types = settings.files_types
        self._most_in_all = settings.files_max_total_bytes
        self._there_are = there_are

    @classmethod
    async def of(cls, settings: Settings, ledger: Ledger) -> "UploadLimits":
        if settings.files_max_total_bytes is None:
            return cls(settings)
        return cls(settings, await in_time(_total_bytes(ledger)))

    def check_length(self, header: str | None) -> None:
        """Refuse a body by its `Content-Length`, before it is read."""
        if header is not None and header.isdigit():
            self.check_body(int(header[:18]))

    def check_body(self, size: int) -> None:
        """Do what `check_size` does for a whole body: a form adds a little around the file."""
        self.check_size(size - _AROUND_BYTES)

    def check_size(self, size: int) -> None:
        """Raise `FileTooLarge` or `FilesFull`."""
        if size > self._most:
            raise FileTooLarge(f"A file may have at most {_bytes(self._most)} (POSTLUDE_FILES_MAX_BYTES).")
        if self._most_in_all is not None and self._there_are + size > self._most_in_all:
            raise no_room(self._most_in_all)

    def check_type(self, content_type: str) -> None:
        """Raise `FileTypeRefused`."""
        if self._types and not any(fnmatchcase(content_type, allowed) for allowed in self._types):
            raise FileTypeRefused(
                f"The file is {content_type}, by its first bytes. Accepted: {', '.join(self._types)}."
            )


async def _total_bytes(ledger: Ledger) -> int:
    async with ledger.read() as connection:
        return await connection.run_sync(total_bytes)


def no_room(most: int) -> FilesFull:
    return FilesFull(
        f"All files together may have at most {_bytes(most)} (POSTLUDE_FILES_MAX_TOTAL_BYTES). Delete some,"
        " or wait until some expire."
    )


def _bytes(count: int) -> str:
    return f"{count // MIB:,} MiB" if count % MIB == 0 else f"{count:,} bytes"
