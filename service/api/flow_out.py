"""Flows as callers see them."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from service.access.principal import Principal
from service.ledger.reads.flows import FlowCounts
from service.ledger.states import State
from service.web.cursor import NEXT_CURSOR
from service.web.jobs.callback_out import CallbackOut
from service.web.jobs.job_out import ErrorOut
from service.web.moments import ShownMoment

FlowState = Literal[State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED]


class FlowCreated(BaseModel):
    id: str
    jobs: dict[str, str] = Field(description="The ids of its jobs, by their names.")


class FlowSummary(BaseModel):
    """A flow: it runs while any of its jobs has not ended."""

    id: str
    name: str | None
    state: FlowState = Field(
        description="`failed` if a job has failed; `cancelled` if none has failed but one was cancelled."
    )
    created_at: ShownMoment
    finished_at: ShownMoment | None = Field(
        description="The latest end of its jobs; null while it runs. Without jobs of its own it ended when it was made."
    )
    counts: dict[State, int] = Field(description="How many of its jobs are in each state.")


class FlowJobOut(BaseModel):
    name: str | None = Field(description="null: it joined the flow later.")
    id: str
    kind: str
    label: str = Field(description="What it counts as: its kind, or an app's function.")
    state: State
    after: list[str] = Field(description="What it comes after: names of jobs of this flow, or ids of other jobs.")
    error: ErrorOut | None

    @classmethod
    def of(cls, row: RowMapping, after: Sequence[str]) -> "FlowJobOut":
        error = row["error_type"]
        return cls(
            name=row["flow_name"],
            id=row["id"],
            kind=row["kind"],
            label=row["label"],
            state=row["state"],
            after=list(after),
            error=None if error is None else ErrorOut(type=error, message=row["error_message"] or ""),
        )


class FlowOut(FlowSummary):
    replayed_at: ShownMoment | None = Field(
        description="When it was last replayed as a whole. A replay that changed no job, or was cut off by an "
        "error, does not count. null: never, or too long ago for the trail."
    )
    callbacks: list[CallbackOut] = Field(description="Enqueued when it ends.")
    jobs: list[FlowJobOut] = Field(description="Each job after the jobs that it comes after.")
    next_cursor: str | None = Field(description=NEXT_CURSOR)

    def shown_to(self, principal: Principal) -> "FlowOut":
        """Return it without what the principal may not see."""
        return self.model_copy(update={"callbacks": [one.shown_to(principal) for one in self.callbacks]})


class FlowList(BaseModel):
    flows: list[FlowSummary]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


def summary(flow: RowMapping, counts: FlowCounts) -> dict[str, Any]:
    """Return the fields of `FlowSummary`."""
    return {
        "id": flow["id"],
        "name": flow["name"],
        "state": counts.state,
        "created_at": flow["created_at"],
        "finished_at": counts.finished_at,
        "counts": counts.states,
    }
