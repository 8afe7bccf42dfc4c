"""`GET /v1/audit-log`: the entries written by `write_audit`."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from service.access.principal import Scope
from service.audit_log.chain import Kept
from service.audit_log.exporting import begin_export
from service.audit_log.places import cursor_behind, read_cursor
from service.audit_log.reads import Wanted, list_entries, said
from service.errors import NotForThisKey
from service.ledger.deadline import in_time
from service.web.cursor import NEXT_CURSOR
from service.web.deps import PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.moments import Moment
from service.web.problems import responses

router = APIRouter(prefix="/v1/audit-log", tags=["audit log"])

_JSON_LINES = "application/x-ndjson"
_Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class EntryOut(BaseModel):
    """An entry of the audit log."""

    seq: int = Field(description="Entries are numbered from 1, without gaps, in the order in which they were recorded.")
    at: _Moment = Field(description="When it was done.")
    recorded_at: _Moment = Field(description="When it was recorded.")
    actor: str
    action: str
    target: str | None
    origin: Any = Field(description="Where the request came from: `address`, `user_agent`, `request_id`.")
    data: Any
    job_id: str | None = Field(description="The job that wrote it; null: an entry by the log itself.")
    key_id: str | None = Field(description="The key that made the hash; null: none, so anybody can make it.")
    previous_hash: str = Field(description="The hash of the entry before.")
    hash: str = Field(description="Over all of the above; see docs/audit-log.md.")


class EntryList(BaseModel):
    entries: list[EntryOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


async def _wanted(
    actor: Text | None = None,
    action: Text | None = None,
    target: Text | None = None,
    after: Annotated[Moment | None, Query(description="Done at or after this time")] = None,
    before: Annotated[Moment | None, Query(description="Done before this time")] = None,
    page: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the previous page")] = None,
) -> Wanted:
    return Wanted(actor, action, target, after, before, read_cursor(page))


@router.get("", dependencies=guards(Scope.ADMIN), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def list_audit_log(
    resources: ResourcesDep,
    principal: PrincipalDep,
    wanted: Annotated[Wanted, Depends(_wanted)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> EntryList:
    """List entries, latest action first."""

    async def read() -> Sequence[Kept]:
        async with resources.ledger.read() as connection:
            return await list_entries(connection, wanted, limit + 1)

    found = await in_time(read())
    return EntryList(
        entries=[EntryOut(**_shown(kept, sees_args=principal.sees_args)) for kept in found[:limit]],
        next_cursor=cursor_behind(found[:limit]) if len(found) > limit else None,
    )


def _shown(kept: Kept, *, sees_args: bool) -> dict[str, Any]:
    return said(kept) if sees_args else said(kept) | {"origin": None, "data": None}


@router.get(
    "/export",
    dependencies=guards(Scope.ADMIN),
    response_class=StreamingResponse,
    responses={
        200: {"description": "A line of JSON for each entry", "content": {_JSON_LINES: {"schema": {"type": "string"}}}},
        **responses(401, 403, 421, 422, 503),
    },
)
async def export_audit_log(
    resources: ResourcesDep,
    principal: PrincipalDep,
    after: Annotated[int, Query(ge=0, description="Only entries with a greater number")] = 0,
) -> StreamingResponse:
    """Stream all entries in order, with everything their hashes cover. A stream that breaks off is incomplete."""
    if not principal.sees_args:
        raise NotForThisKey("This key may not see args, and so may not see the contents of entries.")
    lines = await begin_export(resources.ledger.database, after=after)
    return StreamingResponse(lines, media_type=_JSON_LINES)
