"""Tickets: a browser follows one job with a ticket instead of a key, since `EventSource` cannot send headers.

A ticket is signed with the key of the caller who asked for it. So every process that knows the key accepts the ticket,
and the ticket ends with the key. It opens the events of one job and nothing else.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.access.principal import Principal, Scope
from service.errors import Unauthorized
from service.ledger.deadline import in_time
from service.web.deps import ResourcesDep, Text
from service.web.guards import bearer, check_key, guards, recognise
from service.web.headers import header_of
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.moments import ShownMoment
from service.web.paths import job_path
from service.web.problems import responses
from service.web.state import state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

# Browsers reconnect by themselves, with the same ticket.
_HOLDS_FOR = timedelta(hours=1)


class TicketOut(BaseModel):
    """Opens the events of one job to anyone who has it, until it expires; streams open then stay open."""

    ticket: str
    url: str = Field(description="Path of the events with the ticket, for `EventSource`.")
    expires_at: ShownMoment


@router.post(
    "/{job_id}/events/tickets",
    dependencies=guards(Scope.READ, narrowed=True),
    status_code=201,
    responses=responses(401, 403, 404, 421, 422, 503),
)
async def create_ticket(job_id: JobIdDep, request: Request, response: Response, resources: ResourcesDep) -> TicketOut:
    """Make a ticket for a browser, which cannot send a key with `EventSource`. It is valid for this job and an hour."""
    await in_time(find_job(resources, job_id))
    expires = int(time.time() + _HOLDS_FOR.total_seconds())
    prefix, signature = state_of(request).access.sign(header_of(request, b"authorization"), _text(job_id, expires))
    ticket = f"{expires}.{prefix}.{signature}"
    response.headers["Cache-Control"] = "no-store"
    url = f"{job_path(request.scope, job_id)}/events?{urlencode({'ticket': ticket})}"
    return TicketOut(ticket=ticket, url=url, expires_at=datetime.fromtimestamp(expires, UTC))


async def authorise_reader(
    request: Request,
    job_id: Text,
    _key: Annotated[object, bearer],
    ticket: Annotated[str | None, Query(description="A ticket for this job, instead of a key")] = None,
) -> Principal:
    """Let the request through if it has a ticket for the job, or else a key. A ticket stands for its signer."""
    if ticket is None:
        return await check_key(request, Scope.READ, narrowed=True)
    expires, _, rest = ticket.partition(".")
    prefix, _, signature = rest.partition(".")
    lives = expires.isdecimal() and len(expires) < 12 and int(expires) > time.time()
    access = state_of(request).access
    signer = await access.signer_of(_text(job_id, int(expires)), prefix, signature) if lives else None
    if signer is None:
        raise Unauthorized("The ticket has expired or is for another job. POST /v1/jobs/{id}/events/tickets makes one.")
    recognise(request, signer).check(Scope.READ)
    return signer


def _text(job_id: str, expires: int) -> str:
    return f"events\n{job_id}\n{expires}"
