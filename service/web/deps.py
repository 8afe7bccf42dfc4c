"""The dependencies of routes. All are `async`: FastAPI runs other functions in a thread, which costs far more."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import Field

from service.auth import Principal
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
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


ResourcesDep = Annotated[Resources, Depends(_resources)]
LifecycleDep = Annotated[Lifecycle, Depends(_lifecycle)]
LanesDep = Annotated[Lanes, Depends(_lanes)]
PrincipalDep = Annotated[Principal, Depends(_principal)]
