"""Every route knows the parameters of its query; a misspelt name gets the right one suggested."""

import re
from typing import Any

import httpx

from tests.service.api.driving import assert_problem, count, on_sqlite, stat


async def operations(api: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    document = (await api.get("/openapi.json")).json()
    return [
        (method.upper(), re.sub(r"\{\w+\}", "x", path), operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


@on_sqlite
async def test_every_call_refuses_a_query_parameter_that_it_does_not_have(api: httpx.AsyncClient) -> None:
    for method, path, _ in await operations(api):
        for query in ("evnt=1", "evnt", "evnt=1&evnt=2"):
            problem = assert_problem(await api.request(method, f"{path}?{query}"), 422)
            assert problem["type"] == "urn:postlude:problem:refused"
            assert "'evnt'" in problem["detail"], (method, path)


@on_sqlite
async def test_every_parameter_that_is_not_a_list_is_refused_when_sent_twice(api: httpx.AsyncClient) -> None:
    tried = 0
    for method, path, operation in await operations(api):
        for parameter in operation.get("parameters", []):
            name, schema = parameter["name"], parameter["schema"]
            # A ticket is looked at first, as a key is.
            if name != "ticket" and parameter["in"] == "query" and '"array"' not in str(schema).replace("'", '"'):
                problem = assert_problem(await api.request(method, f"{path}?{name}=1&{name}=1"), 422)
                assert problem["detail"] == f"The query parameter {name!r} was sent 2 times. Send it once."
                tried += 1
    assert tried >= 10


@on_sqlite
async def test_nothing_is_recorded_for_a_request_with_an_unknown_query_parameter(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await api.post("/v1/jobs?wait=5", json=stat()), 422)
    assert problem["detail"] == "There is no query parameter 'wait' here. This call takes none."
    assert_problem(await api.post("/v1/jobs/batch?dry_run=true", json={"jobs": [stat()]}), 422)
    assert await count(api) == 0


@on_sqlite
async def test_errors_of_a_query_are_bounded(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/jobs?" + "&".join(["expand=x"] * 3_000))
    assert len(assert_problem(answer, 422)["errors"]) == 100


@on_sqlite
async def test_the_nearest_name_is_told(api: httpx.AsyncClient) -> None:
    for path, slip, right in (
        ("/v1/stats", "evnt", "event"),
        ("/v1/jobs", "finished_befor", "finished_before"),
        ("/v1/jobs/x", "wiat", "wait"),
        ("/v1/jobs/x/events", "tiket", "ticket"),
    ):
        problem = assert_problem(await api.get(path, params={slip: "1"}), 422)
        assert problem["detail"].endswith(f"Did you mean '{right}'?")


@on_sqlite
async def test_pages_refuse_a_query_that_they_do_not_have_as_calls_do(api: httpx.AsyncClient) -> None:
    for path in ("/", "/inbox", "/inbox/x"):
        refused = await api.get(f"{path}?evnt=1")
        assert (refused.status_code, "evnt" in refused.text) == (422, True), path
