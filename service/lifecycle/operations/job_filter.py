"""The filter of an operation, as requests write it and as the ledger stores it: which jobs are meant."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from service.ledger.operations import Action
from service.ledger.reads.listing import Filter
from service.ledger.reads.matching import LONGEST_TEXT, MOST_PATHS, PathIs, Scalar, path_is
from service.ledger.states import REPLAYABLE, State
from service.moments import Moment

T = TypeVar("T")
_MOST_VALUES = 20
_MOST_IDS = 1_000


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


def _checked_paths(conditions: "_Conditions") -> "_Conditions":
    _paths(conditions)
    return conditions


_Text = Annotated[str, Field(min_length=1)]
_Names = Annotated[
    Annotated[list[_Text], Field(min_length=1, max_length=_MOST_VALUES)] | None,
    BeforeValidator(_listed, json_schema_input_type=str | list[str] | None),
]
_Ids = Annotated[
    Annotated[list[_Text], Field(min_length=1, max_length=_MOST_IDS)] | None,
    BeforeValidator(_listed, json_schema_input_type=str | list[str] | None),
]
_States = Annotated[
    Annotated[list[State], Field(min_length=1)] | None,
    BeforeValidator(_listed, json_schema_input_type=State | list[State] | None),
]
_Values = Annotated[list[Scalar], Field(min_length=1, max_length=_MOST_VALUES)]
_Conditions = dict[str, Scalar | _Values]
_Paths = Annotated[_Conditions, Field(min_length=1, max_length=MOST_PATHS), AfterValidator(_checked_paths)] | None
_Replayable = Literal["failed", "cancelled"]
_ReplayableStates = Annotated[
    Annotated[list[_Replayable], Field(min_length=1)] | None,
    BeforeValidator(_listed, json_schema_input_type=_Replayable | list[_Replayable] | None),
]


class JobFilter(BaseModel):
    """Which jobs are meant: jobs that match every field that is sent. Send at least one.

    In a list, any value matches.
    """

    model_config = ConfigDict(extra="forbid")

    state: _States = None
    kind: _Names = None
    queue: _Names = None
    error_type: _Names = Field(None, description="`error.type` of the job, e.g. `TimeoutError`.")
    tag: _Text | None = None
    lane: _Text | None = None
    flow: _Text | None = Field(None, description="The id of a flow.")
    fingerprint: _Text | None = Field(None, description="The group of the job's latest failure: see /v1/failures.")
    created_after: Moment | None = None
    created_before: Moment | None = None
    finished_after: Moment | None = None
    finished_before: Moment | None = None
    ids: _Ids = Field(None, description="These jobs, if they match the rest.")
    args: _Paths = Field(None, description='Values in the args, by path: `{"user.id": 42}`; in a list: any of them.')
    metadata: _Paths = None
    q: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)] | None = Field(
        None, description="Text in the args, the metadata or the error, in upper or lower case."
    )

    within_kinds: SkipJsonSchema[list[str] | None] = None  # the limits of the caller who asked for it
    within_queues: SkipJsonSchema[list[str] | None] = None

    @model_validator(mode="after")
    def _narrows(self) -> "JobFilter":
        if all(value is None for _, value in self):
            raise ValueError(f'name at least one of {", ".join(_NAMED)}, e.g. {{"state": "failed"}}')
        return self

    def filter(self) -> Filter:
        return Filter(
            states=_each_once(self.state),
            kinds=_each_once(self.kind),
            queues=_each_once(self.queue),
            error_types=_each_once(self.error_type),
            tag=self.tag,
            lane=self.lane,
            flow=self.flow,
            fingerprint=self.fingerprint,
            created_after=self.created_after,
            created_before=self.created_before,
            finished_after=self.finished_after,
            finished_before=self.finished_before,
            ids=_each_once(self.ids),
            args=_paths(self.args),
            metadata=_paths(self.metadata),
            text=self.q,
            within_kinds=self.within_kinds,
            within_queues=self.within_queues,
        )


_NAMED = [name for name in JobFilter.model_fields if not name.startswith("within_")]


class ReplayFilter(JobFilter):
    """Which jobs to replay: jobs that match every field that is sent. Send at least one.

    In a list, any value matches.
    """

    state: _ReplayableStates = Field(None, description="Default: both.")  # type: ignore[assignment]

    def filter(self) -> Filter:
        wanted = super().filter()
        return wanted if wanted.states else replace(wanted, states=REPLAYABLE)


def stored_filter(action: Action, stored: str, created_at: datetime) -> Filter:
    """Read the filter of an operation; jobs enqueued after it was accepted are not its members."""
    model = ReplayFilter if action == "replay" else JobFilter
    wanted = model.model_validate_json(stored).filter()
    before = min(filter(None, (wanted.created_before, created_at)))
    return replace(wanted, created_before=before)


def written_filter(wanted: Filter) -> str:
    """Write a list's filter as a request for an operation would."""
    told = JobFilter(
        state=_listed_or_none(map(State, wanted.states)),
        kind=_listed_or_none(wanted.kinds),
        queue=_listed_or_none(wanted.queues),
        error_type=_listed_or_none(wanted.error_types),
        fingerprint=wanted.fingerprint,
        tag=wanted.tag,
        lane=wanted.lane,
        flow=wanted.flow,
        created_after=wanted.created_after,
        created_before=wanted.created_before,
        finished_after=wanted.finished_after,
        finished_before=wanted.finished_before,
        ids=_listed_or_none(wanted.ids),
        args=_conditions(wanted.args),
        metadata=_conditions(wanted.metadata),
        q=wanted.text,
        within_kinds=None if wanted.within_kinds is None else list(wanted.within_kinds),
        within_queues=None if wanted.within_queues is None else list(wanted.within_queues),
    )
    return told.model_dump_json(exclude_none=True)


def _listed_or_none(values: Iterable[T]) -> list[T] | None:
    return list(values) or None


def _conditions(paths: Sequence[PathIs]) -> dict[str, Scalar | list[Scalar]] | None:
    return {".".join(one.path): list(one.values) for one in paths} or None


def _paths(conditions: "_Conditions | None") -> tuple[PathIs, ...]:
    return tuple(
        path_is(path, *(value if isinstance(value, list) else (value,))) for path, value in (conditions or {}).items()
    )


def _each_once(values: list[Any] | None) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values or ()))
