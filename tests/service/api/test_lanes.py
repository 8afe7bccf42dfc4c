"""Lanes over HTTP: their limits, pauses and breakers; what callers may set, and what they see."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from service.ledger.ledger import Ledger
from service.ledger.records.lanes import Breaker, record_breakers
from service.ledger.states import State
from service.settings import Settings
from tests.service.api.driving import assert_problem, job_in, on_sqlite, post, stat, with_redis_away
from tests.support.running import running_api
from tests.support.writing import writing

NOTHING: dict[str, Any] = {"concurrency": None, "rate": None, "order": None, "paused": False, "paused_until": None}
CLOSED = {"state": "closed", "forced": None, "until": None, "failures": 0, "reason": None}


def path(key: str, action: str = "") -> str:
    return f"/v1/lanes/{quote(key, safe='')}{action}"


async def lane_of(api: httpx.AsyncClient, key: str) -> dict[str, Any]:
    answer = await api.get(path(key))
    assert answer.status_code == 200, answer.text
    lane: dict[str, Any] = answer.json()
    return lane


async def test_limits_are_set_replaced_and_deleted(api: httpx.AsyncClient) -> None:
    created = await api.put(path("tenant:42"), json={"concurrency": 5, "rate": {"limit": 50, "per": 2.5}})
    assert created.status_code == 201
    wanted = {"key": "tenant:42"} | NOTHING | {"concurrency": 5, "rate": {"limit": 50, "per": 2.5}}
    wanted |= {"breaker": CLOSED, "waiting": 0, "running": 0}
    assert created.json() == wanted
    assert await lane_of(api, "tenant:42") == wanted
    replaced = await api.put(path("tenant:42"), json={"order": "strict"})
    assert replaced.status_code == 200
    assert replaced.json() == wanted | {"concurrency": 1, "rate": None, "order": "strict"}
    deleted = await api.delete(path("tenant:42"))
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert_problem(await api.get(path("tenant:42")), 404)
    gone = assert_problem(await api.delete(path("tenant:42")), 404)
    assert gone["type"] == "urn:postlude:problem:lane-not-found"


async def test_the_most_specific_rule_gives_each_limit(api: httpx.AsyncClient) -> None:
    await api.put(path("*"), json={"concurrency": 9, "rate": {"limit": 9, "per": 9}})
    await api.put(path("tenant:*"), json={"concurrency": 3})
    await api.put(path("tenant:4"), json={"rate": {"limit": 1, "per": 1}})
    lane = await lane_of(api, "tenant:4")
    assert (lane["concurrency"], lane["rate"]) == (3, {"limit": 1, "per": 1})
    pattern = await lane_of(api, "tenant:*")
    assert (pattern["concurrency"], pattern["rate"], pattern["waiting"], pattern["running"]) == (3, None, None, None)


async def test_a_lane_is_known_by_its_jobs_and_counts_them(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in (State.RUNNING, State.QUEUED, State.SCHEDULED, State.RETRYING, State.SUCCEEDED):
        await job_in(api, ledger, state, lane="tenant:42")
    lane = await lane_of(api, "tenant:42")
    assert (lane["waiting"], lane["running"]) == (3, 1)
    await job_in(api, ledger, State.SUCCEEDED, lane="tenant:43")
    assert (await lane_of(api, "tenant:43"))["waiting"] == 0
    unknown = assert_problem(await api.get(path("tenant:44")), 404)
    assert "no kept job was in it" in unknown["detail"]


ODD_KEYS = ["a/b", "a%2Fb", "50%", "ä ö", "日本", "a?b#c&d=e", "a\nb", "/", "x/", "+", "'", '"', "\\", "🦊"]


@on_sqlite
@pytest.mark.parametrize("key", [*ODD_KEYS, "x" * 255])
async def test_any_text_may_be_a_key(api: httpx.AsyncClient, key: str) -> None:
    assert (await api.put(path(key), json={"concurrency": 2})).status_code == 201
    assert (await api.post(path(key, "/pause"))).json()["paused"] is True
    assert (await lane_of(api, key))["key"] == key
    assert [lane["key"] for lane in (await api.get("/v1/lanes", params={"key": key})).json()["lanes"]] == [key]
    assert (await api.post(path(key, "/resume"))).json()["paused"] is False
    assert (await api.delete(path(key))).status_code == 204


@on_sqlite
@pytest.mark.parametrize("key", ["x" * 256, " a", "a ", " ", "kind:", "queue:*", "kind:*"])
async def test_a_text_that_no_lane_can_have_is_refused(api: httpx.AsyncClient, key: str) -> None:
    refused = assert_problem(await api.put(path(key), json={"concurrency": 2}), 422)
    assert refused["type"] == "urn:postlude:problem:lane-invalid"
    assert refused["detail"][0].isupper()


@on_sqlite
async def test_a_key_that_is_no_utf_8_is_refused(api: httpx.AsyncClient) -> None:
    for call in (api.put("/v1/lanes/tenant:%FF", json={"concurrency": 1}), api.post("/v1/lanes/%C3%28/pause")):
        refused = assert_problem(await call, 422)
        assert "not UTF-8" in refused["detail"]
    named = await api.put("/v1/lanes/%EF%BF%BD", json={"concurrency": 1})
    assert (named.status_code, named.json()["key"]) == (201, "\N{REPLACEMENT CHARACTER}"), "it may be meant"


@on_sqlite
async def test_kinds_and_queues_are_paused_under_their_own_paths(api: httpx.AsyncClient) -> None:
    for call in (
        api.post(path("kind:send_email", "/pause")),
        api.put(path("kind:send_email"), json={"concurrency": 1}),
    ):
        refused = assert_problem(await call, 422)
        assert "POST /v1/kinds/send_email/pause" in refused["detail"]


@on_sqlite
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, []),
        ({"concurrency": 0}, ["concurrency"]),
        ({"concurrency": 10_001}, ["concurrency"]),
        ({"concurrency": True}, ["concurrency"]),
        ({"concurrency": "5"}, ["concurrency"]),
        ({"rate": {"limit": 0, "per": 1}}, ["rate", "limit"]),
        ({"rate": {"limit": 1_000_001, "per": 1}}, ["rate", "limit"]),
        ({"rate": {"limit": 1}}, ["rate", "per"]),
        ({"rate": {"limit": 1, "per": 0}}, ["rate", "per"]),
        ({"rate": {"limit": 1, "per": 86_401}}, ["rate", "per"]),
        ({"rate": {"limit": 1, "per": 1, "burst": 2}}, ["rate", "burst"]),
        ({"order": "fifo"}, ["order"]),
        ({"order": "strict", "concurrency": 2}, []),
        ({"limit": 5}, ["limit"]),
        ({"breaker": "ajar"}, ["breaker", "state"]),
        ({"breaker": {"state": 5}}, ["breaker", "state"]),
    ],
)
async def test_limits_out_of_bounds_are_refused_at_their_place(
    api: httpx.AsyncClient, body: dict[str, Any], place: list[str]
) -> None:
    refused = assert_problem(await api.put(path("a"), json=body), 422)
    assert place in [one["loc"] for one in refused["errors"]]
    assert_problem(await api.get(path("a")), 404)


@on_sqlite
async def test_bodies_that_are_no_limits_are_refused(api: httpx.AsyncClient) -> None:
    assert_problem(await api.put(path("a")), 400)
    assert_problem(await api.put(path("a"), content=b"[1"), 400)
    assert_problem(await api.put(path("a"), content=b"[]"), 422)
    assert_problem(await api.put(path("a"), json={"concurrency": 1}, headers={"content-type": "text/plain"}), 415)
    assert_problem(await api.post(path("a"), json={"concurrency": 1}), 405)
    assert_problem(await api.put(path("a", "/pause"), json={"concurrency": 1}), 405)
    assert_problem(await api.post(path("a", "/pause"), json={"for": 0}), 422)
    assert_problem(await api.post(path("a", "/pause"), json={"until": 5}), 422)
    assert_problem(await api.put(path("a"), params={"dry_run": 1}, json={"concurrency": 1}), 422)


async def test_a_pause_ends_by_itself_or_by_a_resume(api: httpx.AsyncClient) -> None:
    for_good = (await api.post(path("a", "/pause"))).json()
    assert (for_good["paused"], for_good["paused_until"]) == (True, None)
    for_a_while = (await api.post(path("a", "/pause"), json={"for": 3600})).json()
    assert for_a_while["paused"] is True
    assert for_a_while["paused_until"].endswith("Z")
    for _ in range(2):
        resumed = await api.post(path("a", "/resume"))
        assert (resumed.status_code, resumed.json()["paused"]) == (200, False)
    assert_problem(await api.get(path("a")), 404)  # nothing is left behind


async def test_a_lane_that_a_pattern_pauses_is_resumed_by_the_pattern(api: httpx.AsyncClient) -> None:
    await api.post(path("tenant:*", "/pause"))
    await api.post(path("tenant:1", "/pause"))
    refused = assert_problem(await api.post(path("tenant:1", "/resume")), 409)
    assert refused["type"] == "urn:postlude:problem:paused-by-pattern"
    assert "'tenant:*'" in refused["detail"]
    await api.post(path("tenant:*", "/resume"))
    assert (await api.post(path("tenant:1", "/resume"))).json()["paused"] is False


async def test_a_pause_leaves_the_limits_and_limits_leave_the_pause(api: httpx.AsyncClient) -> None:
    await api.put(path("a"), json={"concurrency": 4})
    await api.post(path("a", "/pause"))
    changed = (await api.put(path("a"), json={"concurrency": 5})).json()
    assert (changed["concurrency"], changed["paused"]) == (5, True)
    resumed = (await api.post(path("a", "/resume"))).json()
    assert (resumed["concurrency"], resumed["paused"]) == (5, False)


@pytest.mark.parametrize("written", [lambda state: state, lambda state: {"state": state}], ids=["text", "object"])
async def test_a_breaker_is_forced_and_let_go_and_the_limits_stay(api: httpx.AsyncClient, written: Any) -> None:
    await api.put(path("host:a"), json={"concurrency": 4})
    for state in ("open", "closed"):
        forced = (await api.put(path("host:a"), json={"breaker": written(state)})).json()
        assert (forced["breaker"]["state"], forced["breaker"]["forced"], forced["concurrency"]) == (state, state, 4)
    free = (await api.put(path("host:a"), json={"breaker": written("auto")})).json()
    assert (free["breaker"], free["concurrency"]) == (CLOSED, 4)
    refused = assert_problem(await api.put(path("host:*"), json={"breaker": written("open")}), 422)
    assert "pause it instead" in refused["detail"]


async def test_a_breaker_that_opened_tells_until_when_and_why(api: httpx.AsyncClient, ledger: Ledger) -> None:
    until = datetime(2030, 1, 31, 12, tzinfo=UTC)
    async with writing(ledger.database) as connection:
        await connection.run_sync(
            record_breakers, [Breaker("host:a", "open", until, 2, "ConnectFailed: refused")], until
        )
    breaker = (await lane_of(api, "host:a"))["breaker"]
    assert (breaker["state"], breaker["forced"], breaker["reason"]) == ("open", None, "ConnectFailed: refused")
    assert breaker["until"] == "2030-01-31T12:00:00.000000Z"


async def test_lists_go_by_key_page_by_page_and_by_what_keys_begin_with(api: httpx.AsyncClient) -> None:
    keys = ["Zebra", "ant", "host:a", "host:*", "ähre", "tenant:1", "tenant:2", "tenant:10", "_", "日本"]
    for key in keys[:5]:
        await api.put(path(key), json={"concurrency": 1})
    for key in keys[5:]:
        await post(api, lane=key, delay=3600)
    await api.post("/v1/kinds/send_email/pause")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = (await api.get("/v1/lanes", params=query)).json()
        seen += [lane["key"] for lane in page["lanes"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sorted(keys)
    some = (await api.get("/v1/lanes", params={"key": "tenant:1"})).json()
    assert [(lane["key"], lane["waiting"]) for lane in some["lanes"]] == [("tenant:1", 1), ("tenant:10", 1)]
    assert_problem(await api.get("/v1/lanes", params={"cursor": "nonsense"}), 422)


@on_sqlite
async def test_without_redis_a_change_is_recorded_and_the_answer_says_that_it_holds_later(settings: Settings) -> None:
    async with running_api(with_redis_away(settings)) as api:
        for call in (api.put(path("a"), json={"concurrency": 4}), api.post(path("a", "/pause"))):
            answer = await call
            assert answer.status_code == 202, answer.text
        lane = await lane_of(api, "a")
        assert (lane["concurrency"], lane["paused"], lane["breaker"]["failures"]) == (4, True, None)
        assert (await api.post(path("a", "/resume"))).status_code == 202
        assert (await api.delete(path("a"))).status_code == 204


@on_sqlite
async def test_lanes_and_pauses_are_refused_beside_a_stock_worker(api: httpx.AsyncClient, redis: Any) -> None:
    await redis.set("postlude:stock-worker", "w", ex=30)
    in_a_lane = stat(lane="tenant:1")
    for call in (
        api.post("/v1/jobs", json=in_a_lane),
        api.post("/v1/jobs/batch", json={"jobs": [stat(), in_a_lane]}),
        api.put(path("a"), json={"concurrency": 4}),
        api.post(path("a", "/pause")),
        api.post("/v1/queues/default/pause"),
        api.post("/v1/kinds/send_email/pause"),
    ):
        refused = assert_problem(await call, 409)
        assert refused["type"] == "urn:postlude:problem:stock-worker-runs"
        assert "POSTLUDE_STOCK_WORKER" in refused["detail"]
    assert (await api.post(path("a", "/resume"))).status_code == 200
    assert (await api.post("/v1/jobs", json=stat())).status_code == 202


@on_sqlite
async def test_nobody_without_a_key_learns_what_is_wrong_with_a_body(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)})) as api:
        assert_problem(await api.put(path("a"), content=b"[1"), 401)
        assert_problem(await api.put(path(" a"), content=b"x" * 2_000_000), 401)
        assert_problem(await api.post("/v1/kinds/nobody/pause", json={"for": -1}), 401)
