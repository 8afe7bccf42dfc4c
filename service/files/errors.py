"""What can go wrong with files, besides what can go wrong with every request."""

from typing import ClassVar

from service.errors import BodyMalformed, BodyTooLarge, Conflict, MediaTypeRefused, NotFound, PostludeError, Refused


class FileNotFound(NotFound):
    title = "File not found"


class FileStillUsed(Conflict):
    title = "A job that may still run names the file"


class FileTooLarge(BodyTooLarge):
    title = "File too large"


class FileTypeRefused(MediaTypeRefused):
    title = "Files of this type are not accepted"


class UploadRefused(Refused):
    title = "Upload refused"


class UploadMalformed(BodyMalformed):
    title = "Upload malformed"


class UploadTooSlow(PostludeError):
    status, title = 408, "Upload too slow"
    headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class FileNotWanted(PostludeError):
    """A condition of the request asks for another file (RFC 9110, 13.1)."""

    status, title = 412, "Not the file that was asked for"


class RangeUnsatisfiable(PostludeError):
    status, title = 416, "Range not satisfiable"

    def __init__(self, detail: str, *, size: int) -> None:
        super().__init__(detail)
        self.headers = {"Content-Range": f"bytes */{size}"}  # type: ignore[misc]


class FilesFull(PostludeError):
    status, title = 507, "No room for more files"


class FilesUnavailable(PostludeError):
    """The folder or the bucket did not answer, or refused the file. The same request may be sent again."""

    status, title = 503, "Files unavailable"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}
