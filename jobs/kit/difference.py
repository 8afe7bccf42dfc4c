"""Compares two values at every depth."""

import dataclasses
import math
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel

Place = tuple[str | int, ...]


def difference(sent: Any, again: Any, *, same_text: bool, place: Place = ()) -> Place | None:
    """Return the first place where the value read back differs from the value sent, or None.

    `same_text`: both have the same JSON, which is enough for objects that cannot be compared.
    """
    if same_text and _equal(sent, again):
        return None
    parts = _parts(sent, again)
    if parts is None:
        return None if _same_leaf(sent, again, same_text) else place
    for name, left, right in parts:
        found = difference(left, right, same_text=same_text, place=(*place, *name))
        if found is not None:
            return found
    return None


def _equal(sent: Any, again: Any) -> bool:
    try:
        return type(sent) is type(again) and bool(sent == again)
    except Exception:  # noqa: BLE001 - an author's __eq__, or an array's
        return False


_Part = tuple[Place, Any, Any]


def _parts(sent: Any, again: Any) -> Iterator[_Part] | None:
    """Pair the parts of both values; None if they have no parts, or parts that do not pair up."""
    match sent:
        case BaseModel() if isinstance(sent, type(again)) and _names(sent) == _names(again):
            return _of_models(sent, again)
        case dict() if isinstance(again, dict) and sent.keys() == again.keys():
            return (((key if isinstance(key, int) else str(key),), item, again[key]) for key, item in sent.items())
        case list() | tuple() | deque() if isinstance(again, list | tuple | deque) and len(sent) == len(again):
            return (((at,), *both) for at, both in enumerate(zip(sent, again, strict=True)))
        case _ if dataclasses.is_dataclass(sent) and type(sent) is type(again):
            names = [field.name for field in dataclasses.fields(sent)]
            return (((name,), getattr(sent, name, None), getattr(again, name, None)) for name in names)
    return None


def _names(model: BaseModel) -> set[str]:
    return {*type(model).model_fields, *(model.model_extra or {})}


def _of_models(sent: BaseModel, again: BaseModel) -> Iterator[_Part]:
    root = type(sent).__pydantic_root_model__
    for name, field in type(sent).model_fields.items():
        yield () if root else (field.alias or name,), getattr(sent, name), getattr(again, name)
    extras: Mapping[str, Any] = again.model_extra or {}
    for name, item in (sent.model_extra or {}).items():
        yield (name,), item, extras[name]


def _same_leaf(sent: Any, again: Any, same_text: bool) -> bool:
    if isinstance(sent, float) and isinstance(again, float) and math.isnan(sent):
        return math.isnan(again)
    if any(isinstance(sent, sort) is not isinstance(again, sort) for sort in (bool, Enum)):
        return False
    if isinstance(sent, datetime) and isinstance(again, datetime) and sent.tzinfo and again.tzinfo:
        # Python calls a moment in a repeated hour unequal to any in another zone (PEP 495).
        return sent.astimezone(UTC) == again.astimezone(UTC)
    cannot_be_compared = type(sent) is type(again) and getattr(type(sent), "__eq__", None) is object.__eq__
    return same_text if cannot_be_compared else _equal_leaves(sent, again)


def _equal_leaves(sent: Any, again: Any) -> bool:
    if isinstance(sent, BaseModel) or isinstance(again, BaseModel):
        return False
    try:
        return bool(sent == again)
    except Exception:  # noqa: BLE001 - as above
        return False
