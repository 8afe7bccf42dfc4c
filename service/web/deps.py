"""The dependencies of routes. All are `async`: FastAPI runs other functions in a thread, which costs far more."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import Field

from service.access.principal import Principal
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.trail import Operator
from service.web.guards import principal_of
from service.web.state import state_of

# No text in a database holds NUL, so neither does an id or a filter.
Text = Annotated[str, Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]


async def _resources(request: Request) -> Resources:
    return state_of(request).resources


async def _lifecycle(request: Request) -> Lifecycle:
    return state_of(request).lifecycle


async def _lanes(request: Request) -> Lanes:
    return state_of(request).lanes


async def _principal(request: Request) -> Principal:
    return principal_of(request)


def operator_of(request: Request) -> Operator:
    """Return the caller as one whose actions are noted on the trail."""
    client = request.client
    return Operator(state_of(request).trail, principal_of(request), client.host if client else None)


async def _operator(request: Request) -> Operator:
    return operator_of(request)


ResourcesDep = Annotated[Resources, Depends(_resources)]
LifecycleDep = Annotated[Lifecycle, Depends(_lifecycle)]
LanesDep = Annotated[Lanes, Depends(_lanes)]
PrincipalDep = Annotated[Principal, Depends(_principal)]
OperatorDep = Annotated[Operator, Depends(_operator)]
