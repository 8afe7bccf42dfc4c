"""`operate`: carries out an operation, an action on all jobs that match a filter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.outcomes import Discard, Snooze
from jobs.kit.retry import RetryPolicy

# An attempt ends in order long before its timeout: the operation continues in the next one.
_TIMEOUT_S = 3600
_GOES_ON_FOR_S = 1800


@dataclass(frozen=True, slots=True)
class Operated:
    """How far an attempt has taken an operation. `is_over`: there is nothing left to do."""

    state: str
    matched: int
    done: int
    failed: int
    is_over: bool


class Operator(Protocol):
    """Carries out operations in the ledger."""

    async def operate(
        self, operation_id: str, job_id: str, *, within_s: float, progress: Callable[[int, int | None], Awaitable[None]]
    ) -> Operated | None:
        """Continue an operation for `within_s`, from where it is; None if it does not belong to the job."""
        ...


class OperateArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    operation: str = Field(min_length=1, max_length=36, description="Its id. POST /v1/operations makes both.")


class OperateResult(BaseModel):
    state: str
    matched: int
    done: int
    failed: int


@job("operate", timeout=_TIMEOUT_S, max_attempts=20, retry=RetryPolicy(base=1, cap=60))
async def operate(ctx: Context, args: OperateArgs) -> OperateResult:
    """Carry out an operation from where it is. Enqueued by `POST /v1/operations`, not by hand."""
    operated = await ctx.capability(Operator).operate(
        args.operation, ctx.job_id, within_s=_GOES_ON_FOR_S, progress=ctx.progress
    )
    if operated is None:
        raise Discard(f"There is no operation {args.operation} for this job to carry out.")
    if not operated.is_over:
        raise Snooze("the operation goes on in the next attempt", after=0)
    return OperateResult(state=operated.state, matched=operated.matched, done=operated.done, failed=operated.failed)
