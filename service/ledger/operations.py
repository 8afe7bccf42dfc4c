"""Operations as the ledger has them, as plain data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import to_json

from service.tables import moment_text

Action = Literal["replay", "cancel", "delete", "run_now", "change"]


class OperationState(StrEnum):
    """`counting → running → succeeded`, `stopped` by a user, or `failed`; a replay of its job revives the last two."""

    COUNTING = "counting"
    RUNNING = "running"
    STOPPED = "stopped"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


LIVE_OPERATION = (OperationState.COUNTING, OperationState.RUNNING)
# Ended before all members were dealt with.
BROKEN_OFF = (OperationState.STOPPED, OperationState.FAILED)
MOST_FAILURES_KEPT = 100
# The kind of the jobs that carry operations out.
OPERATE = "operate"
JOB_CANCELLED = "Its job was cancelled."


class Place(NamedTuple):
    """A job's place in the list of an operation's filter: when it was created or ended, and its id."""

    listed_at: datetime
    job_id: str


_place: TypeAdapter[Place] = TypeAdapter(Place)


def written_place(place: Place | None) -> str | None:
    return None if place is None else to_json([moment_text(place.listed_at), place.job_id]).decode()


def read_place(stored: str | None) -> Place | None:
    return None if stored is None else _place.validate_json(stored)


class Against(NamedTuple):
    """Why an operation failed on a member: a word for the counts, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NewOperation:
    """An operation as it is first recorded. `filter` and `change` are JSON.

    Without a job, the process that accepted it carries it out until `runner_until`.
    """

    id: str
    action: Action
    filter: str
    created_at: datetime
    state: OperationState = OperationState.COUNTING
    name: str | None = None
    change: str | None = None
    rate: float | None = None
    dry_run: bool = False
    principal: str | None = None
    job_id: str | None = None
    runner_until: datetime | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it is now; `skipped` counts its failed members by reason, `cursor` is the last one dealt with.

    It has had its rate since `paced_at`, when `paced_from` members had been dealt with.
    """

    id: str
    name: str | None
    action: Action
    filter: str
    change: str | None
    rate: float | None
    dry_run: bool
    state: OperationState
    job_id: str | None
    runner_until: datetime | None
    matched: int
    done: int
    failed: int
    skipped: dict[str, int]
    cursor: Place | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    principal: str | None
    paced_at: datetime | None
    paced_from: int

    @property
    def dealt_with(self) -> int:
        return self.done + self.failed

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_OPERATION
