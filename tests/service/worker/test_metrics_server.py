"""A worker's own metrics, in Prometheus' format, served from threads."""

import re
import socket
import time
from typing import Any, cast

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs import Context, job
from service.errors import StartRefused
from service.settings import Settings
from service.worker.metrics_server import serving_metrics
from tests.service.api.driving import on_sqlite
from tests.service.worker.desk import open_desk
from tests.support.running import catalogue_of, running_worker

pytestmark = on_sqlite


@job("block_and_ask")
async def block_and_ask(_ctx: Context, url: str) -> str:
    with httpx.Client(trust_env=False) as client:  # blocks the loop on purpose
        return client.get(url).text


@job("ask_nobody")
async def ask_nobody(ctx: Context) -> None:
    with pytest.raises(httpx.TransportError):
        await ctx.http.get("http://127.0.0.1:9/")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


async def test_metrics_are_served_even_while_the_loop_is_blocked(settings: Settings, port: int) -> None:
    url, kinds = f"http://127.0.0.1:{port}/metrics", (block_and_ask, ask_nobody)
    changed = settings.model_copy(update={"worker_metrics_port": port})
    async with open_desk(changed, *kinds) as desk, running_worker(changed, catalogue_of(*kinds)):
        assert (await desk.ended(await desk.enqueue(ask_nobody)))["state"] == "succeeded"
        began = time.perf_counter()
        row = await desk.ended(await desk.enqueue(block_and_ask, {"url": url}))
        assert time.perf_counter() - began < 10
    text = str(httpx.Response(200, content=row["result"]).json())
    samples = {
        (one.name, one.labels.get("answer") or one.labels.get("le")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert samples["postlude_attempts_running", None] == 1
    assert samples["postlude_slots", None] == 100
    assert samples["postlude_draining", None] == 0
    assert samples["postlude_loop_turn_seconds", None] >= 1
    assert samples["postlude_resident_memory_bytes", None] > 10_000_000
    assert samples["postlude_claimed_jobs_total", None] >= 2
    assert samples["postlude_outbound_requests_total", "no_answer"] >= 1
    assert samples["postlude_commit_writes_bucket", "+Inf"] == samples["postlude_commit_writes_count", None] >= 4
    assert samples["postlude_commit_seconds_sum", None] > 0
    helped = set(re.findall(r"^# HELP (\w+) \S", text, re.M))
    assert helped == set(re.findall(r"^# TYPE (\w+) ", text, re.M)), "each says what it is"


async def test_a_port_that_is_taken_is_refused_at_start_with_what_to_do(settings: Settings, port: int) -> None:
    changed = settings.model_copy(update={"worker_metrics_port": port})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        opening = serving_metrics(changed, cast(Any, None))
        with pytest.raises(StartRefused, match="POSTLUDE_WORKER_METRICS_PORT: nothing can be served on 127"):
            await opening.__aenter__()
