"""Compares what a test expects with what was enqueued: a client's jobs hold JSON."""

from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python


def equal(actual: Any, expected: Any) -> bool:
    """Whether the values are equal, or are the same JSON: a UUID is equal to its text."""
    return bool(actual == expected) or _is_same_json(actual, expected)


def _is_same_json(actual: Any, expected: Any) -> bool:
    try:
        return bool(to_jsonable_python(actual) == to_jsonable_python(expected))
    except (PydanticSerializationError, ValueError):  # no JSON
        return False
