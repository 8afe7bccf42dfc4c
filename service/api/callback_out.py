"""Callbacks as callers see them: of jobs and of flows."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from service.ledger.models import Event
from service.ledger.reads.flows import CallbackRow


class CallbackOut(BaseModel):
    event: Event
    kind: str
    args: Any = Field(description="As they were sent, secrets masked. A URL's job gets `event` and `data` at the end.")
    jobs: list[str] = Field(description="The ids of the jobs enqueued for it so far, the latest 100.")

    @classmethod
    def of(cls, row: CallbackRow) -> "CallbackOut":
        template = from_json(row.template)
        return cls(event=row.event, kind=template["kind"], args=from_json(template["args"]), jobs=list(row.job_ids))
