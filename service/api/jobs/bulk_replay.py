"""Replaying many jobs at once: all jobs that match a filter."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.api.jobs.actions import logged
from service.api.jobs.filters import ReplayFilter
from service.ledger.deadline import in_time
from service.lifecycle.bulk_replay import Reached
from service.web.body import parse, read_body
from service.web.cursor import Text, decode, encode
from service.web.deps import LifecycleDep, PrincipalDep
from service.web.guards import GUARDS
from service.web.moments import Moment
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

# Leaves a batch that was begun enough of the 5 s for an answer.
_REPLAYS_FOR_S = 2.5


class BulkReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    filter: ReplayFilter
    dry_run: bool = Field(False, description="Only tell what would be replayed.")
    cursor: str | None = Field(None, max_length=1000, description="Go on where an answer's `next_cursor` says.")


class BulkReplayOut(BaseModel):
    matched: int = Field(description="How many jobs were looked at.")
    replayed: int = Field(description="How many of them were replayed or, on a dry run, would be.")
    skipped: dict[str, int] = Field(
        description="How many were not, by reason: `unique_key_taken`, `state_forbids`, and, for jobs that could not"
        " run today, `kind_unknown`, `queue_unknown`, `args_invalid`."
    )
    dry_run: bool
    more: bool = Field(description="Not all were looked at in the time there is. Send the same with `next_cursor`.")
    next_cursor: str | None = Field(None, description="Where to go on; null when all were looked at.")


_adapter: TypeAdapter[BulkReplayRequest] = TypeAdapter(BulkReplayRequest)
_reached: TypeAdapter[tuple[Text, Moment, Text]] = TypeAdapter(tuple[Text, Moment, Text])
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BulkReplayRequest"}}},
    }
}


@router.post("/replay", responses=responses(400, 401, 403, 413, 415, 421, 422, 503, 507), openapi_extra=_BODY)
async def replay_jobs(request: Request, lifecycle: LifecycleDep, principal: PrincipalDep) -> BulkReplayOut:
    """Run all failed and cancelled jobs that match again, each under its own id; attempts stay in their history.

    Answers within seconds. If `more` says that some jobs are left, send the same with `next_cursor`. Safe to repeat. A
    `dry_run` changes nothing, and tells what would be replayed. Jobs that could not run today, since their kind, queue
    or args no longer fit, stay as they are and count as `skipped`.
    """
    with state_of(request).room.stay() as stay:
        wanted = parse(_adapter, await read_body(request, MIB, stay), {})
    beyond = None if wanted.cursor is None else Reached(*decode(_reached, wanted.cursor))
    replaying = lifecycle.replay_matching(
        wanted.filter.filter(), dry_run=wanted.dry_run, within_s=_REPLAYS_FOR_S, beyond=beyond
    )
    with logged(
        "replay", principal, filter=wanted.filter.model_dump(mode="json", exclude_none=True), dry_run=wanted.dry_run
    ):
        done = await in_time(replaying, writes=not wanted.dry_run)
    return BulkReplayOut(
        matched=done.matched,
        replayed=done.replayed,
        skipped=dict(done.skipped),
        dry_run=wanted.dry_run,
        more=done.left_at is not None,
        next_cursor=None if done.left_at is None else encode(list(done.left_at)),
    )
