"""A job's own retry policy in a request."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.kit.retry import LONGEST_WAIT
from service import options as bounds
from service.options import check_retry
from service.own_retry import OwnRetry

_LONGEST_S = LONGEST_WAIT.total_seconds()
_Wait = Annotated[float, Field(ge=0, le=_LONGEST_S)]


class RetryIn(BaseModel):
    """When to retry after a failure, instead of the kind's policy."""

    model_config = ConfigDict(extra="forbid", strict=True)

    base: _Wait | None = Field(
        None, description="Each wait is random, up to base * 2**n seconds after n earlier failures."
    )
    cap: _Wait | None = Field(None, description="No wait is longer than this many seconds.")
    delays: Annotated[list[_Wait], Field(min_length=1, max_length=bounds.MOST_DELAYS)] | None = Field(
        None, description="Seconds before each retry, up to 20 % shorter or longer; the last one repeats."
    )
    max_duration: float | None = Field(
        None,
        ge=bounds.SHORTEST_TIME.total_seconds(),
        le=bounds.LONGEST_WAIT.total_seconds(),
        description="After a failure, no attempt begins more than this many seconds after the job was due.",
    )

    @model_validator(mode="after")
    def _as_a_kind_could(self) -> "RetryIn":
        check_retry(self.own_retry())
        return self

    def own_retry(self) -> OwnRetry:
        delays = None if self.delays is None else tuple(self.delays)
        return OwnRetry(self.base, self.cap, delays, self.max_duration)
