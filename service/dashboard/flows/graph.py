"""What the page of one flow shows: its status, its drawing, and its jobs in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping

from service.dashboard.cursors import cursor_of, place_of
from service.dashboard.flows import layout, words
from service.dashboard.people import names_of
from service.dashboard.text import share_text, span_text, until
from service.errors import FlowNotFound
from service.insight.words import Words
from service.ledger.ledger import Ledger
from service.ledger.reads.flow_graphs import Edge, FlowJob, edges_to, jobs_of_graph
from service.ledger.reads.flows import FlowCounts, counts_of, get_flow
from service.ledger.states import LIVE, REPLAYABLE, State
from service.trail.reads import LastChange, last_change
from service.words import counted, listed

_ROWS = layout.MOST_JOBS
# The jobs that hold up a flow that is too large to be read whole.
_HOLDS_UP = (State.FAILED, State.RETRYING, State.RUNNING, State.QUEUED)
_MOST_HOLDING = 20
_MOST_AWAITED = 6
_LONGEST_LABEL = 18  # characters, in a box
_WHEN = {"ended": "runs when they have ended", "attempted": "runs when they have been tried once"}


@dataclass(frozen=True, slots=True)
class Step:
    """A job of the flow in words. `waits_for` are names; `ran_s` of a running job is its time so far."""

    job: FlowJob
    name: str
    waits_for: str | None
    waited_s: float | None
    ran_s: float | None

    @property
    def progress(self) -> str | None:
        done, total = self.job.progress_done, self.job.progress_total
        if done is None:
            return None
        return f"{done:,}" if total is None else f"{done:,} of {total:,}"


@dataclass(frozen=True, slots=True)
class Box:
    """A job in the drawing, at its upper left corner; `share` of it is done, from 0 to 1."""

    job: FlowJob
    x: int
    y: int
    name: str
    full_name: str
    note: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Line:
    path: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Sketch:
    width: int
    height: int
    boxes: Sequence[Box]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class FlowPage:
    """A flow. Without a `sketch` it is too large to be drawn."""

    id: str
    name: str | None
    state: State
    headline: str
    reasons: Words
    created_at: datetime
    finished_at: datetime | None
    by: str | None
    replay: LastChange | None
    jobs: int
    live: int
    replayable: int
    steps: Sequence[Step]
    sketch: Sketch | None
    older: str | None


async def read_flow(ledger: Ledger, flow_id: str, cursor: str | None, now: datetime) -> FlowPage:
    """Read a flow. Raises `FlowNotFound` and `BadCursor`."""
    async with ledger.read() as connection:
        flow = await get_flow(connection, flow_id)
        if flow is None:
            raise FlowNotFound(f"There is no flow {flow_id!r}. Its jobs may be past their retention.")
        counts = (await counts_of(connection, [flow_id]))[flow_id]
        found = await jobs_of_graph(connection, flow_id, place_of(cursor), _ROWS + 1)
        jobs = found[:_ROWS]
        edges = await edges_to(connection, [job.id for job in jobs])
        is_whole = len(found) <= _ROWS and cursor is None
        holding = jobs if is_whole else await jobs_of_graph(connection, flow_id, None, _MOST_HOLDING, _HOLDS_UP)
        by = jobs[0].enqueued_by if jobs else None
        names = await names_of(connection, [by])
        replay = await last_change(connection, "replay", "flow", flow_id)
    last = jobs[-1] if len(found) > _ROWS else None
    return _page(
        flow,
        counts,
        jobs,
        edges,
        reasons=words.reasons(holding, edges, counts, flow["created_at"]),
        by=names.get(by or ""),
        replay=replay,
        sketch=_sketch(jobs, edges, now) if is_whole and layout.is_drawable(len(jobs), len(edges)) else None,
        older=None if last is None else cursor_of(last.listed_at, last.id),
        now=now,
    )


def _page(
    flow: RowMapping,
    counts: FlowCounts,
    jobs: Sequence[FlowJob],
    edges: Sequence[Edge],
    *,
    reasons: Words,
    by: str | None,
    replay: LastChange | None,
    sketch: Sketch | None,
    older: str | None,
    now: datetime,
) -> FlowPage:
    names = {job.id: words.name_of(job) for job in jobs}
    parents: dict[str, list[Edge]] = {job.id: [] for job in jobs}
    for edge in edges:
        parents[edge.child].append(edge)
    return FlowPage(
        id=flow["id"],
        name=flow["name"],
        state=counts.state,
        headline=words.headline(counts),
        reasons=reasons,
        created_at=flow["created_at"],
        finished_at=counts.finished_at,
        by=by,
        replay=replay,
        jobs=sum(counts.states.values()),
        live=sum(counts.states.get(state, 0) for state in LIVE),
        replayable=sum(counts.states.get(state, 0) for state in REPLAYABLE),
        steps=[_step(job, parents[job.id], names, now) for job in jobs],
        sketch=sketch,
        older=older,
    )


def _step(job: FlowJob, parents: Sequence[Edge], names: Mapping[str, str], now: datetime) -> Step:
    waits_for = None
    if parents:
        waits_for = listed([names.get(edge.parent, edge.parent) for edge in parents], len(parents), _MOST_AWAITED)
        when = _WHEN.get(parents[0].run_when)
        waits_for = f"{waits_for}; {when}" if when else waits_for
    waited_s = ran_s = None
    if job.started_at is not None:
        waited_s = max((job.started_at - job.run_at).total_seconds(), 0) if job.state is not State.RETRYING else None
        ran_s = ((job.finished_at or now) - job.started_at).total_seconds() if _has_run(job) else None
    return Step(job, names[job.id], waits_for, waited_s, ran_s)


def _has_run(job: FlowJob) -> bool:
    return job.state is State.RUNNING or job.finished_at is not None


def _sketch(jobs: Sequence[FlowJob], edges: Sequence[Edge], now: datetime) -> Sketch:
    drawing = layout.draw([job.id for job in jobs], [(edge.parent, edge.child) for edge in edges])
    states = {(edge.parent, edge.child): edge.state for edge in edges}
    open_edges = [edge.child for edge in edges if edge.state == "open"]
    lines = [Line(path, states[ends] == "met") for ends, path in drawing.paths.items()]
    boxes = [_box(job, *drawing.boxes[job.id], note_of(job, open_edges.count(job.id), now)) for job in jobs]
    return Sketch(drawing.width, drawing.height, boxes, sorted(lines, key=lambda line: line.is_met))


def _box(job: FlowJob, x: int, y: int, note: str) -> Box:
    name, done, total = words.name_of(job), job.progress_done, job.progress_total
    share = min(done / total, 1.0) if job.state is State.RUNNING and done is not None and total else None
    shown = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
    return Box(job, x, y, shown, name, note, share)


def note_of(job: FlowJob, waits_for: int, now: datetime) -> str:
    """Say in a few words what a job is doing."""
    detail = None
    match job.state:
        case State.RUNNING if job.progress_done is not None and job.progress_total:
            detail = share_text(job.progress_done, job.progress_total)
        case State.RUNNING if job.started_at is not None:
            detail = span_text(int((now - job.started_at).total_seconds()))
        case State.RETRYING | State.SCHEDULED:
            detail = until(now, job.run_at)
        case State.BLOCKED:
            detail = f"waits for {waits_for}"
        case State.SUCCEEDED | State.FAILED if job.started_at is not None and job.finished_at is not None:
            detail = span_text((job.finished_at - job.started_at).total_seconds())
    return f"{job.state} · {detail}" if detail else job.state


def too_large(page: FlowPage) -> str:
    """Say why there is no drawing."""
    return f"{counted(page.jobs, 'job')}: too many to draw. The table has them all, in order."
