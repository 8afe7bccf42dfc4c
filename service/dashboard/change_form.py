"""The form that changes jobs: what its fields show, and which changes they ask for. Pure."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from service.errors import ArgsInvalid

_MOMENT_LENGTH = len("2026-01-31T12:00:00")


def shown(job: Mapping[Any, Any]) -> dict[str, str]:
    """Return the values of the form's fields for a job."""
    return {
        "run_at": job["run_at"].isoformat()[:_MOMENT_LENGTH],
        "priority": str(job["priority"]),
        "queue": job["queue"],
        "lane": job["lane"] or "",
        "max_attempts": str(job["max_attempts"]),
        "timeout": "" if job["timeout_s"] is None else f"{job['timeout_s']:g}",
        "tags": ", ".join(json.loads(job["tags"])),
    }


def changes_in(form: Mapping[str, str], before: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form changes, as `PATCH /v1/jobs/{id}` takes it; `before` is what its fields showed.

    A field that was emptied resets the job's value to the default. Raises `ArgsInvalid`.
    """
    changes: dict[str, Any] = {}
    for name, read in _READ.items():
        said = form.get(name, "").strip()
        if said != before.get(name, ""):
            changes[name] = read(name, said) if said else None
    return changes


def _text(_name: str, said: str) -> str:
    return said


def _number(name: str, said: str) -> int | float:
    try:
        return int(said) if said.removeprefix("-").isdecimal() else float(said)
    except ValueError as error:
        raise ArgsInvalid(f"Nothing was changed: {name} must be a number, not {said[:50]!r}.") from error


def _tags(_name: str, said: str) -> list[str]:
    return [tag for tag in (one.strip() for one in said.split(",")) if tag]


def _moment(_name: str, said: str) -> str:
    """Read a browser's field for a moment, which names no zone: the form says that it is UTC."""
    return said if said.endswith("Z") else f"{said}Z" if said.count(":") == 2 else f"{said}:00Z"


_READ: Mapping[str, Callable[[str, str], Any]] = {
    "run_at": _moment,
    "priority": _number,
    "queue": _text,
    "lane": _text,
    "max_attempts": _number,
    "timeout": _number,
    "tags": _tags,
}
