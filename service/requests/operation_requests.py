"""The body of a request for an operation: an action, the jobs that it is for, and the pace."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo, field_validator, model_validator
from pydantic_core import from_json, to_json

from jobs import Kind
from service import agreed_time
from service.errors import ArgsInvalid, located
from service.ledger.operations import Action, NewOperation
from service.ledger.states import REPLAYABLE
from service.lifecycle.change import Wanted
from service.lifecycle.new_job import new_id
from service.lifecycle.operations.changing import written_change
from service.lifecycle.operations.job_filter import JobFilter
from service.requests.change_requests import ChangeRequests
from service.requests.known import Known
from service.requests.parsing import parse

_LOWEST_RATE = 0.01
_HIGHEST_RATE = 1_000_000


_Rate = Annotated[float, Field(ge=_LOWEST_RATE, le=_HIGHEST_RATE)]


class RateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rate: _Rate | None = Field(description="At most this many members a second; null: as fast as possible.")


class OperationRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    action: Action
    filter: JobFilter
    change: dict[str, Any] | None = Field(None, description="With the action `change`: the new values.")
    rate: _Rate | None = Field(None, description="At most this many members a second. Default: no limit.")
    name: str | None = Field(None, min_length=1, max_length=100, description="A name to recognise it by.")
    dry_run: bool = Field(False, description="Change nothing, only count what would change.")

    @field_validator("filter")
    @classmethod
    def _filter_fits_action(cls, wanted: JobFilter, info: ValidationInfo) -> JobFilter:
        if info.data.get("action") == "replay" and set(wanted.state or ()) - set(REPLAYABLE):
            raise ValueError("`state` may only be failed or cancelled, because no other job can be replayed")
        return wanted

    @model_validator(mode="after")
    def _fit_together(self) -> "OperationRequest":
        if self.action == "change" and self.change is None:
            raise ValueError("the action `change` needs the field `change`, with the new values")
        if self.action != "change" and self.change is not None:
            raise ValueError("the field `change` goes with the action `change` only")
        return self

    @property
    def sets_lane(self) -> bool:
        """Whether it puts jobs into a lane, which arq's own worker does not know."""
        return (self.change or {}).get("lane") is not None


OPERATION: TypeAdapter[OperationRequest] = TypeAdapter(OperationRequest)
RATE: TypeAdapter[RateRequest] = TypeAdapter(RateRequest)


def new_operation(
    known: Known, changes: ChangeRequests, wanted: OperationRequest, filter_sent: str, principal: str | None
) -> NewOperation:
    """Make the operation that a request asks for; `filter_sent` is the JSON of its filter.

    Raises `ArgsInvalid` and `QueueUnknown`.
    """
    change = None if wanted.change is None else _change(known, changes, wanted)
    return NewOperation(
        id=new_id(),
        action=wanted.action,
        filter=filter_sent,
        created_at=agreed_time.now(),
        name=wanted.name,
        change=None if change is None else written_change(change),
        rate=wanted.rate,
        dry_run=wanted.dry_run,
        principal=principal,
    )


def as_sent(body: bytes) -> str:
    """Return the filter of a body as it was sent."""
    return to_json(from_json(body)["filter"]).decode()


def _change(known: Known, changes: ChangeRequests, wanted: OperationRequest) -> Wanted:
    """Read a change as `PATCH /v1/jobs/{id}` does. Args can be changed if the filter names a single kind."""
    kinds = wanted.filter.kind or []
    kind = known.catalogue.get(kinds[0]) if len(kinds) == 1 else None
    if "args" in (wanted.change or {}):
        with located("change", "args"):
            _check_args_changeable(kind)
    adapter = changes.of(kind.name if kind else "")
    with located("change"):
        change = parse(adapter, to_json(wanted.change), {}, kind=kind).wanted()
    with located("change", "queue"):
        known.check_queue(change.get("queue"))
    return change


def _check_args_changeable(kind: Kind[Any, Any] | None) -> None:
    if kind is None:
        raise ArgsInvalid("To change the args of many jobs, name their one kind in filter.kind.")
    if kind.has_secrets:
        raise ArgsInvalid(f"The args of {kind.name} hold secrets, which operations do not keep. Change job by job.")
