"""The body of a change to a job that has not started."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model, model_validator

from jobs import Kind
from service import options as bounds
from service.lifecycle.change import Wanted
from service.moments import Moment
from service.requests.job_options import LONGEST_TIMEOUT_S, SHORTEST_S, Tag, seconds
from service.requests.lane_in import LaneOption


class ChangeOptions(BaseModel):
    """Only fields that are sent change; null resets an option to its default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run_at: Moment | None = Field(None, description="When to run it; null or a past time: now.")
    priority: int | None = Field(None, ge=-bounds.HIGHEST_PRIORITY, le=bounds.HIGHEST_PRIORITY)
    queue: str | None = Field(None, min_length=1, max_length=bounds.LONGEST_QUEUE, description="null: the kind's.")
    lane: LaneOption | None = Field(None, description="In a new lane, the job comes last. null: none.")
    max_attempts: int | None = Field(None, ge=1, le=bounds.MOST_ATTEMPTS, description="null: the kind's.")
    timeout: float | None = Field(None, ge=SHORTEST_S, le=LONGEST_TIMEOUT_S, description="Seconds. null: the kind's.")
    tags: tuple[Tag, ...] | None = Field(None, max_length=bounds.MOST_TAGS, description="Replaces all tags.")
    metadata: bounds.Metadata | None = Field(None, description="Replaces all metadata.")

    @model_validator(mode="after")
    def _changes(self) -> "ChangeOptions":
        if not self.model_fields_set:
            raise ValueError(f"name at least one of {', '.join(type(self).model_fields)}")
        return self

    def wanted(self) -> Wanted:
        """Return what is wanted, without what the request leaves out."""
        told: dict[str, Any] = {
            "run_at": self.run_at,
            "priority": self.priority,
            "queue": self.queue,
            "lane": self.lane.lane() if self.lane else None,
            "max_attempts": self.max_attempts,
            "timeout": seconds(self.timeout),
            "tags": None if self.tags is None else tuple(dict.fromkeys(self.tags)),
            "metadata": self.metadata,
            "args": getattr(self, "args", None),
        }
        return cast(Wanted, {name: told[name] for name in self.model_fields_set})


class ChangeRequest(ChangeOptions):
    """A change of any job; the args are those of its kind."""

    args: dict[str, Any] = Field(default_factory=dict, description="Replaces all args, checked as in an enqueue.")


class ChangeRequests:
    """The bodies of changes: the args are those of the job's kind."""

    def __init__(self, kinds: Mapping[str, Kind[Any, Any]]) -> None:
        self._kinds = kinds
        self._of_any: TypeAdapter[ChangeOptions] = TypeAdapter(ChangeRequest)
        self._of: dict[str, TypeAdapter[ChangeOptions]] = {}

    def of(self, kind_name: str) -> TypeAdapter[ChangeOptions]:
        """Return what validates a change of a job of this kind, which may be unknown by now."""
        kind = self._kinds.get(kind_name)
        if kind is None:
            return self._of_any
        if kind_name not in self._of:
            model = create_model(f"Change_{kind_name}", __base__=ChangeOptions, args=(kind.door_model, None))
            self._of[kind_name] = TypeAdapter(model)
        return self._of[kind_name]
