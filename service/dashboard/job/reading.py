"""What the page of a job shows, read at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.principal import Principal
from service.access.reads import find_key
from service.dashboard.job.checks import Check, Facts, checks_of, read_facts
from service.dashboard.job.headline import Headline, headline
from service.dashboard.job.timeline import Timeline, timeline
from service.dashboard.job.trace import trace_id_of
from service.dashboard.job.traces import Line, lines_of
from service.errors import JobNotFound
from service.lanes.lanes import Lanes
from service.lanes.reasons import Reason
from service.ledger.models import Event
from service.ledger.reads import in_full
from service.ledger.reads.file_ids import FileOfJob, files_of
from service.ledger.reads.flows import UNRELATED, Relations, get_flow, relations_of
from service.ledger.reads.idempotency import key_made_with
from service.ledger.reads.in_full import Child, Related
from service.ledger.reads.jobs import get_job
from service.ledger.reads.kept import NOTHING_KEPT, Kept, kept_by
from service.ledger.reads.log_lines import LogLine
from service.ledger.reads.log_lines import lines_of as log_lines_of
from service.ledger.reads.stacks import Stack, latest_stack
from service.ledger.reads.worker_views import find_worker
from service.ledger.states import UNSTARTED, Outcome, State
from service.ledger.traits import Trait
from service.resources import Resources

# How many attempts make the timeline, and how many are listed.
MOST_ATTEMPTS = 500
ATTEMPTS_SHOWN = 50
MOST_ALIKE = 1_001
CALLED_SHOWN = 5
_MOST_CHILDREN = 50
_MOST_FILES = 50
_LONGEST_WORDS = 120
_KEY = "key:"


@dataclass(frozen=True, slots=True)
class AttemptBody:
    """What an attempt left behind. `exchange` is as `service/exchange.py` writes it."""

    number: int
    trace: Sequence[Line]
    traceback: str
    exchange: Mapping[str, Any] | None
    lines: Sequence[LogLine]
    worker: str
    version: str | None


class Called(NamedTuple):
    """A callback: what is enqueued for an event, and what was."""

    event: Event
    kind: str
    job_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobPage:
    """A job with all that its page says of it.

    `attempts` are the latest ones, newest first; `body` belongs to the one that is open. `reasons` say why it does not
    run, the decisive one first. `related` are the jobs that it names, as far as they still exist.
    """

    job: RowMapping
    way: Timeline
    attempts: Sequence[Mapping[str, Any]]
    body: AttemptBody | None
    relations: Relations
    kept: Kept
    enqueued_by: str | None
    stack: Stack | None
    reasons: Sequence[Reason] = ()
    checks: Sequence[Check] = ()
    why: Headline | None = None
    related: Mapping[str, Related] = field(default_factory=dict)
    children: Sequence[Child] = ()
    flow_name: str | None = None
    alike: int = 0
    files: Sequence[FileOfJob] = ()
    idempotency_key: str | None = None
    trace_id: str | None = None

    @property
    def state(self) -> State:
        return State(self.job["state"])

    @property
    def label(self) -> str:
        return str(self.job["label"] or self.job["kind"])

    @property
    def args(self) -> Any:
        return json.loads(self.job["args"])

    @property
    def result(self) -> Any:
        return json.loads(self.job["result"])

    @property
    def metadata(self) -> Any:
        return json.loads(self.job["metadata"] or "{}")

    @property
    def tags(self) -> Sequence[str]:
        tags: Sequence[str] = json.loads(self.job["tags"])
        return tags

    @property
    def checkpoint(self) -> Any:
        return json.loads(self.kept.checkpoint or "null")

    @property
    def callbacks(self) -> Sequence[Called]:
        return [Called(one.event, json.loads(one.template)["kind"], one.job_ids) for one in self.relations.callbacks]

    @property
    def called(self) -> set[str]:
        """The jobs enqueued as callbacks, which also come after this one."""
        return {job_id for one in self.relations.callbacks for job_id in one.job_ids}

    @property
    def errors(self) -> Sequence[tuple[str, int]]:
        """The errors of the failed attempts since the latest replay, most frequent first."""
        failed = [one for one in self.attempts[: self.job["failures"] or len(self.attempts)] if one["error_type"]]
        counted: dict[str, int] = {}
        for one in failed:
            told = _in_a_word(one)
            counted[told] = counted.get(told, 0) + 1
        return sorted(counted.items(), key=lambda pair: -pair[1])


def _in_a_word(attempt: Mapping[str, Any]) -> str:
    if attempt["outcome"] == Outcome.TIMED_OUT:
        return "timed out"
    line = next(iter(str(attempt["error_message"] or "").splitlines()), str(attempt["error_type"]))
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


async def read_job_page(
    resources: Resources, lanes: Lanes, job_id: str, principal: Principal, *, attempt: int | None = None
) -> JobPage:
    """Read a job as `principal` may see it; `attempt` is shown in full, else the latest. Raises `JobNotFound`."""
    async with resources.ledger.read() as connection:
        job = await get_job(connection, job_id)
        if job is None:
            raise JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
        now = await resources.ledger.database.now(connection)
        page = await _read(connection, resources, job, now, attempt, principal)
    if page.state not in UNSTARTED:
        return page
    [reasons] = await lanes.waiting_for.reasons_of([job])
    facts = await read_facts(resources.ledger, lanes, job, reasons, now)
    return _waiting(page, reasons, facts, now)


async def _read(
    connection: AsyncConnection,
    resources: Resources,
    job: RowMapping,
    now: datetime,
    attempt: int | None,
    principal: Principal,
) -> JobPage:
    in_short = await in_full.attempts_in_short(connection, job, MOST_ATTEMPTS)
    relations = (await relations_of(connection, [job])).get(job["id"], UNRELATED)
    keeps = job["traits"] & Trait.STEPS.value
    wanted = attempt or (in_short[-1]["number"] if in_short else None)
    opened = next((one for one in in_short if one["number"] == wanted), None)
    sees_args = principal.sees_args
    page = JobPage(
        job=job,
        way=timeline(job, in_short, now, max_crashes=resources.settings.max_crashes),
        attempts=in_short[::-1][:ATTEMPTS_SHOWN],
        body=await read_body(connection, job["id"], opened, now, sees_args=sees_args) if opened else None,
        relations=relations,
        kept=(await kept_by(connection, [job["id"]]))[job["id"]] if keeps else NOTHING_KEPT,
        enqueued_by=await _enqueued_by(connection, job["enqueued_by"]),
        stack=await latest_stack(connection, job["id"]) if job["state"] == State.RUNNING else None,
        files=await files_of(connection, job["id"], now, _MOST_FILES) if sees_args else (),
        idempotency_key=await _idempotency_key(connection, resources, job),
        trace_id=trace_id_of(await in_full.trace_context_of(connection, job["id"])),
    )
    return await _with_others(connection, page)


async def _with_others(connection: AsyncConnection, page: JobPage) -> JobPage:
    """Add what the page says about other jobs."""
    job = page.job
    called = [job_id for one in page.relations.callbacks for job_id in one.job_ids[-CALLED_SHOWN:]]
    flow = await get_flow(connection, job["flow"]) if job["flow"] else None
    return replace(
        page,
        related=await in_full.related(connection, [*page.relations.after, *called]),
        children=await in_full.children_of(connection, job["id"], _MOST_CHILDREN),
        flow_name=flow["name"] if flow else None,
        alike=await in_full.count_alike(connection, job["fingerprint"], MOST_ALIKE) if job["fingerprint"] else 0,
    )


def _waiting(page: JobPage, reasons: Sequence[Reason], facts: Facts, now: datetime) -> JobPage:
    why = headline(page.job, reasons[0], facts.ahead) if reasons else None
    return replace(page, reasons=reasons, checks=checks_of(page.job, reasons, facts, now), why=why)


async def read_body(
    connection: AsyncConnection, job_id: str, attempt: Mapping[str, Any], now: datetime, *, sees_args: bool
) -> AttemptBody:
    """Read what an attempt left behind, without lines and exchange if the caller may not see args."""
    number = attempt["number"]
    row = await in_full.attempt_in_full(connection, job_id, number) if attempt["outcome"] else None
    worker = await find_worker(connection, attempt["worker"], now)
    exchange = row["exchange"] if row is not None and sees_args else None
    traceback = row["traceback"] if row is not None else None
    return AttemptBody(
        number=number,
        trace=lines_of(traceback or ""),
        traceback=traceback or "",
        exchange=None if exchange is None else json.loads(exchange),
        lines=await log_lines_of(connection, job_id, attempt=number) if sees_args else (),
        worker=attempt["worker"],
        version=worker.version if worker else None,
    )


async def _idempotency_key(connection: AsyncConnection, resources: Resources, job: RowMapping) -> str | None:
    expires_at = job["created_at"] + timedelta(hours=resources.settings.idempotency_hours)
    made = [one for one in (job["id"], job["flow"]) if one is not None]
    return await key_made_with(connection, made, expires_at)


async def _enqueued_by(connection: AsyncConnection, principal: str | None) -> str | None:
    """Name who enqueued a job: a key by its name, if that is known."""
    if principal is None or not principal.startswith(_KEY):
        return principal
    key = await find_key(connection, principal.removeprefix(_KEY))
    return f"key {key.name}" if key else principal
