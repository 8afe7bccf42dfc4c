"""The head of an HTTP/1 answer (RFC 9112), read as leniently as is safe. Pure.

A status line and the end of the head are an answer, however odd the fields between them. An odd head has `is_sound =
False`: the answer counts, but its connection is not reused.
"""

import re
from typing import NamedTuple

HEAD_END = re.compile(rb"\n\r?\n")
MAX_FIELDS = 1000

_STATUS_LINE = re.compile(rb"HTTP/(\d)(?:\.(\d))?[ \t]+([1-5]\d\d)(?:[ \t]+(.*))?", re.DOTALL)
# Possessive (`*+`), so that no field makes the search for its end quadratic.
_FIELD = re.compile(
    rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]++):[ \t]*+((?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*+\r?$",
    re.MULTILINE,
)
_ODD_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++)\s*+:\s*+(.*)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
_LENGTH = re.compile(rb"\d{1,15}")
# More than is ever shown: secrets can only be masked while they are whole.
_QUOTED_BYTES = 1024


class NotReadable(Exception):
    """The bytes are not an HTTP answer. The message says what they are."""


class Head(NamedTuple):
    """`length` is the length of the body; None if the body ends with its last chunk or with the connection."""

    status: int
    reason: bytes
    version: tuple[int, int]
    fields: list[tuple[bytes, bytes]]
    length: int | None
    is_chunked: bool
    is_sound: bool
    stays_open: bool


def check_beginning(data: bytes) -> None:
    """Raise `NotReadable` as soon as `data`, of whatever length, cannot become an answer."""
    line, ended, _ = data.partition(b"\n")
    expected = b"HTTP/"
    if not line.startswith(expected) and not (not ended and expected.startswith(line)):
        raise NotReadable(f"the answer is not HTTP: it begins with {_shown(line)}")
    if ended and not _STATUS_LINE.fullmatch(line.rstrip()):
        raise NotReadable(f"the answer is not HTTP: its first line is {_shown(line)}")


def read_head(raw: bytes) -> Head:
    """Read the bytes before the empty line. Raises `NotReadable`."""
    first, _, block = raw.partition(b"\n")
    found = _STATUS_LINE.fullmatch(first.rstrip())
    if not found:
        check_beginning(raw + b"\n")
        raise NotReadable("the answer is not HTTP")
    count = block.count(b"\n") + 1 if block else 0
    if count > MAX_FIELDS:
        raise NotReadable(f"the answer's head has more than {MAX_FIELDS} fields")
    fields = _FIELD.findall(block)
    is_sound = len(fields) == count and not _CONTROL.search(first)
    if len(fields) < count:
        fields = _read_odd_fields(block.split(b"\n"))
    major, minor, status, reason = found.groups()
    return _framed(int(status), reason or b"", (int(major), int(minor or 0)), fields, is_sound)


def _read_odd_fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        text = _CONTROL.sub(b" ", line).strip()
        if line[:1] in (b" ", b"\t") and fields:  # a folded line (RFC 9112, 5.2)
            name, value = fields.pop()
            fields.append((name, value + b" " + text))
        elif odd := _ODD_FIELD.fullmatch(text):
            fields.append((odd[1], odd[2]))
    return fields


def _framed(
    status: int, reason: bytes, version: tuple[int, int], fields: list[tuple[bytes, bytes]], is_sound: bool
) -> Head:
    """Return the head, with where its body ends (RFC 9112, 6.3) and whether the connection outlives it (9.3)."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: list[bytes] = []
    for name, value in fields:
        match name.lower():
            case b"content-length":
                lengths += value.split(b",")
            case b"transfer-encoding":
                codings += value.lower().split(b",")
            case b"connection":
                options += [option.strip() for option in value.lower().split(b",")]
    length = None
    if lengths and _LENGTH.fullmatch(lengths[0]) and all(one.strip() == lengths[0] for one in lengths[1:]):
        length = int(lengths[0])
    is_chunked = bool(codings) and codings[-1].strip() == b"chunked"
    is_sound = is_sound and version in ((1, 1), (1, 0)) and not (lengths and codings) and len(lengths) < 2
    stays_open = is_sound and b"close" not in options and (version == (1, 1) or b"keep-alive" in options)
    return Head(status, reason, version, fields, None if codings else length, is_chunked, is_sound, stays_open)


def _shown(line: bytes) -> str:
    return repr(line[:_QUOTED_BYTES].decode(errors="replace"))
