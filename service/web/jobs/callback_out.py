"""Callbacks as callers see them: of jobs and of flows."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from service.access.principal import Principal
from service.ledger.models import Event
from service.ledger.reads.flows import CallbackRow


class CallbackOut(BaseModel):
    event: Event
    kind: str
    args: Any = Field(description="As sent, with secrets masked. The job for a URL also gets `event` and `data`.")
    jobs: list[str] = Field(description="The ids of the jobs enqueued for it so far, at most the latest 100.")

    def shown_to(self, principal: Principal) -> "CallbackOut":
        """Return it without what the principal may not see."""
        return self if principal.sees_args else self.model_copy(update={"args": None})

    @classmethod
    def of(cls, row: CallbackRow) -> "CallbackOut":
        template = from_json(row.template)
        filled = {template["told"], "event"} if template.get("told") else set()
        args = {name: value for name, value in from_json(template["args"]).items() if name not in filled}
        return cls(event=row.event, kind=template["kind"], args=args, jobs=list(row.job_ids))
