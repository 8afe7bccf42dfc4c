"""Alive, ready, and what there is to measure."""

import re
from datetime import UTC, datetime

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.ledger import liveness
from service.ledger.ledger import Ledger
from service.ledger.models import Finish
from service.ledger.states import Outcome, State
from service.settings import Settings
from tests.running import running_api
from tests.service.api.driving import job_in, living_worker, on_sqlite, post, with_redis_away


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
    assert [found[f"postlude_jobs_{event}_total", "update_stats"] for event in events] == [7, 4, 1, 1, 1, 1]
    assert found["postlude_jobs_enqueued_total", "cleanup"] == 1
    assert found["postlude_jobs_running", ""] == 1
    assert found["postlude_jobs_waiting", ""] == 4
    assert found["postlude_unaccounted_jobs", ""] == 0
    assert found["postlude_workers", ""] == 4
    assert found["postlude_finishes_refused_total", "update_stats"] == 1
    # None of these workers says that it knows a kind.
    assert found["postlude_jobs_of_unknown_kind", "update_stats"] == 3
    assert found["postlude_jobs_of_unknown_kind", "cleanup"] == 1


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
    async with ledger.database.begin() as connection:
        await liveness.beat(connection, worker, datetime.now(UTC), hung_threads=3)
    assert f'postlude_worker_hung_threads{{worker="{worker}"}} 3.0' in (await api.get("/metrics")).text


@on_sqlite
async def test_worker_whose_loop_is_blocked_shows_in_metrics_and_readiness(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    worker = await living_worker(ledger)
    assert (await api.get("/readyz")).json()["checks"]["workers"] == "ok"
    async with ledger.database.begin() as connection:
        await liveness.beat(connection, worker, datetime.now(UTC), loop_lag_s=7.0)
    assert f'postlude_worker_loop_lag_seconds{{worker="{worker}"}} 7.0' in (await api.get("/metrics")).text
    readiness = (await api.get("/readyz")).json()
    assert readiness["status"] == "degraded"
    assert "event loop is blocked" in readiness["checks"]["workers"]
