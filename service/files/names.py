"""Names of files: chosen by callers, for people to read. They are never used as a path here."""

import re
import unicodedata

LONGEST_NAME = 255
NAMELESS = "file"
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\<>:"|?*\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]')


def clean_name(name: str) -> str:
    """Return a name that is safe in any folder, header and page: without a path, and without control characters."""
    last = re.split(r"[/\\]", name.strip())[-1]
    normal = unicodedata.normalize("NFC", last.encode(errors="replace").decode())
    plain = _FORBIDDEN.sub("_", normal).strip(" .")
    return _shortened(plain) or NAMELESS


def _shortened(name: str) -> str:
    """Shorten a name, but keep its extension: programs go by it."""
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 20:
        return name[:LONGEST_NAME]
    return stem[: LONGEST_NAME - len(ending) - 1] + dot + ending
