"""Workers as a person reads them."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.commands.text import aligned, moment, one_line

Worker = dict[str, Any]

_COLUMNS = ("ID", "STATE", "RUNNING", "VERSION", "HEARTBEAT", "QUEUES")
_MIB = 1024 * 1024


def table(workers: Sequence[Worker], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each worker; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(one) for one in workers], heading=heading, width=width)


def details(one: Worker) -> Iterator[str]:
    """Write everything known about a worker, and what it runs."""
    yield f"id           {one_line(one['id'])}"
    yield f"state        {one_line(one['state'])}"
    yield f"process      {one['pid']} on {one_line(one['hostname'])}"
    yield f"version      {one_line(one['version'] or 'unknown')}"
    yield f"queues       {one_line(', '.join(one['queues']))}"
    yield f"running      {_running(one)}"
    yield f"loop lag     {one['loop_lag']:g} s"
    if one["hung_threads"]:
        yield f"hung threads {one['hung_threads']}"
    if one["memory_bytes"] is not None:
        yield f"memory       {one['memory_bytes'] // _MIB} MiB"
    for name, shown in (("started_at", "started"), ("heartbeat_at", "heartbeat"), ("drain_at", "drains"), _ENDED):
        if one[name]:
            yield f"{shown:<12} {moment(one[name])}"
    if one["rescued"]:
        yield f"rescued      {one['rescued']} of its jobs"
    for job in one.get("jobs", ()):
        yield f"job          {one_line(job['id'])}  {one_line(job['label'])}  since {moment(job['started_at'])}"


def line(one: Worker) -> str:
    """Write a worker after an action on it, as one line."""
    return one_line("  ".join((one["id"], one["state"], f"{_running(one)} run")))


_ENDED = ("ended_at", "ended")


def _row(one: Worker) -> tuple[str, ...]:
    cells = (one["id"], one["state"], _running(one), one["version"] or "", moment(one["heartbeat_at"]))
    return tuple(one_line(cell) for cell in (*cells, ", ".join(one["queues"])))


def _running(one: Worker) -> str:
    return str(one["running"]) if one["slots"] is None else f"{one['running']} of {one['slots']}"
