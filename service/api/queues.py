"""Queues over HTTP: what waits on each, and whether it is paused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from jobs.kit.names import did_you_mean
from service.access.principal import Scope, is_listed
from service.api import pauses
from service.api.pauses import PAUSE_ERRORS, RESUME_ERRORS, later
from service.errors import QueueNotFound
from service.lane_rules import Rule
from service.lanes.lanes import Lanes
from service.ledger.deadline import in_time
from service.ledger.reads.counts import QueueCounts, count_by_queue
from service.resources import Resources
from service.web.body import described
from service.web.deps import LanesDep, OperatorDep, PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.lane_requests import PauseRequest
from service.web.moments import ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/queues", tags=["queues"])


class QueueOut(BaseModel):
    name: str
    waiting: int = Field(description="Jobs that are scheduled, queued or retrying.")
    oldest_age: float | None = Field(description="How many seconds the oldest waiting job has been due; null: none is.")
    running: int
    paused: bool
    paused_until: ShownMoment | None = Field(description="null while it is paused means until it is resumed.")


class QueueList(BaseModel):
    queues: list[QueueOut]


@router.get(
    "", dependencies=guards(Scope.READ, narrowed=True), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)}
)
async def list_queues(resources: ResourcesDep, lanes: LanesDep, principal: PrincipalDep) -> QueueList:
    """List the queues that kinds name, that this API or a living worker knows, or that have jobs."""
    queues = await in_time(_read(resources, lanes))
    return QueueList(queues=[queue for name, queue in queues.items() if is_listed(name, principal.queues)])


async def _known_queue(name: Text, resources: ResourcesDep, lanes: LanesDep) -> str:
    """Return the name of a queue. Raises `QueueNotFound`."""
    known = (await in_time(_read(resources, lanes))).keys()
    if name not in known:
        meant = did_you_mean(name, known)
        raise QueueNotFound(f"There is no queue {name!r}.{meant} Known queues: {', '.join(known)}.")
    return name


QueueName = Annotated[str, Depends(_known_queue)]


@router.post(
    "/{name:text}/pause",
    dependencies=guards(Scope.OPERATE),
    responses={**later(QueueOut), **PAUSE_ERRORS},
    openapi_extra=described(PauseRequest, required=False),
)
async def pause_queue(
    name: QueueName,
    request: Request,
    response: Response,
    resources: ResourcesDep,
    lanes: LanesDep,
    operator: OperatorDep,
) -> QueueOut:
    """Pause a queue, for a while or until it is resumed. Running jobs go on; the others stay queued."""
    await pauses.pause(request, response, lanes, operator, f"queue:{name}")
    return (await in_time(_read(resources, lanes)))[name]


@router.post("/{name:text}/resume", dependencies=guards(Scope.OPERATE), responses={**later(QueueOut), **RESUME_ERRORS})
async def resume_queue(
    name: QueueName, response: Response, resources: ResourcesDep, lanes: LanesDep, operator: OperatorDep
) -> QueueOut:
    """End the pause of a queue."""
    await pauses.resume(response, lanes, operator, f"queue:{name}")
    return (await in_time(_read(resources, lanes)))[name]


async def _read(resources: Resources, lanes: Lanes) -> Mapping[str, QueueOut]:
    """Read all queues, by name."""
    overview = await lanes.outlook.overview()
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        counts = await count_by_queue(connection, now)
    paused = {
        rule.key.removeprefix("queue:"): rule for rule in overview.paused.values() if rule.key.startswith("queue:")
    }
    names = sorted(resources.known_queues | overview.queues | counts.keys() | paused.keys())
    return {name: _out(name, counts.get(name, QueueCounts()), paused.get(name), now) for name in names}


def _out(name: str, counts: QueueCounts, pause: Rule | None, now: datetime) -> QueueOut:
    oldest = counts.oldest_due_at
    is_paused = pause is not None and pause.is_paused(now)
    return QueueOut(
        name=name,
        waiting=counts.waiting,
        oldest_age=None if oldest is None else max(0.0, (now - oldest).total_seconds()),
        running=counts.running,
        paused=is_paused,
        paused_until=pause.paused_until if pause is not None and is_paused else None,
    )
