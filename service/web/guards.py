"""What a request passes before its route: the key, NUL in the address, the names in the query."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.auth import Principal
from service.errors import Refused
from service.web.headers import header_of
from service.web.query import check_query, known_query
from service.web.state import state_of

# Tells OpenAPI how to send a key. The check is ours, since a service may have no keys.
bearer = Depends(HTTPBearer(auto_error=False, description="A key of POSTLUDE_API_KEYS, where the service has any."))


async def authorise(request: Request, _key: Annotated[object, bearer]) -> Principal:
    """Let the request through if it carries a valid key, or if the service has no keys."""
    return check_key(request)


def check_key(request: Request) -> Principal:
    return recognise(request, state_of(request).key_ring.identify(header_of(request, b"authorization")))


def recognise(request: Request, principal: Principal) -> Principal:
    """Note on the request who calls, for everything downstream; see `principal_of`."""
    request.scope.setdefault("state", {})["principal"] = principal
    return principal


def principal_of(request: Request) -> Principal:
    """Return who calls. Only for requests that passed `authorise`, or another guard that recognised the caller."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


async def storable(request: Request) -> None:
    """Let the request through if no NUL is in its address."""
    check_address(request)


def check_address(request: Request) -> None:
    """Refuse NUL in the path or the query: no database text may hold it."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise Refused("The address holds the character NUL (%00), which no id and no filter can have.")


# The guards of every call below /v1, in this order: nobody without a key learns what is there.
GUARDS = [Depends(authorise), Depends(storable), Depends(known_query)]
# Browsers send no key for a page, so each page decides what it shows if the service has keys.
PAGE_GUARDS = GUARDS[1:]


def check(request: Request) -> None:
    """Do what `GUARDS` do, in one call."""
    check_key(request)
    check_address(request)
    check_query(request)
