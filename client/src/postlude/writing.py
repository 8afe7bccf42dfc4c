"""How Python's values become JSON."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from postlude.errors import NotJson

# How Pydantic writes a secret.
_MASK = b'"**********"'


def written(value: Any) -> bytes:
    """Write a value as JSON: models and dataclasses as objects, times as RFC 3339, timedeltas as seconds.

    Secrets travel as they are. Raises `NotJson`.
    """
    content = _written(value)
    return _written(_revealed(value)) if _MASK in content else content


def _written(value: Any) -> bytes:
    try:
        return to_json(value, timedelta_mode="float", fallback=_secret)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotJson(f"JSON cannot hold what is to be sent: {error}.") from error


def _secret(value: Any) -> Any:
    """Return a secret's value: older versions of Pydantic do not write a secret outside of a model."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    raise ValueError(f"it has no form for {type(value).__qualname__}")


def _revealed(value: Any) -> Any:
    """Return the parts of a value, with secrets in clear."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    elif is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _revealed(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_revealed(one) for one in value]
    return value
