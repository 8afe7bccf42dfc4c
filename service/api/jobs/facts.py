"""What attempts leave for readers: their log lines, and the stack of a running one."""

import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from service.access.principal import Scope
from service.ledger.deadline import in_time
from service.ledger.reads.log_lines import BEFORE_ALL, MOST_LINES, LogLine, lines_of
from service.ledger.reads.stacks import Stack
from service.lifecycle.stacks import ask_for_stack, read_stack
from service.resources import Resources
from service.web.deps import OperatorDep, PrincipalDep, ResourcesDep
from service.web.guards import guards
from service.web.jobs.lookup import JobIdDep, find_job
from service.web.moments import ShownMoment
from service.web.problems import responses

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_READ = guards(Scope.READ, narrowed=True)

_AFTER = r"^\d{1,9}\.\d{1,9}$"
_LARGEST = 2**31 - 1


class LineOut(BaseModel):
    """A line that an attempt logged, without the secrets of the job."""

    attempt: int
    number: int = Field(description="from 1, within the attempt")
    at: ShownMoment
    level: str
    text: str
    names: dict[str, Any] = Field(description="What was logged with it.")
    left_out: int = Field(description="How many lines just before it were not kept.")

    @classmethod
    def of(cls, line: LogLine) -> "LineOut":
        return cls(**line._asdict())


class LogOut(BaseModel):
    lines: list[LineOut] = Field(description="First to last.")
    latest: str | None = Field(description="The position of the last line: send it as `after` next time.")
    args_hidden: bool = Field(False, description="Whether args, and so lines, are hidden from the caller.")


class StackOut(BaseModel):
    """Where an attempt was: its frames, outermost first, without the values of variables."""

    attempt: int
    wished_at: ShownMoment
    taken_at: ShownMoment | None = Field(description="null: its worker has not answered, or the attempt ended first")
    stack: str | None

    @classmethod
    def of(cls, stack: Stack) -> "StackOut":
        return cls(**stack._asdict())


@router.get("/{job_id}/log", dependencies=_READ, responses=responses(401, 403, 404, 421, 422, 503))
async def read_log(
    job_id: JobIdDep,
    resources: ResourcesDep,
    principal: PrincipalDep,
    attempt: Annotated[int | None, Query(ge=1, le=_LARGEST, description="Only lines of this attempt.")] = None,
    after: Annotated[str, Query(pattern=_AFTER, description="`latest` of the previous page.")] = "0.0",
    limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = MOST_LINES,
) -> LogOut:
    """Read what a job's attempts have logged, first to last: the first and the latest lines of each attempt."""
    if not principal.sees_args:
        await in_time(find_job(resources, job_id))
        return LogOut(lines=[], latest=None, args_hidden=True)
    number, line = map(int, re.split(r"\.", after))
    lines = await in_time(_read(resources, job_id, attempt, (number, line), limit))
    latest = f"{lines[-1].attempt}.{lines[-1].number}" if lines else after if (number, line) != BEFORE_ALL else None
    return LogOut(lines=[LineOut.of(one) for one in lines], latest=latest)


async def _read(
    resources: Resources, job_id: str, attempt: int | None, after: tuple[int, int], limit: int
) -> list[LogLine]:
    await find_job(resources, job_id)
    async with resources.ledger.read() as connection:
        return list(await lines_of(connection, job_id, attempt=attempt, after=after, limit=limit))


@router.post(
    "/{job_id}/stack",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=guards(Scope.OPERATE, narrowed=True),
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def wish_stack(job_id: JobIdDep, resources: ResourcesDep, operator: OperatorDep) -> StackOut:
    """Ask for the stack of a running job. Its worker answers within a second; GET shows the answer."""

    async def ask() -> Stack:
        await find_job(resources, job_id)
        return await ask_for_stack(resources.ledger, job_id)

    async with operator.action("show_stack", "job", job_id):
        return StackOut.of(await in_time(ask(), writes=True))


@router.get("/{job_id}/stack", dependencies=_READ, responses=responses(401, 403, 404, 421, 422, 503))
async def get_stack(job_id: JobIdDep, resources: ResourcesDep) -> StackOut:
    """Look up the stack that was last asked for."""

    async def read() -> Stack:
        await find_job(resources, job_id)
        return await read_stack(resources.ledger, job_id)

    return StackOut.of(await in_time(read()))
