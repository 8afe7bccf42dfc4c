"""Args as JSON with their secrets in clear: what the ledger keeps sealed, and only the attempt reads."""

import json
from collections import deque
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python


def dump_whole(args: BaseModel) -> str:
    """Write args as JSON, secrets included at any depth."""
    whole = _revealed(args.model_dump(by_alias=True, round_trip=True))
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _revealed(value: Any) -> Any:
    match value:
        case SecretStr() | SecretBytes() | Secret():
            return _revealed(value.get_secret_value())
        case dict():
            names = to_jsonable_python(dict.fromkeys(value))
            return {name: _revealed(item) for name, item in zip(names, value.values(), strict=True)}
        case list() | tuple() | set() | frozenset() | deque():
            return [_revealed(item) for item in value]
        case _:
            return to_jsonable_python(value)
