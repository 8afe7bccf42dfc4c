"""The trace that a job belongs to. Pure."""

import re

from pydantic_core import from_json

# https://www.w3.org/TR/trace-context/#traceparent-header
_PARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.ASCII)


def trace_id_of(context: str | None) -> str | None:
    """Return the trace id from its carrier, as JSON; None if there is none."""
    carried = from_json(context or "{}")
    found = _PARENT.fullmatch(str(carried.get("traceparent", "")))
    return None if found is None else found["trace"]
