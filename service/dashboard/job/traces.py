"""A recorded traceback as lines to read: our own frames, frames of libraries, and what was raised. Pure."""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Literal, NamedTuple

import service

Sort = Literal["own", "lib", "raise", "between"]

_FRAME = re.compile(r'  File "(?P<path>.*)", line (?P<line>\d+), in (?P<name>.*)')
_MARKS = re.compile(r"\s+[~^]+\s*")
_HEAD = "Traceback (most recent call last):"
_BETWEEN = ("The above exception was ", "During handling of the above ", "---- ")
_LIBRARY = re.compile(r".*/(?:site|dist)-packages/|.*/lib(?:64)?/python3[^/]*/|(?=<)")
_HOME = str(PurePath(service.__file__ or "/service/").parents[1]) + "/"


class Line(NamedTuple):
    sort: Sort
    text: str


def lines_of(traceback: str) -> list[Line]:
    """Return a traceback's lines, with places as `file:line in function`. Any other text is what was raised."""
    return list(_lines(traceback))


def _lines(traceback: str) -> Iterator[Line]:
    sort: Sort = "raise"
    for text in traceback.rstrip().splitlines():
        if (frame := _FRAME.fullmatch(text)) is not None:
            sort, place = _place(frame["path"])
            yield Line(sort, f"{place}:{frame['line']} in {frame['name']}")
        elif text.startswith(_BETWEEN):
            sort = "raise"
            yield Line("between", text)
        elif sort in ("own", "lib") and text.startswith("    "):
            if not _MARKS.fullmatch(text):
                yield Line(sort, text)
        elif text != _HEAD:
            sort = "raise"
            yield Line(sort, text)


def _place(path: str) -> tuple[Sort, str]:
    """Return whose a file is, and its path as shown: short if we know the folder above it."""
    if (library := _LIBRARY.match(path)) is not None:
        return "lib", path[library.end() :]
    inside = path.removeprefix(_HOME)
    return "lib" if inside.startswith("service/") else "own", inside
