"""Operations as a person reads them."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.commands.text import aligned, as_json, moment, one_line

Operation = dict[str, Any]

ENDED = ("stopped", "succeeded", "failed")
_COLUMNS = ("ID", "ACTION", "STATE", "DONE", "FAILED", "CREATED", "NAME")


def table(operations: Sequence[Operation], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each operation; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(one) for one in operations], heading=heading, width=width)


def details(operation: Operation) -> Iterator[str]:
    """Write everything known about an operation."""
    yield f"id           {one_line(operation['id'])}"
    for name in ("name", "action", "state", "error", "rate", "job_id", "created_at", "started_at", "finished_at"):
        if operation.get(name) is not None:
            yield f"{name:<12} {one_line(operation[name])}"
    if operation["dry_run"]:
        yield "dry run      changes nothing"
    yield f"filter       {as_json(operation['filter'])}"
    if operation.get("change") is not None:
        yield f"change       {as_json(operation['change'])}"
    yield f"members      {progress(operation)}"
    for one in operation.get("members_failed", []):
        yield one_line(f"  {one['id']}  {one['reason']}  {one.get('message') or ''}").rstrip()


def progress(operation: Operation) -> str:
    """Write the progress of an operation."""
    would = "would be " if operation["dry_run"] else ""
    reasons = ", ".join(f"{count} {one_line(reason)}" for reason, count in operation["skipped"].items())
    failed = f", {operation['failed']} failed ({reasons})" if operation["failed"] else ""
    return f"{operation['done']} of {operation['matched']} {would}done{failed}"


def _row(operation: Operation) -> tuple[str, ...]:
    done = f"{operation['done']} of {operation['matched']}"
    state = f"{operation['state']}{' (dry run)' if operation['dry_run'] else ''}"
    shown = (operation["id"], operation["action"], state, done, operation["failed"], moment(operation["created_at"]))
    return tuple(one_line(cell) for cell in (*shown, operation.get("name") or ""))
