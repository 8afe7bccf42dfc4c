"""Flows as a person reads them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.commands.text import aligned, moment, one_line

Flow = dict[str, Any]

_COLUMNS = ("ID", "NAME", "STATE", "JOBS", "CREATED")
_JOB_COLUMNS = ("NAME", "ID", "KIND", "STATE", "AFTER", "ERROR")
_MOST_PARENTS = 5


def table(flows: Sequence[Flow], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each flow; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(flow) for flow in flows], heading=heading, width=width)


def details(flow: Flow, width: int | None) -> Iterator[str]:
    """Write everything known about a flow, with a line for each of its jobs."""
    yield f"id           {one_line(flow['id'])}"
    for name in ("name", "state", "created_at", "replayed_at", "finished_at"):
        if flow.get(name) is not None:  # an older service does not say when it was replayed
            yield f"{name:<12} {one_line(flow[name])}"
    yield f"jobs         {_counts(flow['counts'])}"
    for callback in flow["callbacks"]:
        called = f", called: {', '.join(callback['jobs'])}" if callback["jobs"] else ""
        yield one_line(f"on {callback['event']:<10}{callback['kind']}{called}")
    yield ""
    yield from aligned(_JOB_COLUMNS, [_job_row(job) for job in flow["jobs"]], heading=True, width=width)


def line(flow: Flow) -> str:
    return one_line(f"{flow['id']}  {flow['state']}  {_counts(flow['counts'])}")


def _counts(counts: Mapping[str, int]) -> str:
    return one_line(", ".join(f"{count} {state}" for state, count in counts.items()) or "none")


def _row(flow: Flow) -> tuple[str, ...]:
    cells = (flow["id"], flow["name"] or "", flow["state"], _counts(flow["counts"]), moment(flow["created_at"]))
    return tuple(one_line(cell) for cell in cells)


def _job_row(job: Flow) -> tuple[str, ...]:
    error, after = job.get("error") or {}, job["after"]
    told = f"{error.get('type')}: {error.get('message')}" if error else ""
    parents = ", ".join(after[:_MOST_PARENTS]) + (f", {len(after) - _MOST_PARENTS} more" * (len(after) > _MOST_PARENTS))
    return tuple(
        one_line(cell)
        for cell in (job["name"] or "", job["id"], job.get("label", job["kind"]), job["state"], parents, told)
    )
