"""Whether a job's args and metadata match a filter. Pure."""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, NamedTuple

from pydantic_core import from_json

Scalar = str | int | float | bool | None

LONGEST_TEXT = 1_000
MOST_PATHS = 10
_LONGEST_PATH = 255
_MOST_STEPS = 10


class PathIs(NamedTuple):
    """A condition on JSON: the value at `path` is one of `values`.

    Each step is a name in an object or a number in a list; a name may hold dots, as several steps.
    """

    path: tuple[str, ...]
    values: tuple[Scalar, ...]

    def fits(self, stored: str | None) -> bool:
        """Whether stored JSON fits."""
        found = _standing_at(None if stored is None else from_json(stored), self.path)
        return any(_are_same(one, value) for one in found for value in self.values)


def path_is(path: str, *values: Scalar) -> PathIs:
    """Ask for exactly one of these values. Raises `ValueError` for a value that no filter can have."""
    if any(isinstance(value, float) and not isfinite(value) for value in values):
        raise ValueError(f"The value of {path[:100]!r} is not a number that JSON has.")
    return PathIs(_steps(path, max((value for value in values if isinstance(value, str)), key=len, default="")), values)


def path_reads(path: str, text: str) -> PathIs:
    """Ask for a value written as text without quotes: the text itself, or the number, true, false or null that it reads
    as.

    In JSON's quotes it is only text. Raises `ValueError` for a value that no filter can have.
    """
    steps = _steps(path, text)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return PathIs(steps, (text,))
    if isinstance(read, str):
        return PathIs(steps, (read,))
    return PathIs(steps, (text,) if isinstance(read, dict | list) else (text, read))


def _steps(path: str, text: str) -> tuple[str, ...]:
    steps = tuple(path.split("."))
    if len(path) > _LONGEST_PATH or len(steps) > _MOST_STEPS:
        most = f"{_LONGEST_PATH} characters and {_MOST_STEPS} steps"
        raise ValueError(f"A path may have {most}: {path[:100]!r} has more.")
    if "" in steps:
        raise ValueError(f"The path {path!r} has a step without a name.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The value of {path!r} is longer than {LONGEST_TEXT:,} characters.")
    return steps


class TextIn:
    """Asks for text anywhere in JSON or in a message, in upper or lower case."""

    def __init__(self, text: str) -> None:
        plain = text.casefold()
        # Also as JSON writes it: with quotes and line breaks escaped.
        self._wanted = {plain, json.dumps(text, ensure_ascii=False)[1:-1].casefold()}

    def is_in(self, texts: Sequence[str | None]) -> bool:
        """Whether any of `texts` holds it."""
        folded = [text.casefold() for text in texts if text]
        return any(wanted in text for text in folded for wanted in self._wanted)


def _standing_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        yield value
    elif isinstance(value, list):
        if path[0].isascii() and path[0].isdigit() and len(path[0]) < 10 and int(path[0]) < len(value):
            yield from _standing_at(value[int(path[0])], path[1:])
    elif isinstance(value, dict):
        for taken in range(1, len(path) + 1):
            if (name := ".".join(path[:taken])) in value:
                yield from _standing_at(value[name], path[taken:])


def _are_same(one: Any, other: Scalar) -> bool:
    """Compare as JSON does: true differs from 1, and 1 equals 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return type(one) in (str, int, float, type(None)) and one == other
