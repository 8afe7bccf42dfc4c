"""Where an attempt failed: the innermost frame that is neither a library's nor the engine's own."""

import re
import sys
import sysconfig
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType

from service.ledger.failure import CodePlace

_ROOT = PurePath(__file__).parents[3]
_LIBRARIES = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
_LIBRARY_FOLDERS = {"site-packages", "dist-packages"}
# Frames around every kind say nothing about why one failed.
_ENGINE = (_ROOT / "service" / "worker", _ROOT / "jobs" / "kit")
_OURS = (_ROOT / "service", _ROOT / "jobs")
_STDLIB_ELSEWHERE = re.compile(r"/lib/python3(\.\d+)?/")
_FRAME = re.compile(r'^ +File "([^"\n]{1,1000})", line (\d{1,9}), in (.{1,200})$', re.MULTILINE)
_PARTS_SHOWN = 2
_LONGEST = 300


def place_of(trace: TracebackType | None) -> CodePlace | None:
    """Find the place in a traceback; None if it has only frames of libraries and the engine."""
    found: tuple[str, int, str] | None = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if (file := _shown(code.co_filename)) is not None:
            found = file, trace.tb_lineno, code.co_qualname
        trace = trace.tb_next
    return _place(*found) if found else None


def place_in(text: str) -> CodePlace | None:
    """Find the place in a traceback that another process wrote, and show the last parts of its path."""
    for file, line, function in reversed(_FRAME.findall(text)):
        path = PurePath(file)
        is_library = _LIBRARY_FOLDERS & set(path.parts) or _STDLIB_ELSEWHERE.search(file) or file.startswith("<")
        if not is_library:
            return _place("/".join(path.parts[-_PARTS_SHOWN:]), int(line), function)
    return None


def _place(file: str, line: int, function: str) -> CodePlace:
    shown, within = f"{file}:{line}"[-_LONGEST:], f"{file}:{function}"[-_LONGEST:]
    return CodePlace(*(text.encode(errors="replace").decode().replace("\0", "") for text in (shown, within)))


@lru_cache(maxsize=4_096)
def _shown(file: str) -> str | None:
    """Return a file's name as it is on any machine, from where Python imports it; None for a library's."""
    path = PurePath(file)
    if any(path.is_relative_to(folder) for folder in _OURS):
        return None if any(path.is_relative_to(folder) for folder in _ENGINE) else str(path.relative_to(_ROOT))
    if file.startswith("<") or _LIBRARY_FOLDERS & set(path.parts):
        return None
    if any(folder and path.is_relative_to(folder) for folder in _LIBRARIES):
        return None
    roots = [entry for entry in sys.path if entry and path.is_relative_to(entry)]
    return str(path.relative_to(max(roots, key=len))) if roots else "/".join(path.parts[-_PARTS_SHOWN:])
