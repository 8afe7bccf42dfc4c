"""Adds the name that was meant to the refusal of a mistyped option. Args have hints of their own."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from jobs.kit.names import nearest

Models = list[type[BaseModel]]


def with_nearest_option(error: dict[str, Any], adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """Add the most similar name at the error's place if the error is an unknown name without a hint."""
    place = error["loc"]
    if error["type"] != "extra_forbidden" or "; " in error["msg"] or not place:
        return error
    near = nearest(place[-1], _names_at(adapter, place[:-1]))
    return error | {"msg": f"{error['msg']}; did you mean {near!r}?"} if near else error


def _names_at(adapter: TypeAdapter[Any], way: Iterable[Any]) -> set[str]:
    """Return the names that are known at a place."""
    models: Models = list(_models_in(adapter._type))  # noqa: SLF001 - TypeAdapter does not show it otherwise
    for step in way:
        fields = [model.model_fields[step] for model in models if step in model.model_fields]
        if fields:  # any other step is an index, or the member of a union
            models = [model for field in fields for model in _models_in(field.annotation)]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation consists of, such as the members of a union or the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
