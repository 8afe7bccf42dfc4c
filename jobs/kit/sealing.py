"""Args as JSON with their secrets in clear: the ledger keeps these sealed, and only the attempt reads them."""

import json
from collections import deque
from functools import cache
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import from_json, to_jsonable_python

_SECRET = (SecretStr, SecretBytes, Secret)


@cache
def has_secrets(model: type[BaseModel]) -> bool:
    """Return whether a field of a model, at any depth, is a `SecretStr`, `SecretBytes` or `Secret`.

    Reads Pydantic's core schema: the JSON Schema shows the first two only.
    """
    return "Secret" in str(model.__pydantic_core_schema__)


def dump_whole(args: BaseModel, shown: str) -> str:
    """Write args as JSON, secrets included at any depth. `shown` is their JSON with the secrets masked.

    Raises `ValueError` for a secret that JSON cannot hold.
    """
    values = args.model_dump(by_alias=True, round_trip=True, warnings=False)
    bytes_mode = args.model_config.get("val_json_bytes", "utf8")
    whole = _unmasked(from_json(shown), values, bytes_mode)
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _unmasked(masked: Any, value: Any, bytes_mode: Any) -> Any:
    """Put secrets in place of their masks; everything else stays as the model wrote it."""
    match value:
        case SecretStr() | SecretBytes() | Secret():
            return _revealed(value, bytes_mode)
        case dict() if isinstance(masked, dict) and len(masked) == len(value):
            pairs = zip(masked.items(), value.values(), strict=True)
            return {name: _unmasked(mask, item, bytes_mode) for (name, mask), item in pairs}
        case list() | tuple() | deque() if isinstance(masked, list) and len(masked) == len(value):
            return [_unmasked(mask, item, bytes_mode) for mask, item in zip(masked, value, strict=True)]
        case set() | frozenset() if any(isinstance(item, _SECRET) for item in value):
            return [_revealed(item, bytes_mode) for item in value]
        case _:
            return masked


def _revealed(value: Any, bytes_mode: Any) -> Any:
    inner = value.get_secret_value() if isinstance(value, _SECRET) else value
    if isinstance(inner, _SECRET):
        return _revealed(inner, bytes_mode)
    return to_jsonable_python(inner, by_alias=True, round_trip=True, bytes_mode=bytes_mode)
