"""An exception as text that any database takes: bounded, and written without trusting the exception's own code.

A kind may raise anything: properties that raise, a `__str__` that exits, a group of 100,000 errors, a message of
500 MB. So an exception is read past its own class, through the descriptors of `BaseException`. Python's
`traceback.TracebackException` is no help: it calls `getattr` on an author's objects, and has no bounds.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

from jobs.kit.outcomes import FailedElsewhere
from service.ledger.failure import CodePlace, Failure
from service.worker.performing.place import place_in, place_of

_LONGEST_TYPE = 200
_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 16_000
_LONGEST_NOTE = 1_000
_LONGEST_PART = 2_500
_MOST_NOTES = 10
_MOST_FRAMES = 60
_MOST_PARTS = 5
# In one failure: causes, contexts and parts of groups, all told.
_MOST_ERRORS = 20

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def failure_of(error: BaseException, cause: BaseException | None = None) -> Failure:
    """Write `error` as text, without our own frame. Never raises.

    `cause` is the error inside a group that decided the outcome; if given, type and message are taken from it.
    """
    named = cause or error
    if type(named) is FailedElsewhere:
        return _told_elsewhere(named)
    trace = _read(error, "__traceback__")
    text = traceback_of(error, trace.tb_next if trace else None)
    return Failure(type_name(named), _cut(_message(named), _LONGEST_MESSAGE), text, _place(named))


def traceback_of(error: BaseException, trace: TracebackType | None) -> str:
    """Write `error` with its traceback, starting at `trace`. Never raises."""
    try:
        text = "".join(_Writer().write(error, trace))
    except BaseException as problem:  # noqa: BLE001 - whatever an author's exception does, its attempt must end
        text = f"{type_name(error)}: (its traceback cannot be told: {type_name(problem)})\n"
    return cleaned(text[-_LONGEST_TRACEBACK:])


def _place(error: BaseException) -> CodePlace | None:
    try:
        return place_of(_read(error, "__traceback__"))
    except BaseException:  # noqa: BLE001 - as above; without a place it is grouped by its type
        return None


def _told_elsewhere(error: FailedElsewhere) -> Failure:
    trace = cleaned((error.traceback or "")[-_LONGEST_TRACEBACK:])
    place = place_in(trace)
    return Failure(_cut(error.type_name, _LONGEST_TYPE), _cut(str(error), _LONGEST_MESSAGE), trace or None, place)


def type_name(error: BaseException) -> str:
    """Return the name of the class of `error`, whatever its metaclass says."""
    return _cut(type.__dict__["__name__"].__get__(type(error)), _LONGEST_TYPE)


def line_of(error: BaseException) -> str:
    """Return `error` as one line: its class and its text."""
    text = _cut(_message(error), _LONGEST_NOTE)
    return f"{type_name(error)}: {text}" if text else type_name(error)


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the errors in a group, at any depth and each once. An error that is no group is its only leaf."""
    leaves: list[BaseException] = []
    left, seen = [error], {id(error)}
    while left:
        one = left.pop()
        if not issubclass(type(one), BaseExceptionGroup):
            leaves.append(one)
            continue
        for inner in reversed(_parts(one)):
            if id(inner) not in seen:
                seen.add(id(inner))
                left.append(inner)
    return leaves


def is_instance(error: BaseException, *classes: type[BaseException]) -> bool:
    """Do what `isinstance` does, without asking an author's `__class__` property."""
    return issubclass(type(error), classes)


class _Before(NamedTuple):
    error: BaseException
    link: str


class _Writer:
    """Writes one failure as a traceback, worded like Python's own."""

    def __init__(self) -> None:
        self._left = _MOST_ERRORS
        self._seen: set[int] = set()

    def write(self, error: BaseException, trace: TracebackType | None) -> Iterator[str]:
        self._left -= 1
        self._seen.add(id(error))
        if (before := _before(error)) is not None and self._may_write(before.error):
            yield from self.write(before.error, _read(before.error, "__traceback__"))
            yield before.link
        if trace is not None:
            yield "Traceback (most recent call last):\n"
            yield from _frames(trace)
        message = _ends(_message(error))
        yield f"{_full_name(error)}: {message}\n" if message else f"{_full_name(error)}\n"
        yield from _notes(error)
        if issubclass(type(error), BaseExceptionGroup):
            yield from self._write_parts(_parts(error))

    def _write_parts(self, parts: tuple[BaseException, ...]) -> Iterator[str]:
        for number, part in enumerate(parts[:_MOST_PARTS], 1):
            if self._may_write(part):
                text = "".join(self.write(part, _read(part, "__traceback__")))[-_LONGEST_PART:]
                yield f"---- {number} of {len(parts)} ----\n{text}"
        if len(parts) > _MOST_PARTS:
            yield f"---- and {len(parts) - _MOST_PARTS} more ----\n"

    def _may_write(self, error: BaseException) -> bool:
        return self._left > 0 and id(error) not in self._seen


def _read(error: BaseException, name: str) -> Any:
    """Read an attribute of `BaseException`, past whatever the class of `error` puts in its place."""
    return BaseException.__dict__[name].__get__(error)


def _parts(group: BaseException) -> tuple[BaseException, ...]:
    parts: tuple[BaseException, ...] = BaseExceptionGroup.__dict__["exceptions"].__get__(group)
    return parts


def _before(error: BaseException) -> _Before | None:
    if (cause := _read(error, "__cause__")) is not None:
        return _Before(cause, _CAUSE)
    context = _read(error, "__context__")
    return None if context is None or _read(error, "__suppress_context__") else _Before(context, _CONTEXT)


def _frames(trace: TracebackType) -> list[str]:
    try:
        return traceback.extract_tb(trace, limit=-_MOST_FRAMES).format()
    except BaseException as problem:  # noqa: BLE001 - the source of a frame may come from an author's own loader
        return [f"  (its frames cannot be told: {type_name(problem)})\n"]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as problem:  # noqa: BLE001 - what an author's __str__ raises must not lose the attempt's end
        return f"(its text cannot be told: str() raised {type_name(problem)})"


def _full_name(error: BaseException) -> str:
    module = type.__dict__["__module__"].__get__(type(error))
    name = _cut(type.__dict__["__qualname__"].__get__(type(error)), _LONGEST_TYPE)
    plain = type(module) is not str or module in ("builtins", "__main__")
    return name if plain else f"{_cut(module, _LONGEST_TYPE)}.{name}"


def _notes(error: BaseException) -> Iterator[str]:
    notes = _read(error, "__dict__").get("__notes__")
    if type(notes) is not list:
        return
    for note in notes[:_MOST_NOTES]:
        yield f"{_cut(note, _LONGEST_NOTE)}\n" if issubclass(type(note), str) else "(a note that is no text)\n"
    if len(notes) > _MOST_NOTES:
        yield f"(and {len(notes) - _MOST_NOTES} more notes)\n"


def _ends(text: str) -> str:
    """Keep the beginning and the end of a long message."""
    if str.__len__(text) <= 2 * _LONGEST_MESSAGE:
        return str.__getitem__(text, slice(None))
    begin, end = slice(_LONGEST_MESSAGE), slice(-_LONGEST_MESSAGE, None)
    return str.__getitem__(text, begin) + " … " + str.__getitem__(text, end)


def _cut(text: str, longest: int) -> str:
    """Cut, then clean: cleaning 500 MB takes seconds. Uses `str`'s own method, which a subclass may override."""
    return cleaned(str.__getitem__(text, slice(longest)))


def cleaned(text: str) -> str:
    """Replace what no database takes in a text: NUL, and surrogates, which are not UTF-8."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
