"""`ETag` and 304: who has an answer already is not sent it again."""

import httpx

from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from tests.service.api.driving import begin, end, on_sqlite, post


@on_sqlite
async def test_every_json_answer_to_a_get_has_a_tag_and_is_304_for_its_holder(api: httpx.AsyncClient) -> None:
    job = await post(api)
    for path in ("/v1/jobs", f"/v1/jobs/{job['id']}", "/v1/kinds", "/v1/stats", "/openapi.json"):
        tag = (await api.get(path)).headers["etag"]
        assert tag.startswith('W/"')
        for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = await api.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), (path, given)
            assert "content-type" not in again.headers
        assert (await api.get(path, headers={"If-None-Match": 'W/"other"'})).status_code == 200
        assert (await api.head(path, headers={"If-None-Match": tag})).status_code == 304


@on_sqlite
async def test_tag_of_a_job_changes_with_the_job(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await post(api)
    path = f"/v1/jobs/{job['id']}"
    tags = [(await api.get(path)).headers["etag"]]
    started = await begin(ledger, job)
    tags.append((await api.get(path)).headers["etag"])
    await ledger.progress(job["id"], 1, 1, 2)
    tags.append((await api.get(path)).headers["etag"])
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    tags.append((await api.get(path)).headers["etag"])
    assert len(set(tags)) == 4
    assert [(await api.get(path, headers={"If-None-Match": tag})).status_code for tag in tags] == [200, 200, 200, 304]


@on_sqlite
async def test_tag_holds_with_and_without_gzip(api: httpx.AsyncClient) -> None:
    plain = await api.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    packed = await api.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["etag"] == packed.headers["etag"]
    headers = {"If-None-Match": plain.headers["etag"], "Accept-Encoding": "gzip"}
    again = await api.get("/openapi.json", headers=headers)
    assert (again.status_code, again.headers["vary"]) == (304, "Accept-Encoding")


@on_sqlite
async def test_errors_and_what_was_written_have_no_tag(api: httpx.AsyncClient) -> None:
    for answer in (await api.get("/v1/jobs/nope"), await api.get("/v1/jobs?limit=0"), await api.get("/metrics")):
        assert "etag" not in answer.headers
    assert (await api.get("/v1/jobs/nope", headers={"If-None-Match": "*"})).status_code == 404
