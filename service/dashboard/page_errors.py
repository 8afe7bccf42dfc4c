"""Errors on pages, in the API's words: a page in the shell or, after an action, a toast."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.dashboard.page_route import PageRoute
from service.dashboard.sections import section_at
from service.dashboard.shell import Page, page_of
from service.errors import BadCursor, PostludeError, SignInNeeded
from service.web.guards import recognise
from service.web.paths import path_of
from service.web.session import principal_of_session

Handler = Callable[[Request, Any], Awaitable[Response]]
_KEPT = ("allow", "retry-after")


def install(app: FastAPI) -> None:
    """Show errors of pages as pages; errors of calls stay problems."""
    for foreseen in (PostludeError, HTTPException, RequestValidationError, Exception):
        as_problem = cast(Handler, app.exception_handlers[foreseen])
        app.add_exception_handler(foreseen, _for_pages(as_problem))


def _for_pages(as_problem: Handler) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        problem = await as_problem(request, error)
        if not _is_of_a_page(request) or problem.status_code < HTTPStatus.BAD_REQUEST:
            return problem
        return await _as_page(request, error, problem)

    return answer


def _is_of_a_page(request: Request) -> bool:
    """Whether the request is for a page: an existing one or, from a browser, a missing one."""
    route = request.scope.get("route")
    if route is not None:
        return isinstance(route, PageRoute)
    is_browser = "text/html" in request.headers.get("accept", "")
    return is_browser and not path_of(request.scope).startswith("/v1/")


async def _as_page(request: Request, error: Exception, problem: Response) -> Response:
    if request.scope.get("route") is None:
        await _recognise(request)
    page = page_of(request)
    if isinstance(error, SignInNeeded):
        return page.redirect("/sign-in", next=_asked(request))
    told = _for_readers(json.loads(bytes(problem.body)), error)
    if page.is_enhanced or request.method != "GET":
        answer: Response = page.toast(told["title"], detail=_detail(told), tone="wrong", status=problem.status_code)
    else:
        answer = await _as_whole_page(page, told, problem.status_code)
    answer.headers.update({name: problem.headers[name] for name in _KEPT if name in problem.headers})
    return answer


def _for_readers(told: dict[str, Any], error: Exception) -> dict[str, Any]:
    """Return the problem in words for a reader of a page, who sees an address and no request."""
    if isinstance(error, BadCursor):
        return told | {"detail": "The address leads to no page of this list. Open the list from its beginning."}
    if isinstance(error, RequestValidationError):
        errors = [one | {"loc": _name_of(one["loc"])} for one in told["errors"]]
        return told | {"detail": "The address has a value that does not fit.", "errors": errors}
    return told


def _name_of(place: list[Any]) -> list[Any]:
    """Return the name in the address, without the part of the request and the index of the value."""
    return place[1:2] if place[:1] in (["query"], ["path"]) else place


def _as_whole_page(page: Page, told: dict[str, Any], status: int) -> Awaitable[Response]:
    return page.render(
        "shell/error.html",
        title=told["title"],
        section="",
        status=status,
        list_of=section_at(path_of(page.request.scope), page.principal),
        sign_in_for=_asked(page.request) if page.is_strangers else None,
        status_code=status,
        detail=told["detail"],
        errors=told.get("errors", []),
    )


async def _recognise(request: Request) -> None:
    """Note who asks for a missing page, as the guards of a page would have done."""
    with suppress(PostludeError):
        recognise(request, await principal_of_session(request))


def _detail(told: dict[str, Any]) -> str:
    """Return what a toast has room for: only the first error, if places are named."""
    errors = told.get("errors") or []
    return f"{'.'.join(map(str, errors[0]['loc']))}: {errors[0]['msg']}" if errors else str(told["detail"])


def _asked(request: Request) -> str:
    """Return the requested page; for an action, the page it came from."""
    if request.method != "GET":
        return "/"
    query = request.scope["query_string"].decode("latin-1")
    return path_of(request.scope) + (f"?{query}" if query else "")
