"""The trail over HTTP: what operators did, to which target, and what changed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, TypeAdapter

from service.access.principal import Principal, Scope
from service.ledger.deadline import in_time
from service.resources import Resources
from service.trail.entries import Ending, Noted, TrailFilter
from service.trail.reads import list_actions
from service.trail.snapshots import OF_ARGS
from service.web.cursor import NEXT_CURSOR, Text, decode, encode
from service.web.deps import PrincipalDep, ResourcesDep
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.moments import Moment, ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_cursor: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])


class ActorOut(BaseModel):
    id: str = Field(description="`key:<id>`, `user:<name>`, `bootstrap` (a key of POSTLUDE_API_KEYS) or `anybody`.")
    name: str = Field(description="The name at that time.")


class ActionOut(BaseModel):
    """One action of an operator."""

    id: str
    at: ShownMoment = Field(description="When it began.")
    actor: ActorOut
    address: str | None = Field(description="Where the request came from.")
    action: str = Field(description="`cancel`, `replay`, `change`, `pause`, `set`, `delete`, ...")
    target_type: str = Field(description="`job`, `operation`, `flow`, `queue`, `kind`, `lane`, `schedule`, `app`, ...")
    target: str
    ending: Ending = Field(
        description="`unknown` while it goes on, and for ever if its process died or the database went away"
        " meanwhile: it may or may not have been carried out."
    )
    refused: str | None = Field(description="Why nothing was done.")
    before: Any = Field(description="The changed values, before. Long values appear as their size; no secrets.")
    after: Any = Field(description="The changed values, after.")

    @classmethod
    def of(cls, noted: Noted, principal: Principal) -> "ActionOut":
        same = ("id", "at", "address", "action", "target_type", "target", "ending", "refused")
        return cls(
            **{name: getattr(noted, name) for name in same},
            actor=ActorOut(id=noted.principal, name=noted.principal_name),
            before=_shown(noted.before, principal),
            after=_shown(noted.after, principal),
        )


class ActionList(BaseModel):
    actions: list[ActionOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


async def _filter(
    actor: Annotated[Text | None, Query(description="An actor's id")] = None,
    action: Text | None = None,
    target: Annotated[Text | None, Query(description="The id or the name of what was acted on")] = None,
    target_type: Text | None = None,
    after: Annotated[Moment | None, Query(description="At or after this time")] = None,
    before: Annotated[Moment | None, Query(description="Before then")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page")] = None,
) -> TrailFilter:
    beyond = decode(_cursor, cursor) if cursor else None
    return TrailFilter(actor, action, target_type, target, after, before, beyond)


@router.get("", dependencies=guards(Scope.ADMIN), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def list_audit(
    resources: ResourcesDep,
    principal: PrincipalDep,
    wanted: Annotated[TrailFilter, Depends(_filter)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> ActionList:
    """List what operators did, newest first: over the API, on the dashboard, with `postlude` on the command line.

    What applications recorded with `write_audit` is at `/v1/audit-log`.
    """
    found = await in_time(_read(resources, wanted, limit + 1))
    more = len(found) > limit
    return ActionList(
        actions=[ActionOut.of(one, principal) for one in found[:limit]],
        next_cursor=encode([found[limit - 1].at.isoformat(), found[limit - 1].id]) if more else None,
    )


async def _read(resources: Resources, wanted: TrailFilter, limit: int) -> list[Noted]:
    async with resources.ledger.read() as connection:
        return list(await list_actions(connection, wanted, limit))


def _shown(part: Any, principal: Principal) -> Any:
    if principal.sees_args or not isinstance(part, dict):
        return part
    return {name: None if name in OF_ARGS else value for name, value in part.items()}
