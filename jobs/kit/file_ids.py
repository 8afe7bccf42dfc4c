"""The files that args name: the values of fields marked with `FileMark`, even in nested lists and models."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jobs.kit.files import FileMark

_UNIONS = (typing.Union, types.UnionType)


class NamedFile(NamedTuple):
    """A file that args name, and where in them."""

    id: str
    place: tuple[str | int, ...]


@cache
def names_files(model: type[BaseModel]) -> bool:
    """Whether a field of a model, at any depth, is marked."""
    return _leads_to_mark(model, set())


def files_in(args: BaseModel) -> Iterator[NamedFile]:
    """Yield the files that args name."""
    yield from _in_model(args, ())


def _leads_to_mark(annotation: Any, seen: set[Any]) -> bool:
    if _is_model(annotation):
        if annotation in seen:
            return False
        seen.add(annotation)
        return any(_is_marked(field) or _leads_to_mark(field.annotation, seen) for field in _fields(annotation))
    annotation, marked = _unwrapped(annotation)
    return marked or any(_leads_to_mark(part, seen) for part in _parts(annotation))


def _in_model(value: BaseModel, place: tuple[str | int, ...]) -> Iterator[NamedFile]:
    for name, field in _leading(type(value)):
        where = (*place, field.alias or name)
        yield from _in_value(field.annotation, getattr(value, name), where, marked=_is_marked(field))


@cache
def _leading(model: type[BaseModel]) -> Sequence[tuple[str, FieldInfo]]:
    """Return the fields that are marked or contain marked ones: others, such as large JSON, are not walked through."""
    return [
        (name, field)
        for name, field in model.model_fields.items()
        if _is_marked(field) or _leads_to_mark(field.annotation, set())
    ]


def _in_value(annotation: Any, value: Any, place: tuple[str | int, ...], *, marked: bool) -> Iterator[NamedFile]:
    annotation, here = _unwrapped(annotation)
    marked = marked or here
    if isinstance(value, BaseModel):
        yield from _in_model(value, place)
    elif isinstance(value, str):
        if marked or any(_unwrapped(part)[1] for part in _arms(annotation)):
            yield NamedFile(value, place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_item(annotation, -1, item, (*place, str(key)), marked=marked)
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        for number, item in enumerate(value):
            yield from _in_item(annotation, number, item, (*place, number), marked=marked)


def _in_item(
    annotation: Any, number: int, item: Any, place: tuple[str | int, ...], *, marked: bool
) -> Iterator[NamedFile]:
    """Look at an item by each arm of its container's annotation; yield each file once."""
    parts = [_part(_unwrapped(arm)[0], number) for arm in _arms(annotation)]
    yield from dict.fromkeys(found for part in parts for found in _in_value(part, item, place, marked=marked))


def _part(annotation: Any, number: int) -> Any:
    """Return the annotation of a container's item; items of a tuple may differ."""
    parts = _parts(annotation)
    if not parts:
        return None
    is_mixed = get_origin(annotation) is tuple and Ellipsis not in parts
    return parts[number] if is_mixed and number < len(parts) else parts[0 if number >= 0 else -1]


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    """Return an annotation without `Annotated` and `type` aliases, and whether a mark was among them."""
    marked = False
    while True:
        if hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif get_origin(annotation) is typing.Annotated:
            marked = marked or any(isinstance(one, FileMark) for one in annotation.__metadata__)
            annotation = annotation.__origin__
        else:
            return annotation, marked


def _arms(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in _UNIONS else [annotation]


def _parts(annotation: Any) -> Sequence[Any]:
    if get_origin(annotation) is typing.Literal:
        return ()
    return get_args(annotation) if get_origin(annotation) is not None else ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_marked(field: FieldInfo) -> bool:
    return any(isinstance(one, FileMark) for one in field.metadata)


def _fields(model: type[BaseModel]) -> Sequence[FieldInfo]:
    return list(model.model_fields.values())
