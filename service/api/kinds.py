"""The catalogue over HTTP."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from jobs import Kind
from service import agreed_time
from service.api import pauses
from service.api.lane_requests import PauseRequest
from service.api.pauses import PAUSE_ERRORS, RESUME_ERRORS, later
from service.errors import KindNotFound, LedgerUnavailable
from service.lanes.outlook import Overview
from service.ledger.deadline import in_time
from service.web.body import described
from service.web.deps import LanesDep, PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import GUARDS
from service.web.moments import ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/kinds", tags=["kinds"], dependencies=GUARDS)


class KindOut(BaseModel):
    name: str
    description: str
    args_schema: dict[str, Any]
    timeout: float = Field(description="Seconds for each attempt.")
    max_attempts: int
    queue: str
    cron: str | None
    catch_up: Literal["none", "last", "all"] | None = Field(
        description="Which missed ticks become jobs; null without cron."
    )
    paused: bool | None = Field(description="null: the ledger, which knows, does not answer.")
    paused_until: ShownMoment | None = Field(description="null while it is paused: until it is resumed.")

    @classmethod
    def of(cls, kind: Kind[Any, Any], overview: Overview | None) -> "KindOut":
        pause = None if overview is None else overview.pause_of(f"kind:{kind.name}", agreed_time.now())
        return cls(
            name=kind.name,
            description=kind.description,
            args_schema=kind.args_schema,
            timeout=kind.timeout.total_seconds(),
            max_attempts=kind.max_attempts,
            queue=kind.queue,
            cron=kind.cron,
            catch_up=kind.catch_up,
            paused=None if overview is None else pause is not None,
            paused_until=None if pause is None else pause.paused_until,
        )


class KindList(BaseModel):
    kinds: list[KindOut]


@router.get("", responses={**UNCHANGED, **responses(401, 421, 422)})
async def list_kinds(resources: ResourcesDep, lanes: LanesDep) -> KindList:
    """List the kinds of job that can be enqueued, each with the JSON Schema of its args."""
    try:
        overview = await in_time(lanes.outlook.overview())
    except LedgerUnavailable:
        overview = None
    return KindList(kinds=[KindOut.of(kind, overview) for _, kind in sorted(resources.catalogue.items())])


async def _known_kind(name: Text, resources: ResourcesDep) -> Kind[Any, Any]:
    """Return the kind of this name. Raises `KindNotFound`."""
    kind = resources.catalogue.get(name)
    if kind is None:
        raise KindNotFound(f"There is no kind {name!r}. Known are: {', '.join(sorted(resources.catalogue))}.")
    return kind


KindDep = Annotated[Kind[Any, Any], Depends(_known_kind)]


@router.post(
    "/{name:text}/pause",
    responses={**later(KindOut), **PAUSE_ERRORS},
    openapi_extra=described(PauseRequest, required=False),
)
async def pause_kind(
    kind: KindDep, request: Request, response: Response, lanes: LanesDep, principal: PrincipalDep
) -> KindOut:
    """Start no job of a kind, for a while or until it is resumed. Jobs that run go on; the others stay queued."""
    await pauses.pause(request, response, lanes, principal, f"kind:{kind.name}")
    return KindOut.of(kind, await in_time(lanes.outlook.overview()))


@router.post("/{name:text}/resume", responses={**later(KindOut), **RESUME_ERRORS})
async def resume_kind(kind: KindDep, response: Response, lanes: LanesDep, principal: PrincipalDep) -> KindOut:
    """End the pause of a kind."""
    await pauses.resume(response, lanes, principal, f"kind:{kind.name}")
    return KindOut.of(kind, await in_time(lanes.outlook.overview()))
