"""Takes secrets out of what an attempt leaves behind: values of its secret args, and values with a secret's name."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import from_json

from jobs import Kind
from jobs.kit.masking import MASK, Masks, credentials_of
from service.worker.performing.failure import cleaned, type_name

_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token(?!s)|authori[sz]ation|cookie|credential|(api|private|access|signing)_?-?key", re.I
)
# A secret's name with a value, in a text.
_NAMED = re.compile(
    r"((?:password|passwd|passphrase|secret|token(?!s\b)|authorization|cookie|api[_-]?key)[\w-]{0,30}[\"']?\s{0,3}[=:]\s{0,3}"
    r"(?:(?:Bearer|Basic)\s{1,3})?)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)",
    re.I,
)
_DEEPEST = 6
_TOO_DEEP = "(nested too deeply to be shown)"
_MOST_ITEMS = 50
# The most values in all: a line has room for fewer, and the code that logs is waiting.
_MOST_VALUES = 1_000
_LONGEST_VALUE = 1024


class Redaction:
    """The secrets of an attempt with these args, which are JSON with secrets in clear."""

    def __init__(self, kind: Kind[Any, Any] | None, args: str) -> None:
        self._masks = Masks(secrets_of(kind, args))

    def __call__(self, text: str, *, is_cut: bool = False) -> str:
        """Return a text without secrets; with `is_cut`, also without the beginning of a secret at its end."""
        return self._masks(_NAMED.sub(rf"\1{MASK}", text), is_cut=is_cut)

    def value(self, value: Any) -> Any:
        """Return a JSON value, made by `plain`, without secrets."""
        match value:
            case str():
                return self(value, is_cut=len(value) >= _LONGEST_VALUE)
            case dict():
                return {self(name): self.value(item) for name, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case _:
                return value


def plain(value: Any) -> Any:
    """Return a bounded copy of any value as JSON, with values that have a secret's name already masked."""
    return _plain(value, 0, iter(range(_MOST_VALUES)))


def _plain(value: Any, deep: int, room: Iterator[int]) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return cleaned(str.__getitem__(value, slice(_LONGEST_VALUE)))
        case Mapping() if deep < _DEEPEST:
            return dict(_plain_items(value, deep, room))
        case list() | tuple() | set() | frozenset() if deep < _DEEPEST:
            return [_plain(item, deep + 1, room) for _, _, item in zip(range(_MOST_ITEMS), room, value, strict=False)]
        case Mapping() | list() | tuple() | set() | frozenset():
            return _TOO_DEEP
        case _:
            return cleaned(_shown(value)[:_LONGEST_VALUE])


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as problem:  # noqa: BLE001 - an author's __repr__ must not cost the line
        return f"(cannot be shown: repr() raised {type_name(problem)})"


def _plain_items(mapping: Mapping[Any, Any], deep: int, room: Iterator[int]) -> Iterator[tuple[str, Any]]:
    for _, _, (key, item) in zip(range(_MOST_ITEMS), room, mapping.items(), strict=False):
        name = cleaned((key if type(key) is str else _shown(key))[:_LONGEST_VALUE])
        yield name, MASK if item is not None and _SECRET_NAME.search(name) else _plain(item, deep + 1, room)


def mask_of(kind: Kind[Any, Any], args: str) -> Masks | None:
    """Return a function that takes the secrets of args out of a text; None if they have no secrets."""
    return Masks(_secrets_in(kind, args)) if kind.has_secrets else None


def secrets_of(kind: Kind[Any, Any] | None, args: str) -> Iterable[str | bytes]:
    """Return the secrets in args, and the forms in which a receiver would repeat them. Read only on first use."""
    if kind is not None and not kind.has_secrets:
        return ()
    return _secrets_in(kind, args)


def _secrets_in(kind: Kind[Any, Any] | None, args: str) -> Iterator[str | bytes]:
    for value in _hidden(kind, args):
        if isinstance(value, str):
            yield from credentials_of(value)
        else:
            yield value


def _hidden(kind: Kind[Any, Any] | None, args: str) -> Iterator[str | bytes]:
    """Yield the values of secret fields; for args that the kind cannot read, all texts."""
    try:
        read = None if kind is None else kind.load_args(args)
    except ValidationError:
        read = None
    if isinstance(read, BaseModel):
        yield from _inner(read.model_dump(round_trip=True, warnings=False), is_hidden=False)
    else:
        yield from _inner(from_json(args), is_hidden=True)


def _inner(value: Any, *, is_hidden: bool) -> Iterator[str | bytes]:
    match value:
        case SecretStr() | SecretBytes() | Secret():
            yield from _inner(value.get_secret_value(), is_hidden=True)
        case str() | bytes() if is_hidden:
            yield value
        case int() | float() if is_hidden:
            yield str(value)
        case BaseModel():
            yield from _inner(value.model_dump(round_trip=True, warnings=False), is_hidden=is_hidden)
        case dict():
            for item in value.values():
                yield from _inner(item, is_hidden=is_hidden)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _inner(item, is_hidden=is_hidden)
