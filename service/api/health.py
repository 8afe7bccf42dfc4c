"""`/healthz` and `/readyz`: whether the process is alive, and ready for jobs."""

from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from service.api.state import api_state_of
from service.errors import LedgerUnavailable, Unauthorized
from service.web.guards import authorise
from service.web.problems import responses
from service.web.query import known_query

router = APIRouter(tags=["health"], dependencies=[Depends(known_query)])


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str] | None = None


@router.get("/healthz", operation_id="get_health", responses=responses(422))
async def healthz() -> dict[str, str]:
    """Answer, and touch nothing else: the process is alive."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="get_readiness",
    response_model_exclude_none=True,
    responses={503: {"model": Readiness}, **responses(422)},
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Say whether jobs are accepted (503 if not), and what else is missing. Where keys are set, details need a key."""
    checks = dict(await api_state_of(request).readiness.check())
    told = checks if await _may_be_told(request) else None
    if checks["ledger"] != "ok":
        response.status_code = 503
        response.headers.update(LedgerUnavailable.headers)
        return Readiness(status="unready", checks=told)
    healthy = all(check == "ok" for check in checks.values())
    return Readiness(status="ready" if healthy else "degraded", checks=told)


async def _may_be_told(request: Request) -> bool:
    """Whether the caller has a key, or the service has none: details name servers and what is wrong with them."""
    try:
        await authorise(request, None)
    except Unauthorized:
        return False
    return True
