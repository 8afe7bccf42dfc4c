"""The catalogue over HTTP."""

from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from jobs import Kind
from jobs.kit.names import did_you_mean
from service import agreed_time
from service.access.principal import Scope, is_listed
from service.api import pauses
from service.api.pauses import PAUSE_ERRORS, RESUME_ERRORS, later
from service.errors import KindNotFound, LedgerUnavailable
from service.lanes.outlook import Overview
from service.ledger.deadline import in_time
from service.ledger.reads.labels import Label, find_label, list_labels
from service.web.body import described
from service.web.deps import LanesDep, OperatorDep, PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.lane_requests import PauseRequest
from service.web.moments import ShownMoment
from service.web.problems import responses

log = structlog.get_logger(__name__)
MOST_LABELS = 500
router = APIRouter(prefix="/v1/kinds", tags=["kinds"])


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
    paused: bool | None = Field(description="null: the ledger does not answer.")
    paused_until: ShownMoment | None = Field(description="null while it is paused means until it is resumed.")

    @classmethod
    def of(cls, kind: Kind[Any, Any], overview: Overview | None) -> "KindOut":
        return cls(
            name=kind.name,
            description=kind.description,
            args_schema=kind.args_schema,
            timeout=kind.timeout.total_seconds(),
            max_attempts=kind.max_attempts,
            queue=kind.queue,
            cron=kind.cron,
            catch_up=kind.catch_up,
            **_pause(kind.name, overview),
        )


class LabelOut(BaseModel):
    """What jobs of a kind count as, e.g. one function of an app."""

    name: str
    kind: str | None = Field(description="The kind of its jobs; null once these are past their retention.")
    counts: dict[str, int] = Field(description="How many were `enqueued`, `started`, `succeeded`, `failed`, ...")
    paused: bool | None = Field(description="null: the ledger does not answer.")
    paused_until: ShownMoment | None = Field(description="null while it is paused means until it is resumed.")

    @classmethod
    def of(cls, label: Label, overview: Overview | None) -> "LabelOut":
        return cls(name=label.name, kind=label.kind, counts=dict(label.counts), **_pause(label.name, overview))


class KindList(BaseModel):
    kinds: list[KindOut]
    labels: list[LabelOut] = Field(description=f"The labels that have jobs; the first {MOST_LABELS} by name.")


def _pause(name: str, overview: Overview | None) -> dict[str, Any]:
    if overview is None:
        return {"paused": None, "paused_until": None}
    pause = overview.pause_of(f"kind:{name}", agreed_time.now())
    return {"paused": pause is not None, "paused_until": None if pause is None else pause.paused_until}


@router.get(
    "", dependencies=guards(Scope.READ, narrowed=True), responses={**UNCHANGED, **responses(401, 403, 421, 422)}
)
async def list_kinds(resources: ResourcesDep, lanes: LanesDep, principal: PrincipalDep) -> KindList:
    """List the kinds of job that can be enqueued, each with the JSON Schema of its args.

    `labels` lists what jobs of a kind count as, such as the functions of apps that `call_app` calls.
    """

    async def read() -> list[Label]:
        async with resources.ledger.read() as connection:
            return await list_labels(connection, MOST_LABELS)

    overview, labels = None, list[Label]()
    try:
        overview, labels = await in_time(lanes.outlook.overview()), await in_time(read())
    except LedgerUnavailable as error:
        log.debug("labels_not_read", error=str(error))
    return KindList(
        kinds=[
            KindOut.of(kind, overview)
            for name, kind in sorted(resources.catalogue.items())
            if is_listed(name, principal.kinds)
        ],
        labels=[
            LabelOut.of(label, overview)
            for label in labels
            if is_listed(label.name, principal.kinds) or is_listed(label.kind or "", principal.kinds)
        ],
    )


async def _named(name: Text, resources: ResourcesDep, lanes: LanesDep) -> "Kind[Any, Any] | Label":
    """Return the kind, or else the label, of this name. Raises `KindNotFound`."""
    if (kind := resources.catalogue.get(name)) is not None:
        return kind

    async def find() -> Label | None:
        async with resources.ledger.read() as connection:
            return await find_label(connection, name)

    label = await in_time(find()) if "." in name else None
    if label is None and _pause(name, await in_time(lanes.outlook.overview()))["paused"]:
        label = Label(name, None, {})  # the pause outlives the jobs
    if label is None:
        raise KindNotFound(
            f"There is no kind {name!r}, and no job with that label.{did_you_mean(name, resources.catalogue)}"
            f" Known kinds: {', '.join(sorted(resources.catalogue))}."
        )
    return label


NamedDep = Annotated[Kind[Any, Any] | Label, Depends(_named)]


async def _shown(named: Kind[Any, Any] | Label, lanes: LanesDep) -> KindOut | LabelOut:
    overview = await in_time(lanes.outlook.overview())
    return LabelOut.of(named, overview) if isinstance(named, Label) else KindOut.of(named, overview)


_LATER = later(KindOut | LabelOut)


@router.post(
    "/{name:text}/pause",
    dependencies=guards(Scope.OPERATE),
    responses={**_LATER, **PAUSE_ERRORS},
    openapi_extra=described(PauseRequest, required=False),
)
async def pause_kind(
    named: NamedDep, request: Request, response: Response, lanes: LanesDep, operator: OperatorDep
) -> KindOut | LabelOut:
    """Pause a kind or a label, for a while or until it is resumed.

    Running jobs go on; the others stay queued.
    """
    await pauses.pause(request, response, lanes, operator, f"kind:{named.name}")
    return await _shown(named, lanes)


@router.post("/{name:text}/resume", dependencies=guards(Scope.OPERATE), responses={**_LATER, **RESUME_ERRORS})
async def resume_kind(
    named: NamedDep, response: Response, lanes: LanesDep, operator: OperatorDep
) -> KindOut | LabelOut:
    """End the pause of a kind or a label."""
    await pauses.resume(response, lanes, operator, f"kind:{named.name}")
    return await _shown(named, lanes)
