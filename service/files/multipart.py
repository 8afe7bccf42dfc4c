"""A form with one file, read part by part: the file goes straight to the storage, without a copy on the way."""

from collections.abc import AsyncIterator, Mapping
from email.message import Message
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.files.errors import UploadMalformed, UploadRefused

# Heads of parts, and the values of fields, are short.
_MOST_HEAD_BYTES = 16 * 1024
_MOST_FIELD_BYTES = 8 * 1024
_MOST_PARTS = 20
# RFC 2046 allows 70, but not every client keeps to that.
_LONGEST_BOUNDARY = 200


class FormWithFile:
    """A form as it arrives. `begin` reads up to the file, `chunks` yields the file; then `fields` are complete."""

    def __init__(self, content_type: str, stream: AsyncIterator[bytes]) -> None:
        self.fields: dict[str, str] = {}
        self.name: str | None = None
        self._stream = stream
        self._chunks: list[memoryview] = []
        self._reader = _Reader(self)
        self._parser = MultipartParser(_boundary(content_type), self._reader.callbacks)
        self._is_over = False

    async def begin(self) -> None:
        """Read up to the beginning of the file. Raises `UploadRefused` if there is none, and `UploadMalformed`."""
        while self.name is None and await self._read_on():
            pass
        if self.name is None:
            raise UploadRefused("The form has no file, or none was chosen. Send one, as a part with a filename.")

    async def chunks(self) -> AsyncIterator[memoryview]:
        """Yield the file, and read the rest of the form."""
        while True:
            for chunk in self._taken():
                yield chunk
            if not await self._read_on():
                break
        for chunk in self._taken():
            yield chunk

    def add(self, chunk: memoryview) -> None:
        self._chunks.append(chunk)

    def _taken(self) -> list[memoryview]:
        taken, self._chunks = self._chunks, []
        return taken

    async def _read_on(self) -> bool:
        """Read the next chunk of the form; False at its end."""
        chunk = await anext(self._stream, None)
        try:
            if chunk is not None:
                self._parser.write(chunk)
                return True
            self._parser.finalize()
        except MultipartParseError as error:
            raise UploadMalformed(f"The form cannot be read: {error}.") from error
        if not self._reader.is_whole:
            raise UploadMalformed("The form ends before its last boundary.")
        return False


class _Reader:
    """What the parser calls."""

    def __init__(self, form: FormWithFile) -> None:
        self.is_whole = False
        self._form = form
        self._parts = 0
        self._head: list[tuple[bytes, bytes]] = []
        self._field = self._value = b""
        self._name: str | None = None
        self._is_file = False
        self._text = b""

    @property
    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_field,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._add_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise UploadRefused(f"A form with a file may have at most {_MOST_PARTS} parts.")
        self._head, self._field, self._value, self._text = [], b"", b"", b""
        self._name, self._is_file, self._may_be_file = None, False, False

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._check_head()

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_head()

    def _check_head(self) -> None:
        if len(self._field) + len(self._value) + sum(len(one) + len(two) for one, two in self._head) > _MOST_HEAD_BYTES:
            raise UploadMalformed("The head of a part is too long.")

    def _end_header(self) -> None:
        self._head.append((self._field.lower(), self._value))
        self._field = self._value = b""

    def _begin_content(self) -> None:
        disposition = dict(self._head).get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        filename = _filename_of(disposition, options)
        if filename:
            self._begin_file(filename)
        # Nothing follows an empty one where nobody chose a file.
        self._may_be_file = filename == ""

    def _begin_file(self, name: str) -> None:
        if self._form.name is not None:
            raise UploadRefused("The form has more than one file. Send each file in its own request.")
        self._is_file, self._may_be_file = True, False
        self._form.name = name

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._may_be_file:
            self._begin_file("")
        if self._is_file:
            self._form.add(memoryview(data)[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _MOST_FIELD_BYTES:
            raise UploadRefused(f"The field {self._name!r} is too long.")

    def _end_part(self) -> None:
        if not self._is_file and self._name:
            self._form.fields[self._name] = self._text.decode(errors="replace")

    def _end(self) -> None:
        self.is_whole = True


def _filename_of(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """Return a part's `filename`, or else its `filename*`, which RFC 7578 forbids in forms but clients send."""
    if plain := options.get(b"filename"):
        return text_of(plain)
    return name_of_disposition(text_of(disposition))


def _boundary(content_type: str) -> bytes:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise UploadMalformed(f"The form's Content-Type names no boundary of 1 to {_LONGEST_BOUNDARY} characters.")
    return boundary


def text_of(header: bytes) -> str:
    """Read a header as UTF-8, which clients send, if it is valid."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def name_of_disposition(header: str) -> str | None:
    """Read a file's name from `Content-Disposition`, even one beyond ASCII (RFC 6266). Raises `UploadMalformed`."""
    message = Message()
    message["Content-Disposition"] = header
    try:
        return message.get_filename()
    except (ValueError, LookupError, TypeError) as error:  # TypeError: one name both whole and in parts
        raise UploadMalformed("The Content-Disposition header cannot be read.") from error
