"""The query of a list: which jobs it selects."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from service.ledger.reads.listing import Filter
from service.ledger.reads.matching import LONGEST_TEXT
from service.ledger.states import State
from service.web.deps import Text
from service.web.jobs.list_cursor import resume
from service.web.jobs.path_filters import PathFilters, path_filters
from service.web.moments import Moment

_MOST_VALUES = 20
_SEVERAL = Query(default_factory=list, max_length=_MOST_VALUES, description="Sent several times: any of these.")
_ERROR_TYPES = Query(
    default_factory=list,
    max_length=_MOST_VALUES,
    description="`error.type` of the job, e.g. `TimeoutError`. Sent several times: any of these.",
)
_WHEN_FINISHED = "Jobs that ended {} this time, in the order in which they ended"
_CURSOR = "`next_cursor` of the page before"
_TEXT = "Text in the args, the metadata or the error, in upper or lower case. Searches 10,000 jobs a page."


async def list_filter(
    paths: Annotated[PathFilters, Depends(path_filters)],
    state: Annotated[list[State], _SEVERAL],
    kind: Annotated[list[Text], _SEVERAL],
    queue: Annotated[list[Text], _SEVERAL],
    error_type: Annotated[list[Text], _ERROR_TYPES],
    tag: Text | None = None,
    lane: Annotated[Text | None, Query(description="A lane of the job, from its request or its kind")] = None,
    flow: Annotated[Text | None, Query(description="A flow that the job is in")] = None,
    fingerprint: Annotated[Text | None, Query(description="The group of the job's latest failure")] = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    finished_after: Annotated[Moment | None, Query(description=_WHEN_FINISHED.format("after"))] = None,
    finished_before: Annotated[Moment | None, Query(description=_WHEN_FINISHED.format("before"))] = None,
    q: Annotated[str | None, Query(min_length=1, max_length=LONGEST_TEXT, description=_TEXT)] = None,
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
        flow=flow,
        fingerprint=fingerprint,
        created_after=created_after,
        created_before=created_before,
        finished_after=finished_after,
        finished_before=finished_before,
        ascending=order == "asc",
        args=paths.args,
        metadata=paths.metadata,
        text=q,
    )
    return resume(wanted, page) if page else wanted


def _each_once(values: list[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


FilterDep = Annotated[Filter, Depends(list_filter)]
