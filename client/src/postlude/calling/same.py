"""Whether a value arrives as it was passed."""

from collections import Counter
from dataclasses import fields, is_dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types at every depth. Private attributes are not compared."""
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseModel):
        return _of_model(one) == _of_model(other) and _same_parts(_parts(one), _parts(other))
    if is_dataclass(one):
        return _same_parts(_parts(one), _parts(other))
    if isinstance(one, dict):
        return list(one) == list(other) and _same_parts(list(one), list(other)) and _same_parts(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return one == other and _types(one) == _types(other)
    if isinstance(one, datetime | time):
        return one == other and _zone(one) == _zone(other)
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)


def _same_parts(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(part, other[name]) for name, part in one.items())
    return all(map(same, one, other))


def _parts(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        own = {name: value.__dict__.get(name) for name in type(value).model_fields}
        return {**own, **(value.__pydantic_extra__ or {})}
    return {field.name: getattr(value, field.name, None) for field in fields(value)}


def _of_model(value: BaseModel) -> tuple[set[str], bool]:
    return value.model_fields_set, value.__pydantic_extra__ is None


def _types(values: Any) -> Counter[type]:
    return Counter(map(type, values))


def _zone(value: datetime | time) -> tuple[Any, ...]:
    return value.utcoffset(), isinstance(value.tzinfo, ZoneInfo) and value.tzinfo.key, value.fold
