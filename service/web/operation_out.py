"""Operations as callers see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from service.access.principal import Principal
from service.ledger.operations import Action, Operation, OperationState
from service.ledger.reads.operations import MemberFailed
from service.web.cursor import NEXT_CURSOR
from service.web.moments import ShownMoment

_UNKEPT = {"members_failed", "args_hidden"}
# The fields of a filter and of a change that reveal args.
_OF_ARGS = {"args", "metadata", "q"}


def without_args(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter, or a change, for callers who may not see args."""
    return {name: value for name, value in told.items() if name not in _OF_ARGS}


class MemberFailedOut(BaseModel):
    id: str = Field(description="The job's.")
    reason: str
    message: str | None


class OperationOut(BaseModel):
    """An action on all jobs that match a filter, and its progress."""

    id: str
    name: str | None
    action: Action
    state: OperationState = Field(
        description="`counting`, then `running`. A `stopped` or `failed` one continues when its job is replayed."
    )
    matched: int = Field(description="How many members were counted; those that no longer match later are left alone.")
    done: int = Field(description="Members that the action was applied to, or in a dry run would be.")
    failed: int = Field(description="Members that it could not be applied to.")
    skipped: dict[str, int] = Field(description="How many failed, by reason.")
    members_failed: list[MemberFailedOut] = Field([], description="The first 100 of `failed`; not in lists.")
    rate: float | None = Field(description="At most this many members a second; null: as fast as possible.")
    dry_run: bool
    filter: dict[str, Any] = Field(description="As it was sent.")
    change: dict[str, Any] | None = Field(description="What `change` sets.")
    error: str | None = Field(description="Why it ended early, unless a call stopped it.")
    created_at: ShownMoment = Field(description="Jobs enqueued later are not members.")
    started_at: ShownMoment | None = Field(description="When it had counted its members and went on to the first.")
    finished_at: ShownMoment | None
    job_id: str | None = Field(description="The job that carries it out; null for a moment, while the API does.")
    args_hidden: bool = Field(False, description="Args, metadata and texts are hidden from the caller.")

    def shown_to(self, principal: Principal) -> "OperationOut":
        """Return it without what the principal may not see."""
        if principal.sees_args:
            return self
        change = None if self.change is None else without_args(self.change)
        return self.model_copy(update={"filter": without_args(self.filter), "change": change, "args_hidden": True})

    @classmethod
    def of(cls, operation: Operation, failures: Sequence[MemberFailed] | None = None) -> "OperationOut":
        shown = {name: getattr(operation, name) for name in cls.model_fields if name not in _UNKEPT}
        shown |= {
            "filter": from_json(operation.filter),
            "change": None if operation.change is None else from_json(operation.change),
        }
        if failures is not None:
            shown["members_failed"] = [MemberFailedOut(**failure._asdict()) for failure in failures]
        return cls(**shown)


class OperationList(BaseModel):
    operations: list[OperationOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)
