"""The job that a path names."""

from typing import Annotated

from fastapi import Depends, Request

from service.access.limits import sees
from service.errors import JobNotFound
from service.ledger.deadline import in_time
from service.ledger.reads.lookups import Found
from service.queue import LONGEST_ID
from service.resources import Resources
from service.web.deps import Text
from service.web.guards import principal_of
from service.web.state import state_of


async def _job_id(job_id: Text, request: Request) -> str:
    """Return the id, unless it is too long for any job, or the caller may not see its job."""
    if len(job_id) > LONGEST_ID:
        raise JobNotFound(f"There is no job with an id of {len(job_id)} characters.")
    principal = principal_of(request)
    if principal.is_limited and not sees(principal, (await in_time(find_job(state_of(request).resources, job_id))).job):
        raise _not_found(job_id)
    return job_id


JobIdDep = Annotated[str, Depends(_job_id)]


async def find_job(resources: Resources, job_id: str) -> Found:
    """Read a job's row, its attempts and its relations. Raises `JobNotFound`."""
    found = await resources.ledger.find(job_id)
    if found is None:
        raise _not_found(job_id)
    return found


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
