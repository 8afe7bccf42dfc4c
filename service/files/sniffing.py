"""What a file is, detected from its first bytes: the sender's word for it is no proof."""

import codecs
import csv
import io
import json
import re
from functools import cache
from pathlib import PurePath

SNIFFED_BYTES = 8192
UNKNOWN = "application/octet-stream"
EMPTY = "application/x-empty"

# Text is text: the name may choose among these, because none is more dangerous than another.
_TEXTS = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".vcf": "text/vcard",
    ".ics": "text/calendar",
}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_NO_TEXT = (b"%PDF-", b"%!PS", b"{\\rtf")
_MARKUP = re.compile(
    r"<(?:(?P<html>!doctype\s+html|html|head|body|script|iframe|h1|div|font|table|a|style|title|b|br|p)\b"
    r"|(?P<svg>svg\b|!doctype\s+svg\b)|(?P<xml>\?xml\b))",
    re.IGNORECASE,
)
# Matched only at the beginning, and possessive: sending `<?` a thousand times costs us nothing.
_XML_BEFORE_ROOT = re.compile(
    r"(?:\s*+(?:<\?.*?\?>|<!--.*?-->|<!doctype(?!\s+(?:svg|html))[^>]*>))*+", re.DOTALL | re.IGNORECASE
)
_ZIPS = {
    b"word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    b"META-INF/MANIFEST.MF": "application/java-archive",
    b"AndroidManifest.xml": "application/vnd.android.package-archive",
}
_ODF = re.compile(rb"mimetype(application/[a-z0-9.+-]+)")
# Types that the library names differently from IANA's list, or not at all.
_SPELLINGS = {"image/x-ms-bmp": "image/bmp", "application/x-gzip": "application/gzip"}
_PROGRAMS = {b"MZ": "application/vnd.microsoft.portable-executable", b"\x7fELF": "application/x-elf"}


def content_type_of(head: bytes, name: str, *, is_whole: bool) -> str:
    """Return the type of a file by its first `SNIFFED_BYTES`; `is_whole` if these are the whole file."""
    if not head:
        return EMPTY
    text = None if head.startswith(_NO_TEXT) else _text_of(head, is_whole=is_whole)
    if text is None:
        return _binary(head)
    before = _XML_BEFORE_ROOT.match(text)
    markup = text if before is None else text[before.end() :]
    if found := _MARKUP.match(markup.lstrip()):
        return "text/html" if found["html"] else "image/svg+xml" if found["svg"] else "application/xml"
    if text.lstrip().startswith("<?xml"):
        return "application/xml"
    named = _TEXTS.get(PurePath(name).suffix.lower())
    return named or _plain(text, is_whole=is_whole)


def _text_of(head: bytes, *, is_whole: bool) -> str | None:
    """Read the beginning of a text; None if it is not text."""
    for bom, encoding in _BOMS.items():
        if head.startswith(bom):
            return _decoded(head, encoding, is_whole=is_whole)
    if _CONTROLS.search(head):
        return None
    if (text := _decoded(head, "utf-8", is_whole=is_whole)) is not None:
        return text
    # Old programs write one byte a letter. A binary file without a control byte among so many bytes is rare.
    return head.decode("cp1252", errors="replace")


def _decoded(head: bytes, encoding: str, *, is_whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head, final=is_whole)
    except UnicodeDecodeError:
        return None


def _plain(text: str, *, is_whole: bool) -> str:
    if _is_json(text, is_whole=is_whole):
        return "application/json"
    return "text/csv" if any(_is_table(text, delimiter, is_whole=is_whole) for delimiter in ",;\t|") else "text/plain"


def _is_json(text: str, *, is_whole: bool) -> bool:
    if not is_whole:
        return re.match(r'\s*(?:\{\s*"|\[\s*[\[{"\d-])', text) is not None
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_table(text: str, delimiter: str, *, is_whole: bool) -> bool:
    """Whether all rows have the same number of cells, more than one."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return False
    whole = rows if is_whole else rows[:-1]
    return len(whole) > 1 and len(whole[0]) > 1 and len({len(row) for row in whole}) == 1


def _binary(head: bytes) -> str:
    for magic, program in _PROGRAMS.items():
        if head.startswith(magic):
            return program
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if not _may_be_known(head):
        return UNKNOWN
    import puremagic

    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return UNKNOWN
    known = next((one.mime_type for one in found if "/" in one.mime_type), UNKNOWN)
    return _SPELLINGS.get(known, known)


def _may_be_known(head: bytes) -> bool:
    """Whether puremagic knows any of these bytes: it compares more than a thousand rows one by one."""
    beginnings, endings = _magics()
    return any(head[start:end] in known for start, end, known in beginnings) or any(
        head[start : end or None] == known for start, end, known in endings
    )


@cache
def _magics() -> tuple[list[tuple[int, int, set[bytes]]], list[tuple[int, int, bytes]]]:
    """Return what puremagic looks for and where: those of its rows that look at the same bytes, in one set."""
    import puremagic  # late: it reads its tables at once

    beginnings: dict[tuple[int, int], set[bytes]] = {}
    for row in puremagic.magic_header_array:
        if (end := row.offset + len(row.byte_match)) <= SNIFFED_BYTES:
            beginnings.setdefault((row.offset, end), set()).add(row.byte_match)
    endings = [(row.offset, row.offset + len(row.byte_match), row.byte_match) for row in puremagic.magic_footer_array]
    return [(start, end, known) for (start, end), known in beginnings.items()], endings


def _zip(head: bytes) -> str:
    if (odf := _ODF.search(head[:200])) is not None:
        return odf[1].decode()
    return next((sort for member, sort in _ZIPS.items() if member in head), "application/zip")
