"""Liveness, readiness and metrics."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import make_url, update

from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Start
from service.ledger.records.lanes import Breaker, record_breakers
from service.ledger.records.workers import record_ended, record_heartbeat, record_registered
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import workers
from tests.service.api.driving import job_in, living_worker, on_sqlite, post, with_redis_away
from tests.support.running import eventually, running_api
from tests.support.servers import PostgresServer
from tests.support.writing import writing


async def test_ready_with_ledger_queue_and_a_worker(api: httpx.AsyncClient, ledger: Ledger) -> None:
    await living_worker(ledger)
    response = await api.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"ledger": "ok", "redis": "ok", "workers": "ok"}}


@on_sqlite
async def test_without_a_worker_readiness_is_degraded_by_name(api: httpx.AsyncClient) -> None:
    response = await api.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert [name for name, check in response.json()["checks"].items() if check != "ok"] == ["workers"]


@on_sqlite
async def test_without_redis_readiness_is_degraded_by_name(settings: Settings, ledger: Ledger) -> None:
    await living_worker(ledger)
    async with running_api(with_redis_away(settings)) as api:
        response = await api.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert [name for name, check in response.json()["checks"].items() if check != "ok"] == ["redis"]


def without_a_database(settings: Settings) -> Settings:
    """Name a database of the same sort that nobody has made."""
    url = settings.sqlalchemy_url
    if url.startswith("sqlite"):
        return settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{settings.data_dir}/no/such.db"})
    return settings.model_copy(update={"database_url": re.sub(r"/test_\d+", "/never_made", url)})


def without_migrations(settings: Settings) -> Settings:
    """Name an empty database of the same sort."""
    url = settings.sqlalchemy_url
    if url.startswith("sqlite"):
        return settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{settings.data_dir}/empty.db"})
    return settings.model_copy(update={"database_url": re.sub(r"/test_\d+", "/postgres", url)})


async def test_not_ready_without_a_database(settings: Settings) -> None:
    async with running_api(without_a_database(settings)) as api:
        response = await api.get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "unready")
        assert response.json()["checks"]["ledger"].startswith("away: ")
        assert "SELECT" not in response.text
        assert response.json()["checks"]["redis"] == "ok"
        assert (await api.get("/healthz")).status_code == 200


async def test_not_ready_before_the_migrations(settings: Settings) -> None:
    async with running_api(without_migrations(settings)) as api:
        response = await api.get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "unready")
        assert "postlude migrate" in response.json()["checks"]["ledger"]


async def metrics(api: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """Read /metrics as {(name, kind or nothing): value}."""
    response = await api.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, sample.labels.get("kind", "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_what_is_paused_and_which_breakers_are_open_is_told_and_degrades_nothing(
    settings: Settings, ledger: Ledger
) -> None:
    await living_worker(ledger)
    async with writing(ledger.database) as connection:
        opened = Breaker("host:a", "open", datetime(2030, 1, 31, 12, tzinfo=UTC), 1, "ConnectFailed: refused")
        await connection.run_sync(record_breakers, [opened], datetime.now(UTC))
    async with running_api(settings) as api:
        for path in ("kinds/send_email", "queues/default", "lanes/tenant:*"):
            await api.post(f"/v1/{path}/pause")
        ready = (await api.get("/readyz")).json()
        found = await metrics(api)
        text = (await api.get("/metrics")).text
        paused = [line for line in text.splitlines() if "_paused" in line and "#" not in line]
        page = (await api.get("/")).text
    assert ready["status"] == "ready"
    assert ready["paused"] == ["the kind send_email", "the queue default", "the lanes tenant:*"]
    assert ready["breakers"] == [
        "host:a: open, lets one job try at 2030-01-31T12:00:00.000Z; the last failure: ConnectFailed: refused"
    ]
    assert sorted(paused) == [
        'postlude_kind_paused{kind="send_email"} 1.0',
        "postlude_lanes_paused 1.0",
        'postlude_queue_paused{queue="default"} 1.0',
    ]
    assert (found["postlude_lane_breakers_open", ""], found["postlude_lanes_active", ""]) == (1, 0)
    assert 'postlude_lanes_held{class="host"} 1.0' in text
    assert "The kind send_email is paused." in page
    assert "The queue default is paused." in page
    assert "Lanes that match tenant:* are paused." in page
    assert "a failed lately; its lane tries it with one job at a time." in page


@on_sqlite
async def test_what_is_paused_is_told_to_callers_with_a_key_alone(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)})) as api:
        bearer = {"Authorization": "Bearer key-one"}
        await api.post("/v1/queues/default/pause", headers=bearer)
        assert (await api.get("/readyz", headers=bearer)).json()["paused"] == ["the queue default"]
        assert (await api.get("/readyz")).json() == {"status": "degraded"}
        assert "the queue default" not in (await api.get("/")).text


async def test_metrics_count_what_became_of_jobs_by_kind(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in State:
        await job_in(api, ledger, state)
    assert (
        await ledger.finish(
            Finish("taken", "update_stats", 1, "w", Outcome.SUCCEEDED, State.SUCCEEDED, datetime.now(UTC))
        )
        is None
    )
    await api.post("/v1/jobs", json={"kind": "cleanup"})
    found = await metrics(api)
    events = ("enqueued", "started", "succeeded", "failed", "cancelled", "retried")
    assert [found[f"postlude_jobs_{event}_total", "update_stats"] for event in events] == [8, 4, 1, 1, 1, 1]
    assert found["postlude_jobs_enqueued_total", "cleanup"] == 1
    assert found["postlude_jobs_running", ""] == 1
    assert found["postlude_jobs_waiting", ""] == 4
    assert found["postlude_unaccounted_jobs", ""] == 0
    assert found["postlude_workers", ""] == 4
    assert found["postlude_finishes_refused_total", "update_stats"] == 1
    # None of these workers says that it knows a kind.
    assert found["postlude_jobs_of_unknown_kind", "update_stats"] == 3
    assert found["postlude_jobs_of_unknown_kind", "cleanup"] == 1


async def test_metrics_answer_with_what_the_process_knows_while_the_database_is_away(settings: Settings) -> None:
    async with running_api(without_a_database(settings)) as api:
        found = await metrics(api)
    assert (found["postlude_ledger_up", ""], found["postlude_redis_up", ""]) == (0, 1)
    assert ("postlude_dispatch_failures_total", "") in found
    assert ("postlude_jobs_running", "") not in found


@on_sqlite
async def test_metrics_answer_while_redis_is_away(settings: Settings) -> None:
    async with running_api(with_redis_away(settings)) as api:
        found = await metrics(api)
    assert (found["postlude_ledger_up", ""], found["postlude_redis_up", ""]) == (1, 0)
    assert found["postlude_jobs_running", ""] == 0


@on_sqlite
async def test_running_counts_what_has_a_slot_and_prefetched_what_waits_for_one(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    async def begin_under(worker: str, jobs: int) -> None:
        ids = tuple([(await post(api))["id"] for _ in range(jobs)])
        now = datetime.now(UTC)
        started = await ledger.start(Start(ids, worker, ("update_stats",), now, due_by=now + timedelta(days=1)))
        assert len(started) == jobs

    async with writing(ledger.database) as connection:
        for worker, slots in (("small", 2), ("gone", 2), ("old", None)):
            await connection.run_sync(
                record_registered, datetime.now(UTC), id=worker, hostname="here", pid=1, queues="default", slots=slots
            )
    await begin_under("small", 5)
    await begin_under("old", 3)
    await begin_under("gone", 2)
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_ended, "gone", datetime.now(UTC))
    found = await metrics(api)
    names = ("running", "prefetched", "waiting")
    assert [found[f"postlude_jobs_{name}", ""] for name in names] == [2 + 3, 3, 2]


@on_sqlite
async def test_details_of_readiness_are_for_callers_with_a_key(settings: Settings, ledger: Ledger) -> None:
    await living_worker(ledger)
    keyed = with_redis_away(settings).model_copy(update={"api_keys": (SecretStr("k1"),)})
    async with running_api(keyed) as api:
        assert (await api.get("/readyz")).json() == {"status": "degraded"}
        wrong = await api.get("/readyz", headers={"authorization": "Bearer no"})
        assert (wrong.status_code, wrong.json()) == (200, {"status": "degraded"})
        told = await api.get("/readyz", headers={"authorization": "Bearer k1"})
        assert told.json()["checks"]["redis"].startswith("away: ")


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_database_that_takes_no_writes_any_more_is_not_ready(
    settings: Settings, postgres: PostgresServer
) -> None:
    name = make_url(settings.sqlalchemy_url).database
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with running_api(settings) as api:
        response = await api.get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "unready")
        assert "read-only" in response.json()["checks"]["ledger"]
        refused = await api.post("/v1/jobs", json={"kind": "cleanup"})
        assert (refused.status_code, "read-only" in refused.text) == (503, True)
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert (await api.post("/v1/jobs", json={"kind": "cleanup"})).status_code == 202

        async def ready() -> bool:
            return (await api.get("/readyz")).status_code == 200

        await eventually(ready)


@on_sqlite
async def test_a_sweep_that_never_comes_to_its_end_shows_in_readiness(api: httpx.AsyncClient, ledger: Ledger) -> None:
    worker = await living_worker(ledger)
    async with writing(ledger.database) as connection:
        early = datetime.now(UTC) - timedelta(minutes=5)
        await connection.execute(update(workers).where(workers.c.id == worker).values(started_at=early))
    readiness = (await api.get("/readyz")).json()
    assert (readiness["status"], "sweep" in readiness["checks"]["workers"]) == ("degraded", True)


@on_sqlite
async def test_metrics_are_the_same_at_every_api_and_after_a_restart(settings: Settings) -> None:
    async with running_api(settings) as first:
        await post(first)
    async with running_api(settings) as second, running_api(settings) as third:
        await post(second)
        assert (await metrics(second))["postlude_jobs_enqueued_total", "update_stats"] == 2
        assert (await metrics(third))["postlude_jobs_enqueued_total", "update_stats"] == 2


@on_sqlite
async def test_health_answers_to_head_as_to_get_without_the_body(api: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await api.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len((await api.get(path)).content))


@on_sqlite
async def test_hung_threads_of_a_worker_show_in_metrics(api: httpx.AsyncClient, ledger: Ledger) -> None:
    worker = await living_worker(ledger)
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_heartbeat, worker, datetime.now(UTC), hung_threads=3)
    assert f'postlude_worker_hung_threads{{worker="{worker}"}} 3.0' in (await api.get("/metrics")).text


@on_sqlite
async def test_worker_whose_loop_is_blocked_shows_in_metrics_and_readiness(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    worker = await living_worker(ledger)
    assert (await api.get("/readyz")).json()["checks"]["workers"] == "ok"
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_heartbeat, worker, datetime.now(UTC), loop_lag_s=7.0)
    assert f'postlude_worker_loop_lag_seconds{{worker="{worker}"}} 7.0' in (await api.get("/metrics")).text
    readiness = (await api.get("/readyz")).json()
    assert readiness["status"] == "degraded"
    assert "event loop is blocked" in readiness["checks"]["workers"]
