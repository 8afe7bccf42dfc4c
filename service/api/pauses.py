"""What pausing a lane, a kind and a queue have in common."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from service.lanes.lane_view import said_of, target_of
from service.lanes.lanes import Change, Lanes
from service.ledger.deadline import in_time
from service.trail import Operator
from service.web.lane_requests import pause_for
from service.web.problems import responses

RESUME_ERRORS = responses(401, 403, 404, 409, 421, 422, 503, 507)
PAUSE_ERRORS = responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507)


def later(model: Any) -> dict[int | str, dict[str, Any]]:
    """Describe the answer to a change that has not reached Redis yet."""
    described = "Recorded. Redis does not answer, so it takes effect once a worker has passed it on"
    return {202: {"model": model, "description": described}}


async def pause(request: Request, response: Response, lanes: Lanes, operator: Operator, key: str) -> Change:
    """Pause what `key` names, for as long as the body says."""
    span = await pause_for(request)
    return await changed(response, lanes, operator, ("pause", key), lambda: lanes.pause(key, span))


async def resume(response: Response, lanes: Lanes, operator: Operator, key: str) -> Change:
    return await changed(response, lanes, operator, ("resume", key), lambda: lanes.resume(key))


async def changed(
    response: Response,
    lanes: Lanes,
    operator: Operator,
    named: tuple[str, str],
    change: Callable[[], Awaitable[Change]],
) -> Change:
    """Change a lane; `named` are the action and its key. The answer's status says whether it has reached Redis."""
    action, key = named

    async def act() -> Change:
        async with operator.action(action, *target_of(key), before=said_of(await lanes.view(key))) as entry:
            done = await change()
            entry.after = said_of(done.lane)
        return done

    done = await in_time(act(), writes=True)
    if not done.is_applied:
        response.status_code = HTTPStatus.ACCEPTED
    return done
