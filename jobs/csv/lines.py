"""The lines of a CSV file, decoded piece by piece: memory stays bounded whatever is in the file."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from jobs.kit.outcomes import Discard

_PIECE_BYTES = 256 * 1024
LONGEST_RECORD = 4 * 1024 * 1024
LONGEST_FIELD = 1024 * 1024
# Stands for bytes that the encoding does not know. No decoder produces it.
UNREADABLE = "\udcff"
_MARK = "postlude_csv_mark"
codecs.register_error(_MARK, lambda error: (UNREADABLE, error.end))  # type: ignore[attr-defined, unused-ignore]


def allow_long_fields() -> None:
    """Have Python's reader take fields of `LONGEST_FIELD` in the whole process, which may have set a higher limit."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))


class FileUnreadable(Discard):
    """The file is not CSV that can be read within the limits."""


class Lines:
    """Lines with their ends. The lines since `kept_from` can be read again.

    `has_unreadable` and `has_nul` say whether there were any so far.
    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_MARK)
        self._kept: deque[tuple[int, list[str], int]] = deque()
        self._next_line = 1
        self.kept_from = 1
        self.bytes_read = 0
        self.has_unreadable = False
        self.has_nul = False

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._pieces())

    def again_from(self, line: int, to: int) -> list[str]:
        """Return the lines from `line` up to `to`, which are kept."""
        return [text for first, piece, _ in self._kept for text in piece[max(0, line - first) : max(0, to + 1 - first)]]

    def _pieces(self) -> Iterator[list[str]]:
        rest, is_over = "", False
        while not is_over:
            piece = self._file.read(_PIECE_BYTES)
            is_over = not piece
            text = self._decoded(piece, is_over)
            if not self.bytes_read:
                text = text.removeprefix("\ufeff")
            self.bytes_read += len(piece)
            self._look_at(text)
            # Splits only at CSV's line ends, unlike str.splitlines.
            lines = io.StringIO(rest + text, newline="").readlines()
            rest = lines.pop() if lines and not is_over and not lines[-1].endswith("\n") else ""
            yield self._keep(lines, len(rest))

    def _decoded(self, piece: bytes, is_over: bool) -> str:
        try:
            return self._decoder.decode(piece, is_over)
        except UnicodeError as error:  # no bytes that are marked: the decoder cannot begin
            raise FileUnreadable(
                f"The file cannot be read as {self._encoding}: {error}. Without a byte order mark, UTF-16 is utf-16-le"
                " or utf-16-be."
            ) from error

    def _look_at(self, text: str) -> None:
        self.has_unreadable = self.has_unreadable or UNREADABLE in text
        self.has_nul = self.has_nul or "\0" in text

    def _keep(self, lines: list[str], rest: int) -> list[str]:
        """Drop what has been read, and keep `lines`. Raises `FileUnreadable` if a record does not end."""
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= self.kept_from:
            self._kept.popleft()
        if max(rest, sum(size for *_, size in self._kept)) > LONGEST_RECORD:
            raise FileUnreadable(
                f"Line {self.kept_from} is longer than {LONGEST_RECORD:,} characters, or what begins there is: is this"
                " a CSV file, and is each quote closed?"
            )
        if lines:
            self._kept.append((self._next_line, lines, sum(map(len, lines))))
            self._next_line += len(lines)
        return lines
