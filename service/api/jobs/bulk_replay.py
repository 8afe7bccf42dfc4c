"""Replaying many jobs at once: all jobs that match a filter."""

from collections import Counter

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service import agreed_time
from service.access.limits import restricted_filter
from service.access.principal import Scope
from service.errors import FilterInvalid
from service.ledger.deadline import in_time
from service.ledger.operations import NewOperation, Place
from service.lifecycle.new_job import new_id
from service.lifecycle.operations.bulk_replay import BulkReplay
from service.lifecycle.operations.job_filter import ReplayFilter
from service.requests.operation_requests import as_sent
from service.requests.parsing import parse
from service.web.body import described, read_body
from service.web.cursor import Text, decode, encode
from service.web.deps import LifecycleDep, OperatorDep, PrincipalDep
from service.web.guards import guards
from service.web.moments import Moment
from service.web.problems import responses
from service.web.room import MIB
from service.web.state import state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

# Leaves a batch in progress enough of the 5 s for an answer.
_REPLAYS_FOR_S = 2.5


class BulkReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    filter: ReplayFilter
    dry_run: bool = Field(False, description="Only report what would be replayed.")
    cursor: str | None = Field(None, max_length=1000, description="Continue at an answer's `next_cursor`.")


class BulkReplayOut(BaseModel):
    matched: int = Field(description="How many jobs were looked at.")
    replayed: int = Field(description="How many of them were replayed or, in a dry run, would be.")
    skipped: dict[str, int] = Field(
        description="How many were not, by reason: `unique_key_taken`, `state_forbids`, and, for jobs that could not"
        " run now, `kind_unknown`, `queue_unknown`, `args_invalid`."
    )
    dry_run: bool
    more: bool = Field(description="Time ran out before the end. Send the same with `next_cursor`.")
    next_cursor: str | None = Field(None, description="Where to continue; null when all were looked at.")
    operation: str | None = Field(None, description="The operation that replays them; null in a dry run.")


_adapter: TypeAdapter[BulkReplayRequest] = TypeAdapter(BulkReplayRequest)
_place: TypeAdapter[tuple[Moment, Text]] = TypeAdapter(tuple[Moment, Text])
# An operation, and what was already reported: how many members it was done on, and how many failed, by reason.
_told: TypeAdapter[tuple[Text, int, dict[str, int]]] = TypeAdapter(tuple[Text, int, dict[str, int]])


@router.post(
    "/replay",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(400, 401, 403, 404, 409, 413, 415, 421, 422, 503, 507),
    openapi_extra=described(BulkReplayRequest, required=True),
)
async def replay_jobs(
    request: Request, lifecycle: LifecycleDep, operator: OperatorDep, principal: PrincipalDep
) -> BulkReplayOut:
    """Run all matching failed and cancelled jobs again, each under its own id; attempts stay in their history.

    Answers within seconds. If `more` says that some jobs are left, a worker goes on with the `operation`; the same
    request with `next_cursor` waits for it, continues by itself if there is no worker, and reports what was done since.
    Safe to repeat. A `dry_run` changes nothing, and reports what would be replayed. Jobs that could not run now,
    because their kind, queue or args are no longer valid, stay as they are and count as `skipped`.
    """
    with state_of(request).room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(_adapter, body, {}, refusals={"filter": FilterInvalid})
    new = NewOperation(
        id=new_id(),
        action="replay",
        filter=restricted_filter(principal, as_sent(body)),
        created_at=agreed_time.now(),
        principal=principal.id,
    )
    if wanted.dry_run:
        return await in_time(_rehearse(lifecycle.bulk_replay, new, wanted.cursor))
    names = wanted.filter.model_dump(mode="json", exclude_none=True)

    async def replay() -> BulkReplayOut:
        async with operator.action("replay", "operation", new.id, filter=names) as entry:
            entry.after = replayed = await _replay(lifecycle.bulk_replay, new, wanted.cursor)
            entry.target = replayed.operation or new.id
        return replayed

    return await in_time(replay(), writes=True)


async def _rehearse(replays: BulkReplay, new: NewOperation, cursor: str | None) -> BulkReplayOut:
    beyond = None if cursor is None else Place(*decode(_place, cursor))
    found = await replays.rehearse(new, beyond, _REPLAYS_FOR_S)
    return BulkReplayOut(
        matched=found.matched,
        replayed=found.matched - found.skipped.total(),
        skipped=dict(found.skipped),
        dry_run=True,
        more=found.reached is not None,
        next_cursor=None if found.reached is None else encode(list(found.reached)),
        operation=None,
    )


async def _replay(replays: BulkReplay, new: NewOperation, cursor: str | None) -> BulkReplayOut:
    if cursor is None:
        replayed, skipped = 0, Counter[str]()
        operation = await replays.begin(new, _REPLAYS_FOR_S)
    else:
        operation_id, replayed, told = decode(_told, cursor)
        skipped = Counter(told)
        operation = await replays.go_on(operation_id, new.filter, _REPLAYS_FOR_S)
    skipped_since = Counter(operation.skipped) - skipped
    replayed_since = operation.done - replayed
    return BulkReplayOut(
        matched=replayed_since + skipped_since.total(),
        replayed=replayed_since,
        skipped=dict(skipped_since),
        dry_run=False,
        more=operation.is_live,
        next_cursor=encode([operation.id, operation.done, operation.skipped]) if operation.is_live else None,
        operation=operation.id,
    )
