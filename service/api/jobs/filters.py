"""The query of a list, and the filter of a bulk replay: which jobs are meant."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.api.jobs.list_cursor import resume
from service.ledger.reads.listing import Filter
from service.ledger.states import State
from service.web.deps import Text
from service.web.moments import Moment

_MOST_VALUES = 20
_SEVERAL = Query(default_factory=list, max_length=_MOST_VALUES, description="Sent several times: any of these.")
_WHEN_FINISHED = "Jobs that ended {} then, in the order of their ends"
_CURSOR = "`next_cursor` of the page before"


async def list_filter(
    state: Annotated[list[State], _SEVERAL],
    kind: Annotated[list[Text], _SEVERAL],
    queue: Annotated[list[Text], _SEVERAL],
    error_type: Annotated[
        list[Text],
        Query(
            default_factory=list,
            max_length=_MOST_VALUES,
            description="`error.type` of the job, e.g. `TimeoutError`. Sent several times: any of these.",
        ),
    ],
    tag: Text | None = None,
    lane: Annotated[Text | None, Query(description="A lane of the job, named by its request or its kind's")] = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    finished_after: Annotated[Moment | None, Query(description=_WHEN_FINISHED.format("after"))] = None,
    finished_before: Annotated[Moment | None, Query(description=_WHEN_FINISHED.format("before"))] = None,
    order: Annotated[Literal["desc", "asc"], Query(description="Newest first, or oldest first")] = "desc",
    page: Annotated[str | None, Query(alias="cursor", description=_CURSOR)] = None,
) -> Filter:
    """Read the query of a list. Raises `BadCursor`."""
    wanted = Filter(
        states=_each_once(state),
        kinds=_each_once(kind),
        queues=_each_once(queue),
        error_types=_each_once(error_type),
        tag=tag,
        lane=lane,
        created_after=created_after,
        created_before=created_before,
        finished_after=finished_after,
        finished_before=finished_before,
        ascending=order == "asc",
    )
    return resume(wanted, page) if page else wanted


def _each_once(values: list[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


_State = Literal["failed", "cancelled"]
_Names = Annotated[
    Annotated[list[str], Field(min_length=1, max_length=_MOST_VALUES)] | None,
    BeforeValidator(_listed, json_schema_input_type=str | list[str] | None),
]
_States = Annotated[
    Annotated[list[_State], Field(min_length=1)] | None,
    BeforeValidator(_listed, json_schema_input_type=_State | list[_State] | None),
]


class ReplayFilter(BaseModel):
    """Which jobs to replay: they match every member that is sent, at least one. Any value of a list will do."""

    model_config = ConfigDict(extra="forbid")

    state: _States = Field(None, description="Default: both.")
    kind: _Names = None
    queue: _Names = None
    error_type: _Names = Field(None, description="`error.type` of the job, e.g. `TimeoutError`.")
    tag: str | None = None
    lane: str | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    finished_after: Moment | None = None
    finished_before: Moment | None = None

    @model_validator(mode="after")
    def _narrows(self) -> "ReplayFilter":
        if all(value is None for _, value in self):
            raise ValueError(f'name at least one of {", ".join(type(self).model_fields)}, e.g. {{"state": "failed"}}')
        return self

    def filter(self) -> Filter:
        return Filter(
            states=_each_once(self.state or []),
            kinds=_each_once(self.kind or []),
            queues=_each_once(self.queue or []),
            error_types=_each_once(self.error_type or []),
            tag=self.tag,
            lane=self.lane,
            created_after=self.created_after,
            created_before=self.created_before,
            finished_after=self.finished_after,
            finished_before=self.finished_before,
        )
