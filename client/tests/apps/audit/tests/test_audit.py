import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import httpx
import pytest
from audit.dependencies import Audit, admin, current_actor
from audit.log import Actor, AuditLog
from audit.main import create_app
from fastapi import BackgroundTasks, FastAPI, HTTPException

pytestmark = pytest.mark.anyio
ANN = {"x-actor": "ann"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(AuditLog, "path", tmp_path / "audit.jsonl")
    return tmp_path / "audit.jsonl"


@pytest.fixture
def app() -> FastAPI:
    return create_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://records.example") as client:
        yield client


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_dependencies_of_all_sorts_add_in_order(client: httpx.AsyncClient, path: Path) -> None:
    answer = await client.put("/records/5", headers=ANN)
    assert (answer.status_code, answer.headers["x-server"]) == (200, "records")
    assert lines(path) == [
        {"actor": "counter", "action": "view", "path": "/records/5"},
        {"actor": "ann", "action": "begin"},
        {"actor": "ann", "action": "write", "changes": ["record 5"]},
        {"actor": "ann", "action": "end"},
    ]


async def test_dependency_with_yield_sees_the_tasks(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="audit.dependencies"):
        await client.put("/records/5", headers=ANN)
    assert caplog.messages == ["1 changes, 4 tasks"]


async def test_plain_endpoint(client: httpx.AsyncClient, path: Path) -> None:
    await client.get("/records/5", headers=ANN)
    assert [line["action"] for line in lines(path)] == ["view", "read"]


async def test_admins_are_noted(client: httpx.AsyncClient, path: Path) -> None:
    assert (await client.get("/admin", headers={"x-actor": "root"})).json() == "root"
    assert [line["action"] for line in lines(path)] == ["enter", "administrate"]


async def test_refused_request_leaves_no_trace(client: httpx.AsyncClient, path: Path) -> None:
    assert (await client.get("/admin", headers=ANN)).status_code == 403
    assert (await client.get("/records/5")).status_code == 422
    assert lines(path) == []


async def test_request_that_raises_leaves_no_trace(client: httpx.AsyncClient, path: Path) -> None:
    with pytest.raises(ValueError, match="nobody drops"):
        await client.delete("/records/13", headers=ANN)
    assert lines(path) == []
    assert (await client.delete("/records/12", headers=ANN)).status_code == 200
    assert [line["action"] for line in lines(path)] == ["view", "drop"]


async def test_overridden_dependency_gives_the_actor(app: FastAPI, client: httpx.AsyncClient, path: Path) -> None:
    app.dependency_overrides[current_actor] = lambda: Actor(id=UUID(int=1), name="fake")
    await client.get("/records/5")
    assert lines(path)[1] == {"actor": "fake", "action": "read", "number": 5}


async def test_overridden_dependency_gives_a_mock(app: FastAPI, client: httpx.AsyncClient, path: Path) -> None:
    actor = Mock(spec=Actor)
    actor.name = "mock"
    app.dependency_overrides[current_actor] = lambda: actor
    await client.get("/records/5")
    assert lines(path)[1] == {"actor": "mock", "action": "read", "number": 5}


async def test_overridden_dependency_adds_nothing(app: FastAPI, client: httpx.AsyncClient, path: Path) -> None:
    class Silent:
        def note(self, _action: str, **_details: object) -> None:
            return

    app.dependency_overrides[Audit] = Silent
    await client.get("/records/5", headers=ANN)
    assert [line["action"] for line in lines(path)] == ["view"]


async def test_dependency_called_by_hand(path: Path) -> None:
    tasks = BackgroundTasks()
    actor = Actor(id=UUID(int=1), name="bo")
    with pytest.raises(HTTPException):
        admin(actor, Audit(tasks, actor), tasks)
    assert [task.func for task in tasks.tasks] == [AuditLog.write, AuditLog.alert]
    await tasks()
    assert [line["action"] for line in lines(path)] == ["enter", "intruder"]
