"""What routes are given. All of it is `async`: FastAPI runs anything else in a thread, which costs a lot more."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from pydantic import Field

from service.auth import KeyRing
from service.errors import JobNotFound, Refused
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.web.query import known_query

LONGEST_ID = 255
# No text of a database holds NUL, so no id and no filter does.
Text = Annotated[str, Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]


async def _resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


def header_of(request: Request, name: bytes) -> str | None:
    """Return a header by its name in small letters, the first of several; `request.headers` takes ten times as long."""
    for known, value in request.scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return None


# Tells OpenAPI how to send a key; the check is ours, for there may be none to check.
bearer = Depends(HTTPBearer(auto_error=False, description="A key of POSTLUDE_API_KEYS, where the service has any."))


async def authorise(request: Request, _key: Annotated[object, bearer]) -> None:
    """Let the request through if it carries a key, or none is asked for."""
    key_ring: KeyRing = request.app.state.key_ring
    key_ring.check(header_of(request, b"authorization"))


async def storable(request: Request) -> None:
    """Refuse NUL in the path or the query: no database text may hold it."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise Refused("The address holds the character NUL (%00), which no id and no filter can have.")


async def _job_id(job_id: Text) -> str:
    """Pass an id that there may be."""
    if len(job_id) > LONGEST_ID:
        raise JobNotFound(f"There is no job with an id of {len(job_id)} characters.")
    return job_id


ResourcesDep = Annotated[Resources, Depends(_resources)]
LifecycleDep = Annotated[Lifecycle, Depends(_lifecycle)]
JobIdDep = Annotated[str, Depends(_job_id)]
# What every call below /v1 goes through, in this order: nobody without a key learns what is there.
GUARDS = [Depends(authorise), Depends(storable), Depends(known_query)]
