"""Jobs as a person reads them. The content of jobs was written by others: a terminal must not obey it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Job = dict[str, Any]

# Control characters start commands to the terminal, and marks of writing direction make one text look like another.
# Lone surrogates cannot be written at all.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLUMNS = ("ID", "KIND", "STATE", "ATTEMPT", "CREATED", "ERROR")
_FIELDS = (
    *("kind", "label", "state", "waiting_for", "queue", "lanes", "priority", "tags", "flow", "after", "blocked_by"),
    *("created_at", "run_at", "started_at", "finished_at"),
)


def harmless(text: object) -> str:
    """Return the text with everything a terminal would obey escaped; line ends and tabs stay."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def one_line(text: object) -> str:
    return harmless(text).replace("\n", "\\n").replace("\t", "\\t")


def address(url: object) -> str:
    """Return a URL that anybody may read: without a user's name and password."""
    return re.sub(r"//[^/?#]*@", "//***@", one_line(url), count=1)


def as_json(value: object, indent: int | None = None) -> str:
    """Write JSON in plain ASCII: there is nothing in it to obey."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def table(jobs: Sequence[Job], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each job; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(job) for job in jobs], heading=heading, width=width)


def aligned(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, heading: bool, width: int | None
) -> Iterator[str]:
    """Write rows under the names of their columns; cut at `width`."""
    shown = [columns, *rows] if heading else rows
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in shown:
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        yield line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def moment(value: object) -> str:
    """Write a time of the API to the second, with its zone in one word: columns are counted by programs, too."""
    text = one_line(value or "")
    seconds = text.partition(".")[0].removesuffix("Z").replace("T", " ")
    return f"{seconds}Z" if text.endswith("Z") else seconds


def _row(job: Job) -> tuple[str, ...]:
    error = job.get("error") or {}
    attempt = f"{job.get('attempt', 0)} ({job.get('failures', 0)}/{job.get('max_attempts', '?')} failed)"
    told = f"{error.get('type')}: {error.get('message')}" if error else ""
    created = moment(job.get("created_at"))
    kind = job.get("label") or job.get("kind")  # an older service sends no label
    return tuple(one_line(cell) for cell in (job.get("id"), kind, job.get("state"), attempt, created, told))


def details(job: Job) -> Iterator[str]:
    """Write everything known about a job."""
    yield f"id           {one_line(job.get('id'))}"
    for name in _FIELDS:
        value = job.get(name)
        if value not in (None, []):
            yield f"{name:<12} {one_line(', '.join(value) if isinstance(value, list) else value)}"
    yield f"failures     {job.get('failures')} of {job.get('max_attempts')}; crashes {job.get('crashes')}"
    for callback in job.get("callbacks") or []:
        yield one_line(f"on {callback.get('event'):<10}{callback.get('kind')}  {', '.join(callback.get('jobs', []))}")
    if progress := job.get("progress"):
        yield f"progress     {_progress(progress)}"
    yield from _block("args", as_json(job.get("args"), indent=2))
    if job.get("result") is not None:
        yield from _block("result", as_json(job["result"], indent=2))
    for attempt in job.get("attempts", []):
        yield from _attempt(attempt)


def _attempt(attempt: Job) -> Iterator[str]:
    times = f"{attempt.get('started_at')} to {attempt.get('finished_at') or 'now'}"
    outcome = attempt.get("outcome") or "running"
    yield one_line(f"attempt {attempt.get('number')}: {outcome}, {times}, on {attempt.get('worker')}")
    if error := attempt.get("error"):
        yield from _indented(f"{error.get('type')}: {error.get('message')}")
        yield from _indented(error.get("traceback") or "")


def event(name: str, data: Job) -> str:
    """Write an event of a job as one line."""
    if name == "progress":
        return f"progress {_progress(data.get('progress') or data)}"
    error = data.get("error") or {}
    told = f": {error.get('type')}: {error.get('message')}" if error else ""
    return one_line(f"{data.get('state', name)}, attempt {data.get('attempt', 0)}{told}")


def _progress(progress: Job) -> str:
    total = progress.get("total")
    return one_line(f"{progress.get('done')}{f' of {total}' if total is not None else ''}")


def _block(name: str, text: str) -> Iterator[str]:
    yield name
    yield from _indented(text)


def _indented(text: str) -> Iterable[str]:
    return (f"  {line}" for line in harmless(text).split("\n") if line)


def state_of(job: Job, in_full: bool) -> str:
    return as_json(job) if in_full else one_line(f"{job['id']}  {job['state']}")
