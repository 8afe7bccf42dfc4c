"""Errors that nobody foresaw."""

import httpx
from fastapi import FastAPI

from service.web import problems
from tests.service.api.driving import SECRET, assert_problem


async def test_a_bug_is_a_problem_that_tells_nothing_of_what_went_wrong() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise RuntimeError(SECRET)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert assert_problem(answer, 500)["type"] == "urn:postlude:problem:internal-error"
    assert SECRET not in answer.text
