"""Reads server-sent events from the pieces in which they arrive.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# A return at the end of a piece may be half of the line's end.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class ServerEvent(NamedTuple):
    id: str
    name: str
    data: str


class EventStream:
    """One connection's events. An event that was cut off is never returned."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._start()

    def _start(self) -> None:
        self._name, self._data = "message", list[str]()

    def read(self, piece: bytes) -> Iterator[ServerEvent]:
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        for line in lines:
            if line:
                self._read_field(line.decode("utf-8", "replace"))
                continue
            if self._data:
                yield ServerEvent(self._id, self._name, "\n".join(self._data))
            self._start()

    def _read_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id":
            self._id = value
