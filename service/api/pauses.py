"""What pausing a lane, a kind and a queue have in common."""

from collections.abc import Coroutine
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from service.api.jobs.actions import logged
from service.api.lane_requests import pause_for
from service.auth import Principal
from service.lanes.lanes import Change, Lanes
from service.ledger.deadline import in_time
from service.web.problems import responses

RESUME_ERRORS = responses(401, 403, 404, 409, 421, 422, 503, 507)
PAUSE_ERRORS = responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507)


def later(model: Any) -> dict[int | str, dict[str, Any]]:
    """Describe the answer to a change of which Redis has not heard yet."""
    described = "Recorded. Redis does not answer, so it holds as soon as a worker has told it"
    return {202: {"model": model, "description": described}}


async def pause(request: Request, response: Response, lanes: Lanes, principal: Principal, key: str) -> Change:
    """Pause what `key` names, for as long as the body says."""
    span = await pause_for(request)
    with logged("pause", principal, lane=key, for_s=_seconds(span)):
        return await changed(response, lanes.pause(key, span))


async def resume(response: Response, lanes: Lanes, principal: Principal, key: str) -> Change:
    with logged("resume", principal, lane=key):
        return await changed(response, lanes.resume(key))


async def changed(response: Response, change: Coroutine[Any, Any, Change]) -> Change:
    """Wait for a change. The status of the answer says whether Redis has heard of it."""
    done = await in_time(change, writes=True)
    if not done.is_applied:
        response.status_code = HTTPStatus.ACCEPTED
    return done


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
