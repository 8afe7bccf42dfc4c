"""HEAD wherever there is GET, and `Allow` with every method of a path."""

import httpx

from tests.service.api.driving import assert_problem, on_sqlite, post

WHOLE = {
    "/v1/jobs": "GET, HEAD, POST, OPTIONS",
    "/v1/jobs/x": "GET, HEAD, PATCH, OPTIONS",
    "/v1/jobs/x/cancel": "POST, OPTIONS",
    "/v1/jobs/batch": "POST, OPTIONS",
    "/v1/jobs/replay": "POST, OPTIONS",
    "/v1/jobs/x/events": "GET, HEAD, OPTIONS",
    "/v1/jobs/x/events/tickets": "POST, OPTIONS",
    "/v1/kinds": "GET, HEAD, OPTIONS",
    "/v1/stats": "GET, HEAD, OPTIONS",
    "/healthz": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/": "GET, HEAD, OPTIONS",
    "/docs/assets/swagger-ui.css": "GET, HEAD, OPTIONS",
}


@on_sqlite
async def test_unknown_method_of_a_path_is_405_and_allow_names_all_it_has(api: httpx.AsyncClient) -> None:
    for path, allow in WHOLE.items():
        for method in {"DELETE", "PUT", "PATCH"} - set(allow.split(", ")):
            response = await api.request(method, path)
            if path == "/":  # on a page, a refused action is a toast on the page that it came from
                assert response.status_code == 303
                continue
            problem = assert_problem(response, 405)
            assert response.headers["allow"] == allow, path
            assert problem["type"] == "urn:postlude:problem:method-not-allowed"
            assert problem["detail"] == f"{method} is not allowed here. Allowed: {allow}."


@on_sqlite
async def test_paths_of_actions_are_no_jobs(api: httpx.AsyncClient) -> None:
    for path in ("/v1/jobs/batch", "/v1/jobs/replay", "/v1/jobs/x/cancel"):
        for method in ("GET", "HEAD"):
            response = await api.request(method, path)
            assert response.status_code == 405
            assert response.headers["allow"] == "POST, OPTIONS"


@on_sqlite
async def test_options_lists_the_methods_of_a_path(api: httpx.AsyncClient) -> None:
    for path, allow in WHOLE.items():
        response = await api.options(path)
        assert (response.status_code, response.content) == (204, b""), path
        assert response.headers["allow"] == allow
    assert_problem(await api.request("DELETE", "/v1/nothing"), 404)
    assert (await api.options("/v1/nothing")).status_code == 404


@on_sqlite
async def test_head_answers_like_get_without_the_body(api: httpx.AsyncClient) -> None:
    job = await post(api)
    paths = ("/v1/jobs", f"/v1/jobs/{job['id']}", "/v1/jobs/nope", "/v1/jobs?limit=0", "/v1/kinds", "/v1/stats")
    for path in (*paths, "/healthz", "/metrics", "/openapi.json", "/", "/docs", "/v1/nothing"):
        head, get = await api.head(path), await api.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        different = {"date", "content-length"} if path in ("/metrics", "/") else {"date"}  # what changes as time passes
        assert {name for name in {*head.headers, *get.headers} if head.headers.get(name) != get.headers.get(name)} <= (
            different
        ), path


@on_sqlite
async def test_head_of_events_ends_at_once(api: httpx.AsyncClient) -> None:
    job = await post(api, delay=3600)
    response = await api.head(f"/v1/jobs/{job['id']}/events")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert (await api.head("/v1/jobs/nope/events")).status_code == 404
