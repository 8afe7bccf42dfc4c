"""Detects a file's encoding."""

import codecs
import re
from typing import BinaryIO, NamedTuple

from jobs.csv.lines import FileUnreadable

_SAMPLE_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
# Longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = "cp1252"
# What other encodings look like in cp1252: a symbol within a word, or words of nothing but accented letters.
_NOT_WESTERN = re.compile(
    r"[A-Za-z\xc0-\xff][\xa1-\xa9\xab-\xb1\xb4-\xb8\xbb-\xbf\xf7\u2020\u2021\u2030][a-z\xe0-\xff]"
    r"|[\x80-\x9f]"
)
_ACCENTED = r"\xc0-\xd6\xd8-\xf6\xf8-\xff\u0160\u0161\u017d\u017e\u0152\u0153\u0178\u0192"
_ALL_ACCENTED = re.compile(rf"(?<![A-Za-z{_ACCENTED}])[{_ACCENTED}]{{3,}}(?![A-Za-z])")
_PARTLY_ACCENTED = re.compile(rf"[A-Za-z][{_ACCENTED}]|[{_ACCENTED}][A-Za-z]")
# With fewer accented letters nobody can tell the encoding: a guess among dozens of encodings is mostly wrong.
_FEW = 4


class Encoding(NamedTuple):
    """`is_guessed`: neither the caller nor a byte order mark names it, and the file is not valid UTF-8 text."""

    name: str
    is_guessed: bool


def encoding_of(file: BinaryIO) -> Encoding:
    """Return the encoding of a file: by its byte order mark, UTF-8 if all of it is valid, or else by its letters."""
    head = file.read(_SAMPLE_BYTES)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return Encoding(marked, is_guessed=False)
    if (name := _of_two_bytes(head)) is not None:
        return Encoding(name, is_guessed=True)
    file.seek(0)
    odd = _first_odd_bytes(file)
    if odd is None:
        return Encoding("utf-8", is_guessed=False)
    return Encoding("utf-8" if _is_nearly_utf8(odd) else _single_or_double(odd), is_guessed=True)


def _of_two_bytes(head: bytes) -> str | None:
    """Detect UTF-16 without a mark by its zeros: in Latin letters, digits, delimiters and, above all, line ends."""
    pairs = len(head) // 2
    low, high = head[0::2].count(0), head[1::2].count(0)
    name, zeros, others = ("utf-16-le", high, low) if high > low else ("utf-16-be", low, high)
    if zeros <= 0.1 * pairs or others >= 0.1 * zeros:
        return None
    text = head.decode(name, errors="replace")
    ends_of_lines, of_bytes = text.count("\n") + text.count("\r"), head.count(b"\n") + head.count(b"\r")
    return name if not of_bytes or 2 * ends_of_lines > of_bytes else None


def _first_odd_bytes(file: BinaryIO) -> bytes | None:
    """Return a piece of the file around what is not UTF-8; None if all of it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    before = b""
    while True:
        piece = file.read(_PIECE_BYTES)
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            around = before + piece
            at = max(0, len(around) - len(error.object) + error.start - _SAMPLE_BYTES // 2)
            return around[at : at + _SAMPLE_BYTES] + file.read(_SAMPLE_BYTES)
        if not piece:
            return None
        before = piece[-_SAMPLE_BYTES:]


def _is_nearly_utf8(sample: bytes) -> bool:
    """Whether bytes are UTF-8 except for a few broken ones, whose rows will be bad."""
    text = sample.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) - broken > 4 * broken


def _is_western(text: str) -> bool:
    """Whether a sample reads as words in cp1252, with few accented letters."""
    accents = sum(character > "\x7f" for character in text)
    letters = sum(character.isalpha() for character in text if character.isascii())
    if "\ufffd" in text or _NOT_WESTERN.search(text):
        return False
    foreign, western = len(_ALL_ACCENTED.findall(text)), len(_PARTLY_ACCENTED.findall(text))
    return accents < _FEW or (accents < letters and western >= 2 * foreign)


def _single_or_double(sample: bytes) -> str:
    if _is_western(sample.decode(_WESTERN, errors="replace")):
        return _WESTERN
    from charset_normalizer import from_bytes  # takes 30 ms to import

    best = from_bytes(sample).best()
    if best is None:
        if b"\0" in sample:
            raise FileUnreadable("The file is not text in any encoding. Name its encoding if it is.")
        return _WESTERN
    return best.encoding
