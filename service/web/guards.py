"""What a request passes before its route: its caller's rights, NUL in the address, the names in the query."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.access.principal import Principal, Scope
from service.access.rates import Rates
from service.access.throttle import place_of
from service.errors import NotForThisKey, Refused
from service.web.headers import header_of
from service.web.noted import note_header
from service.web.query import known_query
from service.web.session import check_csrf, note_csrf, principal_of_session, session_of
from service.web.state import state_of

# Tells OpenAPI how to send a key. The check is ours, since a service may have no keys.
bearer = Depends(HTTPBearer(auto_error=False, description="A key, where the service requires one."))

_SAFE = {"GET", "HEAD", "OPTIONS"}
Guard = Callable[..., Awaitable[Principal]]


@cache
def authorise(scope: Scope, *, narrowed: bool = False) -> Guard:
    """Make the guard that lets callers through if their key has the scope; see `guards`."""

    async def guard(request: Request, _key: Annotated[object, bearer]) -> Principal:
        return await check_key(request, scope, narrowed=narrowed)

    return guard


@cache
def authorise_page(scope: Scope) -> Guard:
    """Make the guard of a page: a browser that is not signed in is sent to the sign-in page."""

    async def guard(request: Request) -> Principal:
        return await check_session(request, scope)

    return guard


async def check_key(request: Request, scope: Scope, *, narrowed: bool = False) -> Principal:
    """Note on the request who is calling. Raises `Unauthorized`, `ScopeMissing`, or `NotForThisKey`."""
    principal = await identify(request)
    principal.check(scope)
    if not narrowed:
        _check_unlimited(principal)
    return principal


def _check_unlimited(principal: Principal) -> None:
    if principal.is_limited:
        raise NotForThisKey("This key is limited to some kinds or queues, but this call is about all of them.")


async def identify(request: Request) -> Principal:
    """Note on the request whose key it carries. Raises `Unauthorized`, or `RateLimited`."""
    state, client = state_of(request), request.scope["client"]
    principal = await state.access.identify(header_of(request, b"authorization"), client[0] if client else None)
    recognise(request, principal)
    _count(request, state.rates, principal.id)
    return principal


async def check_session(request: Request, scope: Scope) -> Principal:
    """Note on the request who looks at a page, or acts on one. Raises `SignInNeeded`, `ScopeMissing`, `NotForThisKey`.

    All pages show jobs, even those that only enqueue. A program may send a key instead of a cookie. Browsers send no
    key by themselves, so a key needs no token.
    """
    if header_of(request, b"authorization") is not None:
        (await check_key(request, Scope.READ)).check(scope)
        return principal_of(request)
    principal = recognise(request, await principal_of_session(request))
    session = session_of(request)
    _count(request, state_of(request).session_rates, place_of_caller(request) if session is None else session.id)
    principal.check(Scope.READ)
    principal.check(scope)
    _check_unlimited(principal)  # its key may have been limited since
    if request.method not in _SAFE:
        await check_csrf(request)
    await note_csrf(request)
    return principal


def place_of_caller(request: Request) -> str:
    """Return which place a request comes from; see `place_of`."""
    client = request.scope["client"]
    return place_of(client[0] if client else None)


def _count(request: Request, rates: Rates | None, caller: str) -> None:
    if rates is not None:
        note_header(request.scope, "ratelimit-policy", rates.policy)
        note_header(request.scope, "ratelimit", rates.take(caller))


def recognise(request: Request, principal: Principal) -> Principal:
    """Note on the request who is calling, for everything downstream; see `principal_of`."""
    request.scope.setdefault("state", {})["principal"] = principal
    return principal


def principal_of(request: Request) -> Principal:
    """Return who is calling. Only for requests that passed `authorise`, or another guard that recognised the caller."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


async def storable(request: Request) -> None:
    """Refuse NUL in the path or the query: no text in a database may contain it."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise Refused("The address contains the character NUL (%00), which no id and no filter can have.")


# The guards of pages that anybody may open.
ADDRESS: list[Any] = [Depends(storable), Depends(known_query)]


def guards(scope: Scope, *, narrowed: bool = False) -> list[Any]:
    """Return the guards of a call below /v1, in this order: nobody without a key learns what is there.

    `narrowed`: the call itself keeps to the kinds and queues that its caller is limited to. All other calls refuse
    limited callers.
    """
    return [Depends(authorise(scope, narrowed=narrowed)), *ADDRESS]


def page_guards(scope: Scope) -> list[Any]:
    """Return the guards of a page, or of an action on one."""
    return [Depends(authorise_page(scope)), *ADDRESS]


def guarded_by(guard: Guard) -> list[Any]:
    """Return the guards of a call that recognises its callers in its own way."""
    return [Depends(guard), *ADDRESS]
