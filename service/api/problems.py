"""Every error as RFC 9457 problem details."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.errors import LedgerUnavailable, PostludeError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# What an endpoint itself may raise.
FORESEEN = (PostludeError, ClientDisconnect)
# Named here, and not by `model=`: FastAPI would describe the errors as application/json.
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
        for status in statuses
    }


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
    """Answer one of `FORESEEN`; nobody hears the answer to a client that hung up."""
    if not isinstance(error, PostludeError):
        return Response(status_code=400)
    if isinstance(error, LedgerUnavailable):
        log.error("ledger_unavailable", cause=repr(error.__cause__))
    slug = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    problem = Problem(
        type=f"urn:postlude:problem:{slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        errors=error.errors,
    )
    return answer(problem, error.headers)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    detail = {
        404: f"There is nothing at {request.url.path}. See /docs for what there is.",
        405: f"{request.method} is not possible here.",
    }.get(error.status_code, str(error.detail))
    return answer(Problem(title=title, status=error.status_code, detail=detail), error.headers)


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    return answer(Problem(title="Request refused", status=422, detail="The request is not valid.", errors=errors))


async def answer_bug(request: Request, error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw, and log it."""
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return answer(Problem(title="Internal error", status=500, detail="This is a fault of the service; it is logged."))
