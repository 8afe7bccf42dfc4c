"""What the trail keeps of a target before and after an action: the differences, with long parts only as sizes. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json, to_jsonable_python

# A job's args and result may have 256 KiB each, and the trail outlives the job.
_LONGEST_VALUE = 4_000
# The parts of jobs, schedules and operations that reveal args, which not everybody may see.
OF_ARGS = frozenset(
    {"args", "result", "metadata", "checkpoint", "steps", "attempts", "callbacks", "options", "filter", "change"}
)


def differences(before: object, after: object) -> tuple[Any, Any]:
    """Return the differing parts of both if both have named parts; otherwise both unchanged."""
    was, now = _plain(before), _plain(after)
    if not (isinstance(was, Mapping) and isinstance(now, Mapping)):
        return was, now
    differ = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return {name: was[name] for name in differ if name in was}, {name: now[name] for name in differ if name in now}


def snapshot(value: object) -> str | None:
    """Write a value as JSON, with long parts only as sizes; None for None."""
    if value is None:
        return None
    plain = _plain(value)
    if isinstance(plain, Mapping):
        return to_json({name: _bounded(part) for name, part in plain.items()}).decode()
    return to_json(_bounded(plain)).decode()


def _plain(value: object) -> Any:
    return to_jsonable_python(value)


def _bounded(value: object) -> object:
    size = len(to_json(value))
    return value if size <= _LONGEST_VALUE else f"({size:,} bytes)"
