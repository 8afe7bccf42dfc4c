"""The options that any job may have, whether it is enqueued now or when another job ends."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service import options as bounds
from service.requests.lane_in import LaneOption

LONGEST_WAIT_S = bounds.LONGEST_WAIT.total_seconds()
LONGEST_TIMEOUT_S = bounds.LONGEST_TIMEOUT.total_seconds()
SHORTEST_S = bounds.SHORTEST_TIME.total_seconds()

Tag = Annotated[str, Field(min_length=1, max_length=bounds.LONGEST_TAG)]


class JobOptions(BaseModel):
    # Strict: `true` is not a number of seconds, and "3" not a priority.
    model_config = ConfigDict(extra="forbid", strict=True)

    delay: float | None = Field(None, ge=0, le=LONGEST_WAIT_S, description="Seconds from now, instead of `run_at`.")
    queue: str | None = Field(
        None, min_length=1, max_length=bounds.LONGEST_QUEUE, description="Default: the kind's queue."
    )
    priority: int = Field(
        0,
        ge=-bounds.HIGHEST_PRIORITY,
        le=bounds.HIGHEST_PRIORITY,
        description="Each step moves a due job 10 minutes ahead of others, or behind them. Never runs a job early, "
        "and never keeps one from an idle worker.",
    )
    max_attempts: int | None = Field(None, ge=1, le=bounds.MOST_ATTEMPTS, description="Default: the kind's.")
    timeout: float | None = Field(
        None, ge=SHORTEST_S, le=LONGEST_TIMEOUT_S, description="Seconds for each attempt. Default: the kind's."
    )
    expires_in: float | None = Field(
        None, ge=SHORTEST_S, le=LONGEST_WAIT_S, description="Fail it if it has not started within this many seconds."
    )
    # A tuple: Pydantic copies a list's default for every request.
    tags: tuple[Tag, ...] = Field((), max_length=bounds.MOST_TAGS)
    metadata: bounds.Metadata | None = Field(
        None, description="Anything to remember about the job: a JSON object of at most 4 KiB."
    )
    lane: LaneOption | None = Field(
        None, description="Jobs with this key share limits: the key, or an object with the key and limits."
    )

    def shared_options(self) -> dict[str, Any]:
        """Return these options as the fields of `Options`."""
        return {
            "delay": seconds(self.delay),
            "queue": self.queue,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "timeout": seconds(self.timeout),
            "expires_in": seconds(self.expires_in),
            "tags": tuple(dict.fromkeys(self.tags)),
            "metadata": self.metadata,
            "lane": self.lane.lane() if self.lane else None,
        }


def seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)
