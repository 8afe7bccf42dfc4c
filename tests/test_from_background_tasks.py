"""Checks docs/from-background-tasks.md, on BackgroundTasks and on Postlude, section by section, on real servers.

Tests named `test_background_task...` show the installed FastAPI losing work. The others show what Postlude does.
"""

import asyncio
import contextlib
import importlib
import os
import re
import signal
import socket
import sqlite3
import struct
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from starlette.background import BackgroundTask

from jobs import Context, Kind, RetryPolicy, job
from service.queue import key_of
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support import journey_kinds
from tests.support.processes import Child, free_port, process
from tests.support.receiver import receiving
from tests.support.running import catalogue_of, eventually, running_api, running_worker

DOCUMENT = Path(__file__).parent.parent / "docs" / "from-background-tasks.md"
AT_ONCE = RetryPolicy(base=0.001, cap=0.001)
TASKS_AT_A_TIME = 40  # the threads that anyio gives to a process for its sync functions

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = pytest.mark.postlude("send")


class Args(BaseModel):
    name: str = "Ann"


@job("quick")
async def quick(ctx: Context, _args: Args) -> int:
    return ctx.attempt


@job("raise_once", retry=AT_ONCE)
async def raise_once(ctx: Context, args: Args) -> int:
    if ctx.attempt == 1:
        raise LookupError(f"no address for {args.name}")
    return ctx.attempt


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app on a loop of its own; return its URL. At the end everything it started has ended."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def client_of(url: str) -> Iterator[httpx.Client]:
    # A connection for each request: uvicorn closes a connection after an exception.
    alone = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, trust_env=False, timeout=20, limits=alone) as client:
        yield client


@contextmanager
def sent(url: httpx.URL, request: bytes, *, reset: bool = False) -> Iterator[None]:
    """Send bytes; at the end close or reset the connection without reading an answer."""
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(request)
        yield
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def post(client: httpx.AsyncClient, kind: str, **options: Any) -> str:
    answer = await client.post("/v1/jobs", json={"kind": kind, "args": {}} | options)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/jobs/{job_id}", params={"wait": 20})
    job: dict[str, Any] = answer.raise_for_status().json()
    return job


def with_kinds(settings: Settings, module: str) -> Settings:
    return settings.model_copy(update={"jobs": (module,)})


# The document itself


def code_block(first_line: str) -> str:
    (code,) = re.findall(rf"```python\n({re.escape(first_line)}\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(code)


@pytest.fixture
def documents_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the modules that the document shows importable, as if for the first time."""
    for name in ("sign_up", "crm", "sign_up_with_client"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(code_block(f"# {name}.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.usefixtures("documents_code")
async def test_background_task_of_the_document_calls_the_crm(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as crm:
        monkeypatch.setenv("CRM_URL", crm.url)
        with serving(importlib.import_module("sign_up").app) as url:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.post("/users", json={"email": "ann@example.com"})).status_code == 201
            await eventually(lambda: asyncio.sleep(0, crm.requests))


@on_sqlite
@pytest.mark.usefixtures("documents_code")
async def test_endpoint_of_the_document_calls_the_crm_once_however_often_the_request_is_sent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as crm, AsyncExitStack() as stack:
        monkeypatch.setenv("CRM_URL", crm.url)
        tell_crm: Kind[Any, Any] = importlib.import_module("crm").tell_crm
        api = await stack.enter_async_context(running_api(with_kinds(settings, "crm")))
        await stack.enter_async_context(running_worker(settings, catalogue_of(tell_crm)))
        monkeypatch.setenv("POSTLUDE_URL", str(api.base_url))
        url = stack.enter_context(serving(importlib.import_module("sign_up_with_client").app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        answers = [await client.post("/users", json={"email": "ann@example.com"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3
        (job_id,) = {answer.json()["job_id"] for answer in answers}
        assert (await ended(api, job_id))["state"] == "succeeded"
        assert len(crm.requests) == 1


@on_sqlite
@pytest.mark.usefixtures("documents_code")
async def test_endpoint_of_the_document_takes_any_address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        importlib.import_module("crm")
        api = await stack.enter_async_context(running_api(with_kinds(settings, "crm")))
        monkeypatch.setenv("POSTLUDE_URL", str(api.base_url))
        url = stack.enter_context(serving(importlib.import_module("sign_up_with_client").app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
        addresses = [
            "zoë@example.com",
            "用户@例子.广告",
            '"a b"@example.com',
            "x" * 242 + "@example.com",
            "",
            "a\nb",
            "à" * 254,
        ]
        for address in addresses:
            first, again = [await client.post("/users", json={"email": address}) for _ in range(2)]
            assert (first.status_code, again.json()) == (201, first.json()), address
        assert (await client.post("/users", json={"email": "x" * 255})).status_code == 422


@pytest.mark.usefixtures("documents_code")
async def test_endpoint_of_the_document_asks_callers_to_send_again_when_no_job_was_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for status in (409, 422, 503, None):
        with serving(_refusing(status)) as refusing:
            monkeypatch.setenv("POSTLUDE_URL", refusing if status else "http://127.0.0.1:9")
            with serving(importlib.import_module("sign_up_with_client").app) as url:
                async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                    answer = await client.post("/users", json={"email": "ann@example.com"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def _refusing(status: int | None) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/jobs")
    async def refuse() -> Response:
        return Response(status_code=status or 500)

    return app


def test_document_names_each_of_its_tests_and_no_others() -> None:
    here = Path(__file__)
    written = "".join(path.read_text() for path in (here, here.parent / "service" / "apps" / "test_moving_guide.py"))
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text()))
    others = {"test_document_names_each_of_its_tests_and_no_others", "test_app_of_the_readme_runs_its_task_in_a_job"}
    assert named == set(re.findall(r"def (test_\w+)", written)) - others


# 1. Early return, or a request that raises


def test_background_tasks_of_a_request_that_raises_or_returns_its_own_are_dropped() -> None:
    app, ran = FastAPI(), list[str]()

    @app.middleware("http")
    async def stumble(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        if request.url.path == "/middleware":
            raise ValueError("after the endpoint")
        return response

    @app.post("/middleware")
    @app.post("/good")
    async def good(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, "good")

    @app.post("/refuses")
    async def refuses(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, "refuses")
        raise HTTPException(402)

    @app.post("/raises")
    async def raises(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, "raises")
        raise ValueError("too late")

    @app.post("/early")
    async def early(tasks: BackgroundTasks) -> Response:
        tasks.add_task(ran.append, "early")
        return Response(background=BackgroundTask(ran.append, "its own"))

    with serving(app) as url, client_of(url) as client:
        paths = ("/good", "/refuses", "/raises", "/middleware", "/early")
        assert [client.post(path).status_code for path in paths] == [200, 402, 500, 500, 200]
    assert ran == ["good", "its own"]


@on_sqlite
async def test_job_runs_even_though_the_request_that_enqueued_it_raised(settings: Settings) -> None:
    app, job_ids = FastAPI(), list[str]()
    async with running_api(with_kinds(settings, "tests.support.journey_kinds")) as api:

        @app.post("/raises")
        async def raises() -> None:
            async with httpx.AsyncClient(base_url=api.base_url, trust_env=False) as postlude:
                job_ids.append(await post(postlude, "journey_rest"))
            raise ValueError("too late")

        with serving(app) as url:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.post("/raises")).status_code == 500
        async with running_worker(settings, catalogue_of(journey_kinds.rest)):
            assert (await ended(api, job_ids[0]))["state"] == "succeeded"


# 2. Swallowed exception


def test_background_task_that_raises_goes_unnoticed_by_the_client_and_drops_the_next_one() -> None:
    app, ran = FastAPI(), list[str]()

    def fail() -> None:
        ran.append("first")
        raise LookupError("no address")

    @app.post("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(fail)
        tasks.add_task(ran.append, "second")

    with serving(app) as url, client_of(url) as client:
        assert client.post("/").status_code == 200
    assert ran == ["first"]


@on_sqlite
async def test_exception_is_kept_with_its_attempt_and_the_job_is_tried_again(settings: Settings) -> None:
    async with open_desk(settings, raise_once) as desk, running_worker(settings, catalogue_of(raise_once)):
        first, second = [await desk.enqueue(raise_once, {"name": name}) for name in ("Ann", "Bo")]
        assert [(await desk.ended(job_id))["state"] for job_id in (first, second)] == ["succeeded"] * 2
        failed, succeeded = await desk.attempts(first)
    assert (failed["error_type"], failed["error_message"]) == ("LookupError", "no address for Ann")
    assert "in raise_once" in failed["traceback"]
    assert (failed["outcome"], succeeded["outcome"]) == ("failed", "succeeded")


# 3. Restart


def one_process() -> FastAPI:
    """An app whose background task records in a file that it began and, once it may go on, that it ended."""
    app, notes, begun = FastAPI(), Path(os.environ["NOTES"]), list[str]()

    def note(line: str) -> None:
        with notes.open("a") as file:
            file.write(line + "\n")

    async def work(name: str) -> None:
        begun.append(name)
        note(f"{name} began")
        while not notes.with_suffix(".go").exists():
            await asyncio.sleep(0.01)
        note(f"{name} ended")

    @app.post("/work/{name}", status_code=202)
    async def accept(name: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(work, name)

    @app.get("/begun")
    async def known() -> list[str]:
        return begun

    return app


@contextlib.asynccontextmanager
async def app_process() -> AsyncIterator[tuple[httpx.AsyncClient, Child]]:
    port = free_port()
    command = ("uvicorn", "--factory", "tests.test_from_background_tasks:one_process", "--log-level", "critical")
    async with (
        process(*command, "--port", str(port)) as child,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        await eventually(lambda: answers(client, "/begun"), 60)
        yield client, child


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(path)).is_success
    return False


async def test_background_task_is_known_to_one_process_and_dies_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(notes))
    async with app_process() as (client, child), app_process() as (next_one, _):
        assert (await client.post("/work/invoice")).status_code == 202
        await eventually(lambda: asyncio.sleep(0, notes.exists()))
        assert (await client.get("/begun")).json() == ["invoice"]
        assert (await next_one.get("/begun")).json() == []
        child.kill()
        await child.wait()
        notes.with_suffix(".go").touch()
        assert (await next_one.post("/work/after")).status_code == 202
        await eventually(lambda: asyncio.sleep(0, "after ended" in notes.read_text()))
    assert notes.read_text().splitlines() == ["invoice began", "after began", "after ended"]


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The settings of a test, for its child processes."""
    return {
        "DATABASE_URL": settings.sqlalchemy_url,
        "REDIS_URL": settings.redis_dsn,
        "DATA_DIR": str(settings.data_dir),
        "JOBS": "tests.support.journey_kinds",
        "GRACE_S": "0.2",
        "LOG_LEVEL": "ERROR",
    }


@pytest.fixture
async def journey(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, journey_kinds.rest) as desk:
        yield desk


@on_sqlite
async def test_job_runs_even_though_the_api_was_killed_right_after_its_answer(
    journey: Desk, settings: Settings, environment: dict[str, str]
) -> None:
    port = free_port()
    async with (
        process("postlude", "api", PORT=str(port), **environment) as api,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        await eventually(lambda: answers(client, "/readyz"))
        job_id = await post(client, "journey_rest")
        api.kill()
        await api.wait()
    async with running_worker(settings, catalogue_of(journey_kinds.rest)):
        assert (await journey.ended(job_id))["state"] == "succeeded"


@on_sqlite
async def test_worker_stopped_during_a_job_hands_it_back_and_the_next_worker_runs_it(
    journey: Desk, settings: Settings, environment: dict[str, str]
) -> None:
    async with process("arq", "worker_settings.WorkerSettings", **environment) as worker:
        job_id = await journey.enqueue(journey_kinds.rest, {"first_seconds": 60}, max_attempts=1)
        await journey.running(job_id)
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await worker.wait() == 0
    async with running_worker(settings, catalogue_of(journey_kinds.rest)):
        row = await journey.ended(job_id)
    assert (row["state"], row["failures"]) == ("succeeded", 0)
    assert await journey.outcomes(job_id) == ["interrupted", "succeeded"]


# 4. Closed session


class Orders:
    """A small database, as dependencies of an endpoint: one transaction for each request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self._connect()) as connection, connection:
            connection.execute("CREATE TABLE orders (name)")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, check_same_thread=False)

    def session(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection, connection:  # commits, or rolls back
            yield connection

    def names(self) -> list[str]:
        with closing(self._connect()) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM orders")]


def test_background_task_finds_the_session_closed(tmp_path: Path) -> None:
    app, orders, errors = FastAPI(), Orders(tmp_path / "orders.db"), list[str]()

    def ship(session: sqlite3.Connection) -> None:
        try:
            session.execute("SELECT name FROM orders")
        except sqlite3.ProgrammingError as error:
            errors.append(str(error))

    @app.post("/")
    def order(
        tasks: BackgroundTasks, session: Annotated[sqlite3.Connection, Depends(orders.session, scope="function")]
    ) -> None:
        tasks.add_task(ship, session)

    with serving(app) as url, client_of(url) as client:
        assert client.post("/").status_code == 200
    assert errors == ["Cannot operate on a closed database."]


def test_background_task_that_raises_rolls_back_the_request_that_was_answered(tmp_path: Path) -> None:
    app, orders, seen = FastAPI(), Orders(tmp_path / "orders.db"), list[list[str]]()

    def ship() -> None:
        seen.append(orders.names())
        raise LookupError("no address")

    @app.post("/", status_code=201)
    def order(tasks: BackgroundTasks, session: Annotated[sqlite3.Connection, Depends(orders.session)]) -> None:
        session.execute("INSERT INTO orders VALUES ('book')")
        tasks.add_task(ship)

    with serving(app) as url, client_of(url) as client:
        assert client.post("/").status_code == 201
    assert (seen, orders.names()) == ([[]], [])


@on_sqlite
async def test_each_attempt_has_a_session_of_its_own_and_leaves_nothing_half_written(settings: Settings) -> None:
    sessions = []
    visits = Table("visits", MetaData(), Column("attempt", Integer))

    @job("count_then_raise", retry=AT_ONCE)
    async def count_then_raise(ctx: Context, _args: Args) -> None:
        async with ctx.session() as session, session.begin():
            sessions.append(session)
            await session.execute(insert(visits).values(attempt=ctx.attempt))
            if ctx.attempt == 1:
                raise LookupError("no address")

    async with open_desk(settings, count_then_raise) as desk, running_worker(settings, catalogue_of(count_then_raise)):
        await desk.ledger.database.run(visits.create)
        job_id = await desk.enqueue(count_then_raise)
        assert (await desk.ended(job_id))["state"] == "succeeded"
        async with desk.ledger.read() as connection:
            assert (await connection.execute(select(visits.c.attempt))).scalars().all() == [2]
    assert len({id(session) for session in sessions}) == 2


# 5. Blocking call


@contextmanager
def blocked_by(app: FastAPI, path: str, *, requests: int) -> Iterator[httpx.Client]:
    with serving(app) as url, client_of(url) as client:
        for _ in range(requests):
            assert client.post(path).status_code == 200
        yield client


@pytest.mark.parametrize("sort", ["async", "sync"])
def test_background_task_that_blocks_holds_up_requests(sort: str) -> None:
    app, released = FastAPI(), threading.Event()

    def block() -> None:
        released.wait(20)

    async def block_the_loop() -> None:
        released.wait(20)

    @app.post("/async")
    async def one_is_enough(tasks: BackgroundTasks) -> None:
        tasks.add_task(block_the_loop)

    @app.post("/sync")
    async def one_for_each_thread(tasks: BackgroundTasks) -> None:
        tasks.add_task(block)

    @app.get("/ping")
    def ping() -> str:
        return "pong"

    with blocked_by(app, f"/{sort}", requests=1 if sort == "async" else TASKS_AT_A_TIME) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/ping", timeout=0.3)
        released.set()
        assert client.get("/ping").json() == "pong"


@on_sqlite
async def test_blocking_work_in_a_thread_holds_up_no_other_job(settings: Settings) -> None:
    released = threading.Event()

    @job("block")
    async def block(ctx: Context, _args: Args) -> bool:
        return await ctx.thread(released.wait, 20)

    async with open_desk(settings, block, quick) as desk, running_worker(settings, catalogue_of(block, quick)):
        blocking = await desk.enqueue(block)
        await desk.running(blocking)
        others = [await desk.enqueue(quick) for _ in range(TASKS_AT_A_TIME)]
        assert {(await desk.ended(job_id))["state"] for job_id in others} == {"succeeded"}
        assert (await desk.row(blocking))["state"] == "running"
        released.set()
        assert (await desk.ended(blocking))["result"] == "true"


# 6. Missing timeout


def test_background_task_that_hangs_keeps_its_server_from_stopping() -> None:
    app, released, ended_at_stop = FastAPI(), threading.Event(), list[bool]()

    async def hang() -> None:
        while not released.is_set():
            await asyncio.sleep(0.01)
        ended_at_stop.append(True)

    @app.post("/")
    async def endpoint(tasks: BackgroundTasks) -> None:
        tasks.add_task(hang)

    with serving(app) as url:
        with client_of(url) as client:
            assert client.post("/").status_code == 200
        threading.Timer(0.5, released.set).start()
    assert ended_at_stop


@on_sqlite
@pytest.mark.parametrize("swallows", [False, True])
async def test_attempt_that_hangs_is_timed_out_and_tried_again(settings: Settings, swallows: bool) -> None:
    @job("hang_once", timeout=0.1, retry=AT_ONCE)
    async def hang_once(ctx: Context, _args: Args) -> str:
        if ctx.attempt == 1:
            with contextlib.suppress(*([asyncio.CancelledError] if swallows else [])):
                await asyncio.Event().wait()
        return "done"

    async with open_desk(settings, hang_once) as desk, running_worker(settings, catalogue_of(hang_once)):
        job_id = await desk.enqueue(hang_once)
        assert (await desk.ended(job_id))["state"] == "succeeded"
        assert await desk.outcomes(job_id) == ["timed_out", "succeeded"]


# 7. Wrong worker


@on_sqlite
async def test_job_of_an_unknown_kind_waits_for_a_worker_that_knows_it(settings: Settings, redis: Redis) -> None:
    async with open_desk(settings, quick, raise_once) as desk, running_worker(settings, catalogue_of(raise_once)):
        unknown = await desk.enqueue(quick)
        await desk.ended(await desk.enqueue(raise_once))
        assert (await desk.row(unknown))["state"] == "queued"

        async def ran() -> bool:
            # An id that was claimed in vain is held for 15 s; the test does not wait that long.
            await redis.zadd(key_of("default"), {unknown: 1}, xx=True)
            return bool((await desk.row(unknown))["state"] == "succeeded")

        async with running_worker(settings, catalogue_of(quick)):
            await eventually(ran)
        assert await desk.outcomes(unknown) == ["succeeded"]


@on_sqlite
async def test_every_api_knows_a_job_whichever_accepted_it(settings: Settings) -> None:
    known = with_kinds(settings, "tests.support.journey_kinds")
    async with running_api(known) as one, running_api(known) as other:
        job_id = await post(one, "journey_rest")
        assert (await other.get(f"/v1/jobs/{job_id}")).json()["state"] == "queued"
        async with running_worker(settings, catalogue_of(journey_kinds.rest)):
            assert (await ended(other, job_id))["state"] == "succeeded"


# 8. Client disconnect


def raw_post(path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_background_task_runs_twice_when_a_client_that_lost_the_answer_sends_again() -> None:
    app, ran = FastAPI(), list[str]()

    @app.post("/charge")
    async def charge(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, "charged")

    with serving(app) as url, client_of(url) as client:
        with sent(httpx.URL(url), raw_post("/charge")):
            pass
        assert client.post("/charge").status_code == 200
    assert ran == ["charged", "charged"]


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API, and a worker behind it."""
    async with (
        running_api(with_kinds(settings, "tests.support.journey_kinds")) as opened,
        running_worker(settings, catalogue_of(journey_kinds.rest)),
    ):
        yield opened


@dataclass(frozen=True)
class Keyed:
    """A request to enqueue a job, with an idempotency key: the same one, over and over."""

    key: str
    body: bytes = b'{"kind": "journey_rest", "args": {}}'

    @property
    def raw(self) -> bytes:
        return raw_post("/v1/jobs", self.body, content_type="application/json", idempotency_key=self.key)

    async def accepted(self, api: httpx.AsyncClient) -> str:
        """Send the request until it is accepted; return the job's id."""

        async def post_once() -> str | None:
            headers = {"content-type": "application/json", "idempotency-key": self.key}
            answer = await api.post("/v1/jobs", content=self.body, headers=headers)
            assert answer.status_code in (202, 409)  # 409: the first request is still under way
            return answer.json()["id"] if answer.status_code == 202 else None

        job_id = await eventually(post_once)
        assert job_id is not None
        return job_id


async def listed(api: httpx.AsyncClient) -> list[str]:
    return [job["id"] for job in (await api.get("/v1/jobs")).json()["jobs"]]


@on_sqlite
async def test_job_whose_answer_was_lost_runs_and_sending_again_returns_the_same_job(
    api: httpx.AsyncClient,
) -> None:
    request = Keyed("any")
    with sent(api.base_url, request.raw):
        (job_id,) = await eventually(lambda: listed(api))
    assert (await ended(api, job_id))["state"] == "succeeded"
    assert await request.accepted(api) == job_id
    assert await listed(api) == [job_id]


@on_sqlite
@pytest.mark.parametrize("reset", [False, True])
async def test_request_cut_off_anywhere_and_sent_again_makes_one_job(api: httpx.AsyncClient, reset: bool) -> None:
    length, body = len(Keyed("00").raw), len(Keyed.body)
    cuts = (0, 1, length - body - 1, length - body, length - 1, length)
    requests = [Keyed(f"{number:02}") for number in range(len(cuts))]
    for request, cut in zip(requests, cuts, strict=True):
        with sent(api.base_url, request.raw[:cut], reset=reset):
            pass
    job_ids = [await request.accepted(api) for request in requests]
    assert {(await ended(api, job_id))["state"] for job_id in job_ids} == {"succeeded"}
    assert sorted(await listed(api)) == sorted(job_ids)
