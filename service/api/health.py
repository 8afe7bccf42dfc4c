"""`/healthz` and `/readyz`: whether the process is alive, and ready for jobs."""

from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from service.access.principal import Scope
from service.api.state import ApiState, api_state_of
from service.errors import LedgerUnavailable, PostludeError
from service.lanes.notices import Notices, notices_of
from service.ledger.deadline import in_time
from service.web.guards import check_key
from service.web.problems import responses
from service.web.query import known_query

router = APIRouter(tags=["health"], dependencies=[Depends(known_query)])


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str] | None = None
    paused: list[str] | None = Field(None, description="What callers have paused on purpose; absent: nothing.")
    breakers: list[str] | None = Field(None, description="Lanes whose breaker is not closed; absent: none.")


@router.get("/healthz", operation_id="get_health", responses=responses(422))
async def healthz() -> dict[str, str]:
    """Answer, and touch nothing else. An answer means that the process is alive."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="get_readiness",
    response_model_exclude_none=True,
    responses={503: {"model": Readiness}, **responses(422)},
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Say whether jobs are accepted (503 if not), and what else is wrong. If keys are set, details need a key."""
    checks = dict(await api_state_of(request).readiness.check())
    may_be_told = await _may_be_told(request)
    told = checks if may_be_told else None
    if checks["ledger"] != "ok":
        response.status_code = 503
        response.headers.update(LedgerUnavailable.headers)
        return Readiness(status="unready", checks=told)
    healthy = all(check == "ok" for check in checks.values())
    notices = await _notices(api_state_of(request)) if may_be_told else Notices()
    return Readiness(
        status="ready" if healthy else "degraded",
        checks=told,
        paused=list(notices.paused) or None,
        breakers=list(notices.breakers) or None,
    )


async def _notices(state: ApiState) -> Notices:
    try:
        return notices_of((await in_time(state.lanes.outlook.overview())).held_back)
    except LedgerUnavailable:  # it went away after the check
        return Notices()


async def _may_be_told(request: Request) -> bool:
    """Whether the caller has a key, or the service needs none: details name servers and their faults."""
    try:
        await check_key(request, Scope.READ)
    except LedgerUnavailable:  # which is what the details report; no key has ever been known
        return not api_state_of(request).access.opening.is_closed
    except PostludeError:
        return False
    return True
