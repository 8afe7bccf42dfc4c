"""Redis or the database away: what is still accepted, and what is answered."""

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.settings import Settings
from tests.service.api.driving import (
    assert_problem,
    but_for_waiting,
    count,
    get,
    job_in,
    on_sqlite,
    post,
    stat,
    with_redis_away,
)
from tests.service.api.test_health import metrics, without_a_database
from tests.support.proxy import proxying
from tests.support.running import eventually, running_api
from tests.support.servers import PostgresServer


@on_sqlite
async def test_jobs_are_accepted_without_redis(settings: Settings, ledger: Ledger) -> None:
    async with running_api(with_redis_away(settings)) as api:
        before = (await metrics(api))["postlude_dispatch_failures_total", ""]
        began = time.monotonic()
        job = await post(api)
        batch = await api.post("/v1/jobs/batch", json={"jobs": [stat()] * 3})
        assert time.monotonic() - began < 10
        assert batch.status_code == 202
        assert but_for_waiting(await get(api, job["id"])) == but_for_waiting(job)
        failed = await job_in(api, ledger, State.FAILED)
        assert (await api.post(f"/v1/jobs/{failed['id']}/replay")).json()["state"] == "queued"
        assert (await api.post(f"/v1/jobs/{job['id']}/cancel")).json()["state"] == "cancelled"
        assert (await metrics(api))["postlude_dispatch_failures_total", ""] >= before + 5


@asynccontextmanager
async def silent_server(socket: Path) -> AsyncIterator[str]:
    """Take connections and never answer."""
    hang_ups: list[asyncio.StreamWriter] = []

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hang_ups.append(writer)
        while await reader.read(1024):
            pass

    server = await asyncio.start_unix_server(keep_silent, socket)
    try:
        yield f"unix://{socket}"
    finally:
        server.close()
        for writer in hang_ups:
            writer.close()


@on_sqlite
async def test_jobs_are_accepted_in_time_while_redis_hangs(settings: Settings, short_dir: Path) -> None:
    async with silent_server(short_dir / "silent.sock") as url:
        hanging = settings.model_copy(update={"redis_url": url})
        async with running_api(hanging) as api:
            async with asyncio.timeout(5):
                await asyncio.gather(*(post(api) for _ in range(20)))
            assert await count(api) == 20


@on_sqlite
async def test_only_the_first_request_waits_for_a_redis_that_hangs(settings: Settings, short_dir: Path) -> None:
    async with (
        silent_server(short_dir / "silent-2.sock") as url,
        running_api(settings.model_copy(update={"redis_url": url})) as api,
        asyncio.timeout(25),  # 2 s for each would be 50
    ):
        for _ in range(25):
            await post(api)


CALLS = (
    ("POST", "/v1/jobs", stat()),
    ("POST", "/v1/jobs/batch", {"jobs": [stat()]}),
    ("GET", "/v1/jobs", None),
    ("GET", "/v1/jobs/x", None),
    ("GET", "/v1/jobs/x?wait=9", None),
    ("GET", "/v1/jobs/x/events", None),
    ("POST", "/v1/jobs/x/cancel", None),
    ("POST", "/v1/jobs/x/replay", None),
    ("POST", "/v1/jobs/replay", {"filter": {"state": "failed"}}),
    ("GET", "/v1/stats", None),
)


async def test_every_call_is_503_while_the_database_is_away(settings: Settings) -> None:
    async with running_api(without_a_database(settings)) as api:
        for method, path, body in CALLS:
            response = await api.request(method, path, json=body, headers={"Idempotency-Key": "k"})
            assert_problem(response, 503)
            assert int(response.headers["retry-after"]) > 0
        for path in ("/healthz", "/openapi.json"):
            assert (await api.get(path)).status_code == 200
        # Whether anybody may call is in the ledger, which this process has never seen.
        assert_problem(await api.get("/v1/kinds"), 503)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_api_outlives_a_database_that_goes_away_and_comes_back(
    settings: Settings, postgres: PostgresServer, redis: Redis
) -> None:
    name = settings.sqlalchemy_url.rpartition("/test_")[2].partition("?")[0]
    database = f"test_{name}"

    def allow_connections(allowed: str) -> None:
        postgres.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed}")

    async with running_api(settings) as api:
        await post(api)
        await asyncio.to_thread(allow_connections, "false")
        await asyncio.to_thread(
            postgres.execute, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        refused = await api.post("/v1/jobs", json=stat(), headers={"Idempotency-Key": "k"})
        assert_problem(refused, 503)
        assert (await api.get("/readyz")).status_code == 503
        await asyncio.to_thread(allow_connections, "true")
        accepted = await api.post("/v1/jobs", json=stat(), headers={"Idempotency-Key": "k"})
        assert accepted.status_code == 202
        assert await count(api) == await redis.zcard("arq:queue") == 2


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_every_call_is_answered_while_the_database_is_silent_and_served_soon_after(
    settings: Settings, postgres: PostgresServer
) -> None:
    name = settings.sqlalchemy_url.partition("@/")[2].partition("?")[0]
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}"
        async with running_api(settings.model_copy(update={"database_url": url})) as api:
            await asyncio.gather(*(post(api) for _ in range(3)))
            proxy.black_hole = True
            began = time.monotonic()
            asked = [
                api.request(method, path, json=body, headers={"Idempotency-Key": f"k{number}"})
                for number, (method, path, body) in enumerate(CALLS)
            ]
            *answers, ready = await asyncio.gather(*asked, api.get("/readyz"))
            assert time.monotonic() - began < 8  # 5, and what a busy machine adds; the driver alone would wait longer
            for answer in answers:
                assert_problem(answer, 503)
                assert int(answer.headers["retry-after"]) > 0
            assert (ready.status_code, ready.json()["status"]) == (503, "unready")
            proxy.heal()

            async def served() -> bool:
                again = await api.post("/v1/jobs", json=stat(), headers={"Idempotency-Key": "k0"})
                return again.status_code == 202

            await eventually(served, timeout_s=15)
            async with asyncio.timeout(10):  # no connection that is silent still is handed out
                await asyncio.gather(*(get(api, job["id"]) for job in [await post(api)] * 20))
            jobs = (await api.get("/v1/jobs")).json()["jobs"]
    assert len(jobs) in (5, 6)  # the three, the one with a key, the last, and perhaps that of the batch


@on_sqlite
async def test_a_file_locked_by_another_process_is_503_only_for_writes(settings: Settings, tmp_path: Path) -> None:
    async with running_api(settings) as api:
        job = await post(api)
        await api.get("/readyz")  # the check at the start writes, too: nothing may wait behind it
        holder = sqlite3.connect(tmp_path / "postlude.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        problem = assert_problem(await api.post("/v1/jobs", json=stat()), 503)
        assert "Nothing was recorded" in problem["detail"]
        assert but_for_waiting(await get(api, job["id"])) == but_for_waiting(job)
        holder.close()
        await post(api)
        assert await count(api) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@on_sqlite
async def test_a_full_disk_is_507_and_accepts_nothing_until_there_is_room(
    settings: Settings, small_disk: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, small_disk / "postlude.db")
    full = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{small_disk / 'postlude.db'}"})
    async with running_api(full) as api:
        await post(api)
        filling = small_disk / "filling"
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
        accepted, refused = 1, None
        while refused is None:
            answer = await api.post("/v1/jobs", json=stat("x" * 200))
            if answer.status_code == 202:
                accepted += 1
            else:
                refused = answer
        problem = assert_problem(refused, 507)
        assert "disk" in problem["detail"]
        assert int(refused.headers["retry-after"]) > 0
        assert await count(api) == accepted
        filling.unlink()
        await post(api)
        assert await count(api) == accepted + 1


@on_sqlite
async def test_client_that_hangs_up_midway_leaves_no_job_and_no_error_behind(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(b'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"kind"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await count(api) == 0
    await asyncio.sleep(0.2)  # for the error that must not come
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
