"""Every error as RFC 9457 problem details."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from jobs.kit.round_trip import ended, listed
from service.errors import MOST_ERRORS, LedgerUnavailable, PostludeError, Refused, type_of
from service.misfits import shown
from service.web import methods

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# The errors that an endpoint may raise.
FORESEEN = (PostludeError, ClientDisconnect)
# By reference, not by `model=`, for which FastAPI would describe the errors as application/json.
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="Where: the names and indexes that lead to it.")
    msg: str
    type: str


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="Which error it is, for programs: `urn:postlude:problem:<name>`.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to do, for people.")
    errors: list[Mistake] | None = Field(None, description="Where the request is not valid; the first 100 places.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI: each status, with the types of its problems."""
    return {
        status: {"description": _described(status), "content": {MEDIA_TYPE: {"schema": _SCHEMA}}} for status in statuses
    }


def _described(status: int) -> str:
    types = [type_of(error.__name__) for error in _tree(PostludeError) if error.status == status]
    return f"{HTTPStatus(status).phrase}: {', '.join(f'`{one}`' for one in types)}"


def _tree(error: type[PostludeError]) -> Iterator[type[PostludeError]]:
    for one in error.__subclasses__():
        yield one
        yield from _tree(one)


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    for foreseen in FORESEEN:
        app.add_exception_handler(foreseen, answer_foreseen)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, answer_bug)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(exclude_none=True), problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


async def answer_foreseen(_request: Request, error: Exception) -> Response:
    """Answer one of `FORESEEN`. Even a client that hung up gets an answer, which nobody reads."""
    if not isinstance(error, PostludeError):
        return Response(status_code=400)
    if isinstance(error, LedgerUnavailable):
        log.error("ledger_unavailable", cause=repr(error.__cause__))
    if error.retry_after_s is not None:
        return answer(_problem(error), {**error.headers, "Retry-After": str(error.retry_after_s)})
    return answer(_problem(error), error.headers)


def _problem(error: PostludeError) -> Problem:
    errors = None if error.errors is None else [Mistake(**one) for one in error.errors]
    return Problem(
        type=type_of(type(error).__name__), title=error.title, status=error.status, detail=error.detail, errors=errors
    )


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer a request that Starlette refuses: no such path, or the wrong method for it."""
    assert isinstance(error, HTTPException)
    status, headers, detail = error.status_code, dict(error.headers or {}), str(error.detail)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allow = ", ".join(methods.allowed(request))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        detail = f"{methods.asked(request)} is not allowed here. Allowed: {allow}."
    elif status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}. See /docs for what there is."
    title = HTTPStatus(status).phrase
    return answer(Problem(type=type_of(title), title=title, status=status, detail=detail), headers)


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = shown(error.errors()[:MOST_ERRORS])
    told = ended(listed(errors, at_top=""))
    return answer(_problem(Refused(f"The request is not valid: {told}", errors=errors)))


async def answer_bug(request: Request, error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw, and log it."""
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return await answer_logged_bug(request, error)


async def answer_logged_bug(_request: Request, _error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw, for a layer inside those that log it."""
    title, detail = "Internal error", "This is a fault of the service; it is logged."
    return answer(Problem(type=type_of("internal-error"), title=title, status=500, detail=detail))
