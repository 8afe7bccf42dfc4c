"""Signing in and out on the pages."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from service.access.oidc import Oidc, OnTheWay
from service.access.principal import Principal, Role
from service.access.sign_in import SignIns
from service.dashboard.page_route import PageRoute
from service.dashboard.shell import VERSION, Page, PageDep
from service.dashboard.toasts import is_ours
from service.errors import NotFound, PostludeError, SignInNeeded, SignInRefused, TooManyRequests
from service.web.forms import read_fields
from service.web.guards import ADDRESS, recognise, storable
from service.web.session import check_csrf, forget, keep, principal_of_session, session_of
from service.web.state import state_of

log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=ADDRESS)
# Other services send more than we ask for.
back = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(storable)])

_ON_THE_WAY = "postlude_sign_in"
_ON_THE_WAY_S = 600
_LONGEST_NEXT = 2_000


def _safe(path: str) -> str:
    """Return one of our paths to go on to, whatever a link said."""
    return path if is_ours(path) and len(path) <= _LONGEST_NEXT else "/"


async def _next(path: Annotated[str, Query(alias="next")] = "/") -> str:
    return _safe(path)


NextDep = Annotated[str, Depends(_next)]


async def _oidc(request: Request) -> Oidc:
    oidc = state_of(request).sign_ins.oidc
    if oidc is None:
        raise NotFound("No other service signs people in: POSTLUDE_OIDC_ISSUER is not set.")
    return oidc


OidcDep = Annotated[Oidc, Depends(_oidc)]


@router.get("/sign-in")
async def ask(page: PageDep, next_path: NextDep) -> Response:
    """Ask the caller to sign in, unless they already are."""
    try:
        await principal_of_session(page.request)
    except SignInNeeded:
        return await _ask(page, next_path)
    return page.redirect(next_path)


@router.post("/sign-in")
async def sign_in(page: PageDep) -> Response:
    """Sign in with a key, or with a name and a password."""
    request, form = page.request, await read_fields(page.request)
    key, name, password, asked = (form.get(field, "") for field in ("key", "name", "password", "next"))
    if await state_of(request).access.opening.is_open():
        return page.redirect(_safe(asked))
    signs: SignIns = state_of(request).sign_ins
    try:
        if key:
            cookie, principal = await signs.with_key(key.strip(), _address(request))
        else:
            cookie, principal = await signs.with_password(name.strip(), password, _address(request))
    except (SignInRefused, TooManyRequests) as error:
        user = await signs.known(name.strip())
        log.info("sign_in_refused", user=user, address=_address(request), reason=error.title)
        return await _ask(page, _safe(asked), error, name)
    await _let_in(request, cookie, principal)
    return page.redirect(_safe(asked))


@router.post("/sign-out")
async def sign_out(page: PageDep) -> Response:
    """Sign out: copies of the cookie stop working, too."""
    request = page.request
    principal = recognise(request, await principal_of_session(request))
    await check_csrf(request)
    session = session_of(request)
    if session is not None:
        async with page.operator.action("sign_out", "session", principal.name):
            await state_of(request).sessions.end(session)
        forget(request)
    return page.redirect("/sign-in")


@router.get("/sign-in/oidc")
async def go_elsewhere(page: PageDep, oidc: OidcDep, next_path: NextDep) -> Response:
    """Send the browser to the service that signs people in."""
    try:
        address, way = await oidc.begin(_way_back(page), next_path)
    except SignInRefused as error:
        return await _ask(page, next_path, error)
    answer = Response(status_code=303, headers={"Location": address, "Cache-Control": "no-store"})
    # Lax, unlike all others: the way back starts on another site's page.
    sealed = await state_of(page.request).sessions.sealed(way)
    answer.set_cookie(
        _ON_THE_WAY,
        sealed,
        max_age=_ON_THE_WAY_S,
        path=page.url("/sign-in/oidc"),
        httponly=True,
        samesite="lax",
        secure=page.request.url.scheme == "https",
    )
    return answer


@back.get("/sign-in/oidc/back")
async def come_back(page: PageDep, oidc: OidcDep) -> Response:
    """Let in a person whom the other service has signed in."""
    request, signs = page.request, state_of(page.request).sign_ins
    sealed = await state_of(request).sessions.unsealed(request.cookies.get(_ON_THE_WAY, ""), _ON_THE_WAY_S)
    way = OnTheWay(*sealed) if sealed else None
    try:
        if way is None:
            raise SignInRefused("That took too long, or was started in another browser. Sign in again.")
        vouched = await oidc.finish(_way_back(page), request.query_params, way)
        cookie, principal = await signs.from_elsewhere(vouched.name, vouched.role)
    except PostludeError as refused:
        return await _ask(page, "/", refused)
    await _let_in(request, cookie, principal, vouched.role)
    # Not a redirect: it would count as coming from the other site, so the browser would not send strict cookies.
    answer = page.fragment("signed-in.html", title="Signed in", next=_safe(way.next))
    answer.delete_cookie(_ON_THE_WAY, path=page.url("/sign-in/oidc"))
    return answer


async def _let_in(request: Request, cookie: str, principal: Principal, role: Role | None = None) -> None:
    """Begin the session, and record it on the trail, with the `role` given by another service."""
    state = state_of(request)
    action = state.trail.action(principal, "sign_in", "session", principal.name, address=_address(request))
    async with action as entry:
        entry.after = None if role is None else {"role": role}
        keep(request, cookie)


async def _ask(page: Page, next_path: str, refused: PostludeError | None = None, name: str = "") -> HTMLResponse:
    answer = page.fragment(
        "sign-in.html",
        status=200 if refused is None else refused.status,
        title="Sign in",
        next=next_path,
        refused=None if refused is None else refused.detail,
        name=name[:200],
        oidc=state_of(page.request).sign_ins.oidc is not None,
        users=await state_of(page.request).access.users.are_there(),
        environment=page.resources.settings.environment,
        version=VERSION,
    )
    if refused is not None and refused.retry_after_s is not None:
        answer.headers["Retry-After"] = str(refused.retry_after_s)
    return answer


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None


def _way_back(page: Page) -> str:
    """Return the address that the other service sends browsers back to, as they see it."""
    url = page.request.url
    return f"{url.scheme}://{url.netloc}{page.url('/sign-in/oidc/back')}"
