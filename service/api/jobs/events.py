"""A job's events as they happen: server-sent events, made from the ledger and resumable.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from service.api.jobs.event_reader import EVENT_ID, STREAM, JobSnapshot, Reader
from service.api.jobs.tickets import authorise_reader
from service.api.jobs.watchtower import Watchtower
from service.api.state import WatchtowerDep
from service.errors import JobNotFound, LedgerUnavailable
from service.ledger.deadline import in_time
from service.ledger.reads.history import changes
from service.ledger.reads.log_lines import LinePosition, LogLine, lines_of
from service.resources import Resources
from service.web.deps import PrincipalDep, ResourcesDep
from service.web.guards import guarded_by
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.methods import asked
from service.web.problems import responses

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_HEARTBEAT_S = 15.0
# Lines are recorded every half second, even lines logged right before the end.
_LAST_LINES_S = 0.7
_HEARTBEAT = format_sse_event(comment="still here")
_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LAST = "`id` of the last event that was read"
_DESCRIPTION = """
Server-sent events until the job has ended: how it is now, then every change of its state (`event: state`) and of its
progress (`event: progress`), each with JSON in `data`; with `log=true` also each line that it logs (`event: log`), and
the lines that the latest attempt logged before. A comment line comes every 15 s. `id` says where the reader
is: sent back as `Last-Event-ID`, as browsers do by themselves, it brings what came after. A reader who has seen the end
gets **204**, at which browsers stop asking; a replay starts afresh. Where keys are required, browsers need a ticket:
`POST /v1/jobs/{id}/events/tickets`.
"""


@router.get(
    "/{job_id}/events",
    dependencies=guarded_by(authorise_reader),
    response_class=Response,
    description=_DESCRIPTION,
    responses={
        200: {"content": {EventSourceResponse.media_type: STREAM}, "description": "The events, as they happen"},
        204: {"description": "The job has ended, and `Last-Event-ID` says that you know"},
        **responses(401, 403, 404, 421, 422, 503),
    },
)
async def follow_job(
    job_id: JobIdDep,
    request: Request,
    resources: ResourcesDep,
    watchtower: WatchtowerDep,
    principal: PrincipalDep,
    log: Annotated[bool, Query(description="Send log lines, too.")] = False,
    last_event_id: Annotated[str, Header(description=_LAST, json_schema_extra={"pattern": EVENT_ID})] = "",
) -> Response:
    reader = Reader.at(last_event_id)
    reader.sees_results = principal.sees_args
    snapshot = await in_time(_read(resources, job_id))
    if not (log and principal.sees_args):
        reader.line = None
    elif reader.line is None:
        reader.line = (snapshot.job["attempt"], 0)
    if snapshot.ended and reader.knows(snapshot):
        return Response(status_code=204)
    if asked(request) == "HEAD":
        return Response(headers=_UNBUFFERED, media_type=EventSourceResponse.media_type)
    watchtower.check_room()
    return EventSourceResponse(_stream(job_id, reader, resources, watchtower), headers=_UNBUFFERED)


async def _stream(job_id: str, reader: Reader, resources: Resources, watchtower: Watchtower) -> AsyncIterator[bytes]:
    if not watchtower.has_room:  # others took it after the check
        return
    with watchtower.watch(job_id, room_checked=True, of_log=reader.line is not None) as watch:
        while not watchtower.closing:
            if not await watch.changed(_HEARTBEAT_S):
                yield _HEARTBEAT
                continue
            if watch.error is not None:  # keep the stream open: a browser that is refused once does not come back
                continue
            try:
                snapshot = await in_time(_read(resources, job_id, reader.line))
                if snapshot.ended and reader.line is not None:
                    await asyncio.sleep(_LAST_LINES_S)
                    snapshot = await in_time(_read(resources, job_id, reader.line))
            except LedgerUnavailable:
                watch.forget()
                continue
            except JobNotFound:
                return
            for event in reader.news(snapshot):
                yield event
            if snapshot.ended:
                return


async def _read(resources: Resources, job_id: str, line: LinePosition | None = None) -> JobSnapshot:
    found = await find_job(resources, job_id)
    lines: Sequence[LogLine] = ()
    if line is not None:
        async with resources.ledger.read() as connection:
            lines = await lines_of(connection, job_id, after=line)
    told = changes(found.job, found.attempts, max_crashes=resources.settings.max_crashes)
    return JobSnapshot(found.job, told, lines)
