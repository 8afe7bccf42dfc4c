"""The options of a job, besides its kind and args. The service's `docs/http-api.md` explains each option.

A `Duration` is a timedelta, or a number of seconds. Times need a time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from postlude.models import Job, State

Duration = timedelta | float
RunWhen = Literal["succeeded", "ended", "attempted"]
OnConflict = Literal["return", "replace", "debounce"]


def seconds(duration: Duration) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


class Rate(TypedDict):
    limit: int
    per: Duration


class _Lane(TypedDict):
    key: str


class Lane(_Lane, total=False):
    """A lane, and the limits that are sent with it."""

    concurrency: int
    rate: Rate
    order: Literal["strict"]


class Retry(TypedDict, total=False):
    """When to retry after a failure, instead of the kind's policy."""

    base: Duration
    cap: Duration
    delays: Sequence[Duration]
    max_duration: Duration


class CallbackOptions(TypedDict, total=False):
    """The options of a job that is enqueued when another ends."""

    delay: Duration
    queue: str
    priority: int
    max_attempts: int
    timeout: Duration
    expires_in: Duration
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    lane: str | Lane


class Callback(CallbackOptions, total=False):
    """A `kind` with `args`; or a `url`, which gets the final job in a post signed with the `secret`."""

    kind: str
    args: Any
    url: str
    secret: str
    headers: Mapping[str, str]


class FlowOptions(TypedDict, total=False):
    """The options of a flow, besides its jobs."""

    id: str
    name: str
    on_success: Callback
    on_failure: Callback
    on_end: Callback


class JobOptions(CallbackOptions, total=False):
    """The options of a job. `id` is made by the client, unless it is given."""

    id: str
    run_at: datetime
    unique_key: str
    unique_for: Duration
    on_conflict: OnConflict
    retry: Retry
    after: str | Job | Sequence[str | Job]
    run_when: RunWhen
    flow: str
    on_success: Callback
    on_failure: Callback
    on_end: Callback


class Changes(TypedDict, total=False):
    """What to change in a waiting job. None resets an option to its default."""

    run_at: datetime | None
    args: Any
    queue: str | None
    lane: str | Lane | None
    priority: int | None
    max_attempts: int | None
    timeout: Duration | None
    tags: Sequence[str] | None
    metadata: Mapping[str, Any] | None


class Filters(TypedDict, total=False):
    """Selects the jobs that match every filter. In a list, any one of its values will do."""

    state: State | Sequence[State]
    kind: str | Sequence[str]
    queue: str | Sequence[str]
    error_type: str | Sequence[str]
    tag: str
    lane: str
    flow: str
    created_after: datetime
    created_before: datetime
    finished_after: datetime
    finished_before: datetime
    args: Mapping[str, Any]
    """The value at a path in the args: `{"user.id": 42}`."""
    metadata: Mapping[str, Any]
    q: str
