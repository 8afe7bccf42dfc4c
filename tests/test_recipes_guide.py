"""What docs/recipes.md shows works as it says: its commands run, against a site and search servers of ours."""

import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

import jobs
from service.settings import Settings
from tests.service.commands.commanding import run
from tests.support import push_servers
from tests.support.push_servers import Answer, serving
from tests.support.receiver import Received
from tests.support.running import running_api, running_worker
from tests.test_lanes_guide import curl, on_sqlite

GUIDE = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
MODULES = ("searching", "receipts")

pytestmark = on_sqlite  # no SQL of its own


@dataclass
class Server(push_servers.Server):
    """A site on 8080, Elasticsearch on 9200 and Meilisearch on 7700, as far as the guide needs them."""

    documents: dict[str, Any] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    refuses: bool = False
    looks: int = 0

    def answer_to(self, request: Received) -> Answer:
        method, target, _ = request.request_line.split()
        url = httpx.URL(f"http://host{target}")
        answers: dict[tuple[str, str], Callable[[Received, httpx.URL], Answer]] = {
            ("POST", "/_bulk"): self._bulk,
            ("POST", "/indexes/products/documents"): self._add,
            ("GET", "/tasks/12"): self._task,
        }
        return answers.get((method, url.path), self._page)(request, url)

    def _page(self, request: Received, url: httpx.URL) -> Answer:
        self.pages.append(url.path)
        return 200, "<h1>A page</h1>", {}

    def _bulk(self, request: Received, url: httpx.URL) -> Answer:
        assert url.params["filter_path"] == "errors,items.*.error,items.*._id"
        assert request.headers["content-type"] == "application/x-ndjson"
        assert request.headers["authorization"] == "ApiKey a-secret-api-key"
        assert request.body.endswith(b"\n")
        lines = map(json.loads, request.body.splitlines())
        if self.refuses:
            error = {"type": "mapper_parsing_exception", "reason": "failed to parse field [name]"}
            return 200, {"errors": True, "items": [{"index": {"_id": "7", "error": error}}]}, {}
        for action in lines:
            [(verb, where)] = action.items()
            self.documents.pop(where["_id"], None) if verb == "delete" else self._put(where["_id"], next(lines))
        return 200, {"errors": False, "items": [{"index": {"_id": "7"}}, {"delete": {"_id": "8"}}]}, {}

    def _put(self, key: str, document: Any) -> None:
        self.documents[key] = document

    def _add(self, request: Received, url: httpx.URL) -> Answer:
        assert request.headers["authorization"] == "Bearer a-secret-master-key"
        key = url.params["primaryKey"]
        self.documents.update({str(one[key]): one for one in json.loads(request.body)})
        return 202, {"taskUid": 12, "indexUid": "products", "status": "enqueued"}, {}

    def _task(self, request: Received, url: httpx.URL) -> Answer:
        assert request.headers["authorization"] == "Bearer a-secret-master-key"
        self.looks += 1
        if self.looks == 1:
            return 200, {"uid": 12, "status": "processing"}, {}
        if self.refuses:
            error = {"code": "missing_document_id", "message": "Document doesn't have an id"}
            return 200, {"uid": 12, "status": "failed", "error": error}, {}
        return 200, {"uid": 12, "status": "succeeded", "error": None, "details": {"indexedDocuments": 1}}, {}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(server := Server()):
        yield server


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with the guide's kinds."""
    for source in re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S):
        (tmp_path / source.partition("\n")[0].removeprefix("# ")).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return settings.model_copy(update={"jobs": MODULES})


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as api:
        yield api


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with running_worker(settings, jobs.load(MODULES)):
        yield


async def follow(
    api: httpx.AsyncClient, section: str, server: Server | None = None, *, most: int | None = None
) -> list[Any]:
    """Run the commands of a section, with `server` in the place of its servers; return what they printed."""
    text = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert lines, section
    if server is not None:
        lines = [
            re.sub(r"127\.0\.0\.1:(8080|9200|7700)", server.origin.removeprefix("http://"), line) for line in lines
        ]
    return [await _run(api, shlex.split(line)) for line in lines[:most]]


async def _run(api: httpx.AsyncClient, command: list[str]) -> Any:
    if command[0] == "curl":
        return json.loads(await curl(api, command))
    done = await run(api.base_url, *command[2:], group=command[1])
    assert (done.code, done.err) == (0, ""), (command, done.err)
    return done.out


async def ended(api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = (await api.get(f"/v1/jobs/{job_id}", params={"wait": 20})).json()
    assert "a-secret" not in json.dumps(job)
    return job


async def test_a_page_is_warmed_once_after_many_changes_and_by_a_schedule(
    api: httpx.AsyncClient, settings: Settings, server: Server
) -> None:
    first, schedule, limited = await follow(api, "Warm a cache", server)
    [again] = await follow(api, "Warm a cache", server, most=1)
    assert again["id"] == first["id"]
    assert schedule["cron"] == "*/15 * * * *"
    assert "2 at once, 10 in 1 s" in limited
    await api.post(f"/v1/jobs/{first['id']}/run-now")
    await api.post("/v1/schedules/warm-home/run")
    [ticked] = (await api.get("/v1/jobs", params={"kind": "call_http", "tag": "schedule:warm-home"})).json()["jobs"]
    async with running_worker(settings, jobs.load(MODULES)):
        assert (await ended(api, first["id"]))["result"]["status"] == 200
        assert (await ended(api, ticked["id"]))["state"] == "succeeded"
    assert sorted(server.pages) == ["/", "/products/7"]


@pytest.mark.usefixtures("worker")
async def test_a_bulk_call_succeeds_only_without_errors(api: httpx.AsyncClient, server: Server) -> None:
    server.documents["8"] = {}
    [job] = await follow(api, "Index in Elasticsearch and OpenSearch", server)
    assert (await ended(api, job["id"]))["state"] == "succeeded"
    assert server.documents == {"7": {"name": "Cup"}}
    server.refuses = True
    body = {"kind": "call_http", "max_attempts": 1, "args": job["args"]}
    body["args"] |= {"headers": {"Content-Type": "application/x-ndjson", "Authorization": "ApiKey a-secret-api-key"}}
    refused = await ended(api, (await api.post("/v1/jobs", json=body)).json()["id"])
    assert (refused["state"], refused["error"]["type"]) == ("failed", "AnswerUnexpected")
    assert "errors is True, not False" in refused["error"]["message"]
    assert "failed to parse field [name]" in refused["error"]["message"]


@pytest.mark.usefixtures("worker")
async def test_documents_are_indexed_when_meilisearch_says_so(api: httpx.AsyncClient, server: Server) -> None:
    [flow] = await follow(api, "Index in Meilisearch", server)
    job = await ended(api, flow["jobs"]["indexed"])
    assert server.documents == {"7": {"id": 7, "name": "Cup"}}
    assert (job["result"], job["failures"], server.looks) == ({"indexedDocuments": 1}, 0, 2)

    server.refuses = True
    [flow] = await follow(api, "Index in Meilisearch", server)
    job = await ended(api, flow["jobs"]["indexed"])
    assert job["error"]["message"] == "missing_document_id: Document doesn't have an id"


@pytest.mark.usefixtures("worker")
async def test_a_receipt_becomes_a_file(api: httpx.AsyncClient) -> None:
    [job] = await follow(api, "Make a PDF")
    job = await ended(api, job["id"])
    assert job["state"] == "succeeded", job["error"]
    answer = await api.get(f"/v1/files/{job['result']}")
    assert answer.content.startswith(b"%PDF-")
    assert answer.headers["content-type"] == "application/pdf"
    assert 'filename="receipt-2026-7.pdf"' in answer.headers["content-disposition"]
