"""Schedules as a person reads them."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.commands.text import aligned, as_json, moment, one_line

Schedule = dict[str, Any]

_COLUMNS = ("NAME", "KIND", "CRON", "ZONE", "NEXT", "LAST", "STATE")
_TICKS = ("DUE", "OUTCOME", "JOB", "REASON")


def table(schedules: Sequence[Schedule], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each schedule; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(one) for one in schedules], heading=heading, width=width)


def ticks(told: Sequence[dict[str, Any]], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each tick."""
    rows = [
        tuple(one_line(cell or "") for cell in (moment(one["due_at"]), one["outcome"], one["job_id"], one["reason"]))
        for one in told
    ]
    return aligned(_TICKS, rows, heading=heading, width=width)


def details(one: Schedule) -> Iterator[str]:
    """Write everything known about a schedule."""
    yield f"name         {one_line(one['name'])}"
    yield f"state        {one_line(state(one))}"
    yield f"kind         {one_line(one['kind'])}"
    yield f"cron         {one_line(one['cron'])} ({one_line(one['time_zone'])})"
    yield f"catch up     {one_line(one['catch_up'])}"
    yield f"overlap      {one_line(one['overlap'])}"
    if one["jitter"]:
        yield f"jitter       {one['jitter']:g} s"
    for name in ("start", "end", "next"):
        if one[name]:
            yield f"{name:<12} {moment(one[name])}"
    if last := one["last"]:
        told = (moment(last["due_at"]), last["outcome"], last["reason"])
        yield f"last         {one_line(' '.join(filter(None, told)))}"
    if one["args"] is not None:
        yield f"args         {as_json(one['args'])}"
    if one["options"]:
        yield f"options      {as_json(one['options'])}"


def state(one: Schedule) -> str:
    """Say what keeps a schedule from firing."""
    if one["error"]:
        return f"error: {one['error']}"
    if one["paused"]:
        return f"paused: {reason}" if (reason := one.get("paused_reason")) else "paused"
    return "ready" if one["next"] else "ended"


def _row(one: Schedule) -> tuple[str, ...]:
    last = one["last"] or {"due_at": "", "outcome": ""}
    told = f"{moment(last['due_at'])} {last['outcome']}".strip()
    cells = (one["name"], one["kind"], one["cron"], one["time_zone"], moment(one["next"]), told, state(one))
    return tuple(one_line(cell) for cell in cells)
