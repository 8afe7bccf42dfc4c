"""A small service on a socket: it takes registrations and jobs, and calls apps as the real one does."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postlude.calling.signature import secret_key, sign
from postlude.fastapi import Postlude
from postlude.fastapi.connected import Connected


@dataclass
class Service:
    """What was asked of it, and how it is to answer."""

    url: str = ""
    apps: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: dict[str, Response] = field(default_factory=dict)
    """By path: in the place of the usual answer."""

    @property
    def called(self) -> list[str]:
        """The functions that were enqueued, without their module."""
        return [job["args"]["function"].rpartition(".")[2] for job in self.jobs]

    async def put_app(self, request: Request) -> Response:
        name = request.path_params["name"]
        is_new = name not in self.apps
        self.apps[name] = await request.json()
        return JSONResponse({"name": name}, 201 if is_new else 200)

    async def get_app(self, request: Request) -> Response:
        name = request.path_params["name"]
        problem = {"type": "urn:postlude:problem:app-not-found", "title": "App not found", "status": 404}
        return (
            JSONResponse({"name": name})
            if name in self.apps
            else JSONResponse(problem, 404, media_type="application/problem+json")
        )

    async def post_job(self, request: Request) -> Response:
        job = await request.json()
        self.jobs.append(job)
        return JSONResponse({"id": job["id"], "kind": job["kind"], "args": job["args"], "state": "queued"}, 202)

    async def post_flow(self, request: Request) -> Response:
        flow = await request.json()
        self.jobs += flow["jobs"]
        return JSONResponse({"id": flow["id"], "jobs": {job["name"]: job["id"] for job in flow["jobs"]}}, 202)

    def call_of(self, job: dict[str, Any], *, attempt: int = 1, timeout_s: float = 30) -> dict[str, Any]:
        """Return the body of a call."""
        said = {name: job["args"][name] for name in ("function", "arguments", "offer") if name in job["args"]}
        return {**said, "job": job["id"], "attempt": attempt, "timeout": timeout_s}

    def signed(self, app: str, call: Any, *, at: float | None = None) -> dict[str, Any]:
        """Return content and headers of a call, for httpx."""
        content = call if isinstance(call, bytes) else json.dumps(call).encode()
        message_id = f"{call['job']}_{call['attempt']}" if isinstance(call, dict) else "job_1"
        sent = int(at or time.time())
        signature = sign(secret_key(self.apps[app]["secret"]), message_id, sent, content)
        headers = {"webhook-id": message_id, "webhook-timestamp": str(sent), "webhook-signature": signature}
        return {"content": content, "headers": {**headers, "content-type": "application/json"}}

    async def run(self, client: httpx.AsyncClient, job: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Have an app run a job, and return its verdict."""
        call = self.call_of(job, **options)
        answer = await client.post("/_postlude", **self.signed(job["args"]["app"], call))
        assert answer.status_code == 200, answer.text
        verdict: dict[str, Any] = json.loads(answer.text)
        return verdict

    async def run_all(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        return [await self.run(client, job) for job in self.jobs]


def _app(service: Service) -> Starlette:
    app = Starlette(
        routes=[
            Route("/v1/apps/{name}", service.put_app, methods=["PUT"]),
            Route("/v1/apps/{name}", service.get_app),
            Route("/v1/jobs", service.post_job, methods=["POST"]),
            Route("/v1/flows", service.post_flow, methods=["POST"]),
        ]
    )

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            service.requests.append(f"{scope['method']} {scope['path']}")
            await service.answers.get(scope["path"], app)(scope, receive, send)

    return answered  # type: ignore[return-value]  # any ASGI app will do


class PromptServer(uvicorn.Server):
    """Ends as soon as it is told to: uvicorn looks ten times a second, and waits for a tenth of one then."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.005)
        await self.lifespan.shutdown()


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an app in a thread, and return its URL."""
    server = PromptServer(uvicorn.Config(app, port=0, log_level="warning", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def a_service() -> Iterator[Service]:
    service = Service()
    with serving(_app(service), lifespan="off") as service.url:
        yield service


@asynccontextmanager
async def asking(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Ask an app in this loop."""
    transport = httpx.ASGITransport(app, **options)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test:8000") as client:
        yield client


def connected(postlude: Postlude) -> Connected:
    assert postlude.connected is not None
    return postlude.connected


async def until(holds: Any) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)
