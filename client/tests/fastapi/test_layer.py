"""No response starts before its tasks are enqueued."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from client.tests.fastapi.functions import fail, send, write
from client.tests.fastapi.service import Service, asking, connected
from client.tests.fastapi.test_collecting import EXITS_AFTER_RESPONSE
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from starlette.responses import JSONResponse

from postlude.fastapi import BackgroundTasks, CannotTravel, Postlude

pytestmark = pytest.mark.postlude("send")
PROBLEM = {"type": "urn:postlude:problem:ledger-full", "title": "Ledger full", "status": 422, "detail": "No room."}


def refusal() -> JSONResponse:
    return JSONResponse(PROBLEM, 422, media_type="application/problem+json")


class Shop:
    def __init__(self) -> None:
        self.app = app = FastAPI()
        self.seen: list[Any] = []
        self.postlude = Postlude(app)
        app.add_middleware(CORSMiddleware, allow_origins=["*"])

        def session() -> Iterator[None]:
            try:
                yield
                self.seen.append("committed")
            except BaseException:
                self.seen.append("rolled back")
                raise

        @app.post("/one", dependencies=[Depends(session)])
        def one(tasks: BackgroundTasks) -> dict[str, str]:
            return {"id": str(tasks.add_task(send, "ann").id)}

        @app.post("/three")
        def three(tasks: BackgroundTasks) -> list[str | None]:
            return [tasks.add_task(send, "ann").id, tasks.add_task(fail).id, tasks.add_task(write, "x").id]

        @app.post("/stream")
        def stream(tasks: BackgroundTasks) -> StreamingResponse:
            tasks.add_task(send, "ann")

            async def body() -> AsyncIterator[bytes]:
                self.seen.append("streamed")
                yield b"x" * 100
                tasks.add_task(send, "late")

            return StreamingResponse(body())

        @app.post("/list")
        def appended(tasks: BackgroundTasks, what: str = "send") -> None:
            from starlette.background import BackgroundTask

            tasks.tasks.append(BackgroundTask(send, "ann") if what == "send" else BackgroundTask(lambda: None))

        @app.post("/by-hand")
        async def by_hand() -> dict[str, Any]:
            tasks = BackgroundTasks()
            handle = tasks.add_task(send, "ann")
            await tasks()
            await tasks()
            return {"id": handle.id}

        @app.get("/nothing")
        def nothing() -> str:
            return "nothing"


async def test_one_task_is_one_request_of_one_job(service: Service) -> None:
    async with asking(Shop().app) as client:
        answer = await client.post("/one")
    assert service.requests == ["PUT /v1/apps/fastapi", "POST /v1/jobs"]
    [job] = service.jobs
    assert job["id"] == answer.json()["id"]
    assert job["kind"] == "call_app"
    assert job["args"].pop("offer")
    assert job["args"] == {
        "app": "fastapi",
        "function": "client.tests.fastapi.functions.send",
        "arguments": {"to": "ann"},
    }
    assert job.keys() == {"id", "kind", "args"}


async def test_several_tasks_are_one_flow_in_order(service: Service) -> None:
    async with asking(Shop().app) as client:
        answer = await client.post("/three")
    assert service.requests == ["PUT /v1/apps/fastapi", "POST /v1/flows"]
    assert [job["id"] for job in service.jobs] == answer.json()
    assert [(job["name"], job.get("after"), job.get("run_when")) for job in service.jobs] == [
        ("task 1", None, None),
        ("task 2", ["task 1"], "attempted"),
        ("task 3", ["task 2"], "attempted"),
    ]


async def test_request_without_tasks_asks_nothing_of_the_service(service: Service) -> None:
    async with asking(Shop().app) as client:
        assert (await client.get("/nothing")).json() == "nothing"
    assert service.requests == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/apps/fastapi"])
async def test_response_is_503_when_tasks_are_not_enqueued(
    service: Service, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers[path] = refusal()
    shop = Shop()
    async with asking(shop.app) as client:
        answer = await client.post("/one", headers={"origin": "http://x.test"})
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["access-control-allow-origin"] == "*", "it passes through the app's own middleware"
        assert answer.json()["type"] == "urn:postlude:problem:tasks-not-enqueued"
        assert "No room" not in answer.text, "what is wrong inside is for the log"
        assert "not enqueued: client.tests.fastapi.functions.send: " in caplog.text
        assert "No room" in caplog.text
        assert shop.postlude.not_enqueued == 1
        service.answers.clear()
        assert (await client.post("/one")).status_code == 200


async def test_session_of_a_request_that_gets_503_is_rolled_back(service: Service) -> None:
    service.answers["/v1/jobs"] = refusal()
    shop = Shop()
    async with asking(shop.app) as client:
        assert (await client.post("/one")).status_code == 503
    assert shop.seen == (["rolled back"] if EXITS_AFTER_RESPONSE else ["committed"])


async def test_stream_does_not_begin_when_its_tasks_are_not_enqueued(service: Service) -> None:
    service.answers["/v1/jobs"] = refusal()
    shop = Shop()
    async with asking(shop.app) as client:
        assert (await client.post("/stream")).status_code == 503
    assert shop.seen == []


async def test_late_task_that_is_not_enqueued_is_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    async with asking(shop.app) as client:
        assert (await client.post("/stream")).status_code == 200
        assert [job["args"]["arguments"] for job in service.jobs] == [{"to": "ann"}, {"to": "late"}]

        async def refuse_late(scope: Any, receive: Any, send: Any) -> None:
            usual = JSONResponse({"id": "x", "kind": "call_app", "args": {}, "state": "queued"}, 202)
            await (refusal() if service.requests.count("POST /v1/jobs") > 3 else usual)(scope, receive, send)

        service.answers["/v1/jobs"] = refuse_late  # type: ignore[assignment]
        with pytest.raises(Exception, match="No room"):
            await client.post("/stream")
    assert shop.postlude.not_enqueued == 1
    assert "not enqueued: client.tests.fastapi.functions.send" in caplog.text


async def test_task_put_into_the_list_by_hand_is_enqueued(service: Service) -> None:
    async with asking(Shop().app) as client:
        assert (await client.post("/list")).status_code == 200
        assert service.called == ["send"]
        with pytest.raises(CannotTravel, match="a lambda or a local function"):
            await client.post("/list?what=lambda")


async def test_tasks_made_by_hand_are_enqueued_once_when_awaited(service: Service) -> None:
    async with asking(Shop().app) as client:
        answer = await client.post("/by-hand")
        assert [job["id"] for job in service.jobs] == [answer.json()["id"]]
        service.answers["/v1/jobs"] = refusal()
        with pytest.raises(Exception, match="No room"):
            await client.post("/by-hand")


async def test_tasks_made_outside_of_a_request_are_enqueued(service: Service) -> None:
    shop = Shop()
    connected(shop.postlude).serves({"server": ("127.0.0.1", 8000)})
    tasks = BackgroundTasks()
    tasks.add_task(send, "ann")
    await tasks()
    assert service.called == ["send"]


async def test_caller_who_hung_up_keeps_its_tasks(service: Service) -> None:
    """As with FastAPI's own class: the endpoint has done its part."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def gone(message: Any) -> None:
        sent.append(message["type"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/one",
        "headers": [],
        "query_string": b"",
        "server": ("127.0.0.1", 8000),
    }
    await Shop().app(scope, receive, gone)
    assert service.called == ["send"]


async def test_mounted_app_with_its_own_postlude_sends_under_its_own_name(service: Service) -> None:
    outer, inner = Shop(), FastAPI(title="inner")
    Postlude(inner)

    @inner.post("/x")
    def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "ann")

    outer.app.mount("/inner", inner)
    async with asking(outer.app) as client:
        await client.post("/inner/x")
        await client.post("/one")
    assert [job["args"]["app"] for job in service.jobs] == ["inner", "fastapi"]
    assert service.apps["inner"]["url"] == "http://shop.test:8000/inner"


async def test_many_requests_at_once_register_once(service: Service) -> None:
    async with asking(Shop().app) as client:
        answers = await asyncio.gather(*(client.post("/one") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert service.requests.count("PUT /v1/apps/fastapi") == 1
    assert {answer.json()["id"] for answer in answers} == {job["id"] for job in service.jobs}


async def test_service_that_is_away_is_503_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("postlude.fastapi.service.WITHIN_S", 0.2)
    async with asking(Shop().app) as client:
        answer = await client.post("/one", timeout=10)
    assert answer.status_code == 503


async def test_requests_that_wait_for_the_registration_share_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("postlude.fastapi.service.WITHIN_S", 0.3)
    shop = Shop()
    async with asking(shop.app) as client:
        asked = asyncio.gather(*(client.post("/one") for _ in range(100)))
        answers = await asyncio.wait_for(asked, timeout=10)  # one after another, they would take 30 s
        assert {answer.status_code for answer in answers} == {503}
        assert not connected(shop.postlude).service._registering


async def test_dependency_that_swallows_errors_does_not_answer_twice(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers["/v1/jobs"] = refusal()
    app = FastAPI()
    Postlude(app)

    async def swallows() -> AsyncIterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001 - as some do
            logging.getLogger("shop").warning("swallowed")

    @app.post("/x")
    def endpoint(tasks: BackgroundTasks, _one: Annotated[None, Depends(swallows)]) -> None:
        tasks.add_task(send, "ann")

    async with asking(app) as client:
        assert (await client.post("/x")).status_code == 503
