"""The session of a request: its cookie, and the token that proves that a form came from one of our pages."""

from contextlib import suppress

from fastapi import Request

from service.access.access import Access
from service.access.principal import ANYBODY, Principal
from service.access.sessions import HOLDS_FOR, Session, SignedIn
from service.errors import CsrfTokenMissing, LedgerUnavailable, SignInNeeded
from service.web.forms import read_fields
from service.web.headers import header_of
from service.web.noted import note_header
from service.web.state import state_of

COOKIE = "postlude_session"
FIELD = "csrf"
HEADER = b"x-csrf-token"
# Of forms where anybody may call.
_NOBODYS = "anybody"


async def principal_of_session(request: Request) -> Principal:
    """Return who is signed in. Raises `SignInNeeded` if nobody is, unless anybody may call."""
    access: Access = state_of(request).access
    if await access.opening.is_open():
        return ANYBODY
    signed_in = await find_session(request)
    if signed_in is None:
        raise SignInNeeded("Sign in first.")
    request.scope.setdefault("state", {})["session"] = signed_in.session
    if signed_in.cookie is not None:
        keep(request, signed_in.cookie)
    return signed_in.principal


async def find_session(request: Request) -> SignedIn | None:
    cookie = request.cookies.get(COOKIE)
    return None if cookie is None else await state_of(request).sessions.of(cookie)


def session_of(request: Request) -> Session | None:
    """Return the session that the caller was recognised by."""
    session: Session | None = request.scope.get("state", {}).get("session")
    return session


def keep(request: Request, cookie: str) -> None:
    """Let the browser keep a session's cookie, which requests from other sites never carry."""
    note_header(request.scope, "set-cookie", _cookie(request, cookie, int(HOLDS_FOR.total_seconds())))


def forget(request: Request) -> None:
    """Let the browser forget its session."""
    note_header(request.scope, "set-cookie", _cookie(request, "", 0))


async def note_csrf(request: Request) -> None:
    """Make the token for a page's forms. While the ledger is away there may be none: no form could be acted on."""
    with suppress(LedgerUnavailable):
        request.scope["state"]["csrf"] = await state_of(request).sessions.token_for(_owner(request))


def csrf_of(request: Request) -> str:
    """Return the token for a page's forms."""
    token: str = request.scope.get("state", {}).get("csrf", "")
    return token


async def check_csrf(request: Request) -> None:
    """Raise `CsrfTokenMissing` unless the request came from a page that was shown in its session."""
    token = header_of(request, HEADER) or (await read_fields(request)).get(FIELD)
    if token is None or not await state_of(request).sessions.is_token_of(_owner(request), token):
        raise CsrfTokenMissing("The page was open for too long, or does not belong to this service. Reload it.")


def _owner(request: Request) -> str:
    session = session_of(request)
    return _NOBODYS if session is None else session.id


def _cookie(request: Request, value: str, max_age_s: int) -> str:
    path = request.scope.get("root_path", "") or "/"
    parts = [f"{COOKIE}={value}", f"Path={path}", f"Max-Age={max_age_s}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if request.url.scheme == "https" else parts)
