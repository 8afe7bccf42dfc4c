"""What a request did is recorded before its response starts, with who did it and from where."""

import logging
from typing import Annotated, Any

import pytest
from client.tests.fastapi.functions import send
from client.tests.fastapi.service import Service, asking
from fastapi import Depends, FastAPI, Header, HTTPException
from starlette.responses import JSONResponse

from postlude.errors import NotJson
from postlude.fastapi import Audit, Auditor, BackgroundTasks, Postlude, audit_by
from postlude.testing import assert_enqueued, enqueued


async def signed_in(audit: Audit, user: Annotated[str | None, Header()] = None) -> None:
    if user is None:
        audit.write("sign_in.refused", actor="nobody", always=True)
        raise HTTPException(401)
    audit.actor = user


def number(user: Annotated[int, Header()]) -> int:
    return user


def make_app() -> FastAPI:
    app = FastAPI(title="shop")

    @app.post("/pay/{invoice}", dependencies=[Depends(signed_in)])
    def pay(invoice: int, audit: Audit, tasks: BackgroundTasks) -> None:
        data = {"amount": 12}
        tasks.add_task(send, "one")
        audit.write("invoice.paid", target=f"invoice:{invoice}", data=data)
        tasks.add_task(send, "two")
        data["amount"] = 0

    @app.post("/crash")
    def crash(audit: Audit, tasks: BackgroundTasks) -> None:
        audit.write("tried", actor="ann", always=True)
        audit.write("done", actor="ann")
        tasks.add_task(send, "ann")
        raise RuntimeError

    @app.post("/by")
    def by(audit: Annotated[Auditor, Depends(audit_by(number))]) -> str | None:
        return audit.write("seen").id

    @app.post("/wrong")
    def wrong(audit: Audit, how: str) -> None:
        audit.actor = "ann"
        wrongs: dict[str, dict[str, Any]] = {
            "action": {"action": ""},
            "actor": {"action": "x", "actor": "a" * 256},
            "data": {"action": "x", "data": float("nan")},
            "nul": {"action": "x", "data": ["a\0"]},
            "surrogate": {"action": "x", "data": "\ud800"},
            "large": {"action": "x", "data": "a" * 300_000},
            "object": {"action": "x", "data": object()},
        }
        audit.write(**wrongs[how])

    return app


@pytest.mark.postlude("send")
async def test_entry_is_recorded_with_the_tasks_and_waits_for_none_of_them(service: Service) -> None:
    app = make_app()
    Postlude(app)
    headers = {"user": "ann", "user-agent": "curl/8", "x-request-id": "r" * 300}
    async with asking(app) as client:
        assert (await client.post("/pay/42", headers=headers)).status_code == 200
    one, entry, two = service.jobs
    assert entry["kind"] == "write_audit"
    assert "after" not in entry
    assert two["after"] == ["task 1"]
    said = entry["args"]
    assert said.pop("at").endswith(("Z", "+00:00"))
    origin = said.pop("origin")
    assert said == {"action": "invoice.paid", "actor": "ann", "target": "invoice:42", "data": {"amount": 12}}
    assert origin["address"] == "127.0.0.1"
    assert origin["user_agent"].startswith("curl/8")
    assert origin["request_id"] == "r" * 255
    assert one["args"]["arguments"] != two["args"]["arguments"]


@pytest.mark.postlude("send")
@pytest.mark.parametrize(("path", "status", "action"), [("/pay/1", 401, "sign_in.refused"), ("/crash", 500, "tried")])
async def test_request_that_raises_leaves_what_is_kept_always(
    service: Service, path: str, status: int, action: str
) -> None:
    app = make_app()
    Postlude(app)
    async with asking(app, raise_app_exceptions=False) as client:
        assert (await client.post(path)).status_code == status
    assert [job["args"]["action"] for job in service.jobs] == [action]


@pytest.mark.postlude("send")
async def test_caller_is_told_if_the_entry_cannot_be_recorded(service: Service) -> None:
    app = make_app()
    Postlude(app)
    problem = {"type": "urn:postlude:problem:args-invalid", "title": "Args invalid", "status": 422}
    service.answers["/v1/jobs"] = JSONResponse(problem, 422, media_type="application/problem+json")
    async with asking(app, raise_app_exceptions=False) as client:
        assert (await client.post("/by", headers={"user": "7"})).status_code == 503
        assert (await client.post("/crash")).status_code == 500


async def test_actor_comes_from_a_dependency(service: Service) -> None:
    async with asking(make_app()) as client:
        answer = await client.post("/by", headers={"user": "7"})
    entry = assert_enqueued("write_audit", action="seen", actor="7")
    assert entry.id == answer.json()
    assert len(enqueued()) == 1


@pytest.mark.parametrize("how", ["action", "actor", "data", "nul", "surrogate", "large", "object"])
async def test_what_the_log_cannot_hold_is_refused_where_it_is_written(how: str) -> None:
    async with asking(make_app()) as client:
        with pytest.raises((ValueError, NotJson)):
            await client.post("/wrong", params={"how": how})


async def test_somebody_must_have_acted() -> None:
    app = FastAPI(title="shop")

    @app.post("/")
    def nobody(audit: Audit) -> None:
        audit.write("x")

    async with asking(app) as client:
        with pytest.raises(ValueError, match="Who acts"):
            await client.post("/")


@pytest.mark.postlude("local")
async def test_without_a_service_entries_go_to_the_log_of_the_process(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "postlude.audit")
    async with asking(make_app(), raise_app_exceptions=False) as client:
        assert (await client.post("/by", headers={"user": "7"})).json() is None
        await client.post("/crash")
    logged = [record.message for record in caplog.records if record.name == "postlude.audit"]
    assert ["seen" in logged[0], "tried" in logged[1], len(logged)] == [True, True, 2]
