"""The body of a request for an operation: an action, the jobs that it is for, and at what pace."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import from_json, to_json

from jobs import Kind
from service import agreed_time
from service.api.state import ApiState, api_state_of
from service.errors import ArgsInvalid, located
from service.ledger.operations import Action, NewOperation
from service.ledger.states import REPLAYABLE
from service.lifecycle.change import Wanted
from service.lifecycle.new_job import new_id
from service.lifecycle.operations.changing import written_change
from service.lifecycle.operations.job_filter import JobFilter
from service.requests.parsing import parse
from service.web.body import read_body
from service.web.room import MIB

_LOWEST_RATE = 0.01
_HIGHEST_RATE = 1_000_000


class OperationRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    action: Action
    filter: JobFilter
    change: dict[str, Any] | None = Field(None, description="With the action `change`: what jobs are to have.")
    rate: float | None = Field(
        None, ge=_LOWEST_RATE, le=_HIGHEST_RATE, description="Members a second at most. Default: as fast as it goes."
    )
    name: str | None = Field(None, min_length=1, max_length=100, description="Anything to know it by.")
    dry_run: bool = Field(False, description="Change nothing, only count what would be done.")

    @model_validator(mode="after")
    def _fit_together(self) -> "OperationRequest":
        if self.action == "replay" and set(self.filter.state or ()) - set(REPLAYABLE):
            raise ValueError("filter.state: only failed and cancelled jobs can be replayed")
        if (self.action == "change") != (self.change is not None):
            raise ValueError("change is what the action `change` sets: the one goes with the other")
        return self


_adapter: TypeAdapter[OperationRequest] = TypeAdapter(OperationRequest)


async def new_operation(request: Request, principal: str | None) -> NewOperation:
    """Read the body into an operation.

    Raises `BodyMalformed`, `ArgsInvalid` and `QueueUnknown`, and what reading a body does.
    """
    state = api_state_of(request)
    with state.room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(_adapter, body, {})
    if (wanted.change or {}).get("lane") is not None:
        await state.lanes.refuse_beside_stock_worker()
    return NewOperation(
        id=new_id(),
        action=wanted.action,
        filter=as_sent(body),
        created_at=agreed_time.now(),
        name=wanted.name,
        change=None if wanted.change is None else written_change(_change(state, wanted)),
        rate=wanted.rate,
        dry_run=wanted.dry_run,
        principal=principal,
    )


def as_sent(body: bytes) -> str:
    """Return the filter of a body as it was sent."""
    return to_json(from_json(body)["filter"]).decode()


def _change(state: ApiState, wanted: OperationRequest) -> Wanted:
    """Read a change as `PATCH /v1/jobs/{id}` does. Args are changed where the filter names the one kind they are of."""
    kinds = wanted.filter.kind or []
    kind = state.resources.catalogue.get(kinds[0]) if len(kinds) == 1 else None
    if "args" in (wanted.change or {}):
        with located("change", "args"):
            _check_args_changeable(kind)
    adapter = state.requests.changes.of(kind.name if kind else "")
    with located("change"):
        change = parse(adapter, to_json(wanted.change), {}, kind=kind).wanted()
    with located("change", "queue"):
        state.resources.check_queue(change.get("queue"))
    return change


def _check_args_changeable(kind: Kind[Any, Any] | None) -> None:
    if kind is None:
        raise ArgsInvalid("To change the args of many jobs, name the one kind that they are of: filter.kind.")
    if kind.has_secrets:
        raise ArgsInvalid(f"The args of {kind.name} hold secrets, which operations do not keep. Change job by job.")
