"""The lane that a request names for its job: text, or a key with limits."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs import Lane, Rate
from jobs.kit import lane as bounds


def _check_key(key: str) -> str:
    bounds.check_key(key)
    return key


def _of_text(value: Any) -> Any:
    if isinstance(value, str):
        return {"key": value}
    if not isinstance(value, dict):
        raise PydanticCustomError("lane_type", "Input should be a lane's key, or an object with a key and limits")
    return value


class RateIn(BaseModel):
    """`limit` starts in `per` seconds; after a quiet time, `limit` starts may come at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    limit: int = Field(ge=1, le=bounds.MOST_PER_RATE)
    per: float = Field(
        ge=bounds.SHORTEST_PER.total_seconds(), le=bounds.LONGEST_PER.total_seconds(), description="Seconds."
    )

    def rate(self) -> Rate:
        return Rate(self.limit, per=self.per)


class LaneIn(BaseModel):
    """A lane, and the limits sent with it. Limits set by `PUT /v1/lanes` come before these."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, Field(min_length=1, max_length=bounds.LONGEST_KEY), AfterValidator(_check_key)]
    concurrency: int | None = Field(None, ge=1, le=bounds.MOST_CONCURRENCY, description="How many may run at once.")
    rate: RateIn | None = None
    order: Literal["strict"] | None = Field(None, description="One at a time, in the order of enqueueing.")

    @model_validator(mode="after")
    def _one_at_a_time(self) -> "LaneIn":
        if self.order == "strict" and self.concurrency not in (None, 1):
            raise ValueError("a lane in strict order runs one job at a time: leave out concurrency")
        return self

    def lane(self) -> Lane:
        return Lane(self.key, self.concurrency, self.rate.rate() if self.rate else None, self.order)


LaneOption = Annotated[LaneIn, BeforeValidator(_of_text, json_schema_input_type=str | LaneIn)]
