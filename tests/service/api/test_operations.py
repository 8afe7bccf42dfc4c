"""Operations over HTTP, with a real worker: what each action does to thousands of jobs, and what is reported."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text, update

from service.ledger.ledger import Ledger
from service.ledger.records.workers import record_ended, record_registered
from service.settings import Settings
from service.tables import attempts, job_listing, job_tags, tallies
from service.tables import jobs as job_rows
from tests.service.api.driving import assert_problem, get, on_sqlite, post
from tests.support.many_jobs import count_rows, make_jobs, states_of
from tests.support.operating import done_by, ended, look_at, running_operator, start, told
from tests.support.running import eventually
from tests.support.writing import writing

# What the ledger does is tested on each database below: records/test_operations.py, operations/test_walk.py.
pytestmark = pytest.mark.short("sqlite")

# No worker serves it, so that what is put on it stays.
ASIDE = "aside"


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with running_operator(settings):
        yield


@pytest.fixture
async def queues(ledger: Ledger) -> None:
    """Let somebody have worked the queue `aside`, who has stopped."""
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_registered, datetime.now(UTC), id="w", hostname="h", pid=1, queues=ASIDE)
        await connection.run_sync(record_ended, "w", datetime.now(UTC))


async def test_all_matching_jobs_are_cancelled(api: httpx.AsyncClient, ledger: Ledger, worker: None) -> None:
    members = await make_jobs(ledger, 2_500, state="scheduled", tags=["t"])
    others = await make_jobs(ledger, 100, state="scheduled")
    operation = await start(api, "cancel", {"tag": "t"}, name="a clean-up")
    assert (operation["state"], operation["name"], operation["matched"]) == ("counting", "a clean-up", 0)
    found = await ended(api, operation)
    assert {name: found[name] for name in ("state", "matched", "done", "failed", "skipped", "members_failed")} == {
        "state": "succeeded",
        "matched": 2_500,
        "done": 2_500,
        "failed": 0,
        "skipped": {},
        "members_failed": [],
    }
    assert found["created_at"] <= found["started_at"] <= found["finished_at"]
    async with ledger.read() as connection:
        kept = await connection.scalar(text("SELECT started_at FROM operations"))
    assert str(kept).endswith(("Z", "+00:00")), "as all moments are kept"
    assert await states_of(ledger, members) == {"cancelled": 2_500}
    assert await states_of(ledger, others) == {"scheduled": 100}
    job = await get(api, found["job_id"])
    assert (job["kind"], job["progress"]) == ("operate", {"done": 2_500, "total": 2_500})


async def test_all_matching_jobs_are_replayed_and_put_on_the_queue(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis, worker: None, queues: None
) -> None:
    members = await make_jobs(ledger, 1_200, queue=ASIDE)
    assert await done_by(api, "replay", {"queue": ASIDE}) == told(1_200)
    assert await states_of(ledger, members) == {"queued": 1_200}
    assert await redis.zcard(f"arq:queue:{ASIDE}") == 1_200
    assert await done_by(api, "replay", {"queue": ASIDE}) == told(0)


async def test_ended_jobs_are_deleted_with_all_that_belongs_to_them_and_others_are_told(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    members = await make_jobs(ledger, 1_100, state="succeeded", tags=["t", "u"])
    live = await make_jobs(ledger, 150, state="scheduled", tags=["t"])
    operation = await ended(api, await start(api, "delete", {"tag": "t"}))
    assert (operation["matched"], operation["done"], operation["failed"]) == (1_250, 1_100, 150)
    assert operation["skipped"] == {"state_forbids": 150}
    assert len(operation["members_failed"]) == 100
    assert operation["members_failed"][0] == {
        "id": live[-1],
        "reason": "state_forbids",
        "message": "The job is scheduled: it cannot be deleted.",
    }
    assert await states_of(ledger, members) == {}
    assert await states_of(ledger, live) == {"scheduled": 150}
    left = 150 + 1  # with the operation's own job
    assert [await count_rows(ledger, table) for table in (job_listing, job_tags, attempts)] == [left, 150, 1]


async def test_jobs_that_wait_for_their_time_run_now_and_others_are_told(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis, worker: None
) -> None:
    members = await make_jobs(ledger, 1_100, state="scheduled", queue=ASIDE)
    queued = await make_jobs(ledger, 5, state="queued", queue=ASIDE)
    await make_jobs(ledger, 3, state="blocked", queue=ASIDE)
    await make_jobs(ledger, 2, state="succeeded", queue=ASIDE)
    assert await done_by(api, "run_now", {"queue": ASIDE}) == told(1_105, blocked=3, state_forbids=2)
    assert await states_of(ledger, members + queued) == {"queued": 1_105}
    async with ledger.read() as connection:
        due = await connection.execute(select(job_rows.c.run_at).where(job_rows.c.queue == ASIDE))
        assert max(due.scalars()) <= datetime.now(UTC)
    assert await redis.zcard(f"arq:queue:{ASIDE}") >= 1_100


async def test_all_matching_jobs_are_changed(api: httpx.AsyncClient, ledger: Ledger, worker: None) -> None:
    members = await make_jobs(ledger, 1_100, state="scheduled", tags=["t"])
    await make_jobs(ledger, 2, state="succeeded", tags=["t"])
    change = {"priority": 5, "timeout": 12.5, "tags": ["t", "new"], "lane": "tenant:7", "metadata": {"by": "us"}}
    operation = await ended(api, await start(api, "change", {"tag": "t"}, change=change))
    assert (operation["done"], operation["skipped"]) == (1_100, {"state_forbids": 2})
    assert operation["change"] == change
    job = await get(api, members[0])
    assert {name: job[name] for name in ("priority", "tags", "lane", "metadata")} == {
        name: change[name] for name in ("priority", "tags", "lane", "metadata")
    }
    listed = (await api.get("/v1/jobs", params={"lane": "tenant:7", "limit": 1000})).json()
    assert len(listed["jobs"]) == 1_000
    assert await done_by(api, "change", {"tag": "new"}, change={"lane": None}) == told(1_100)
    assert (await get(api, members[0]))["lane"] is None


async def test_args_are_changed_where_the_filter_names_their_kind_and_are_checked_as_at_an_enqueue(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    members = await make_jobs(ledger, 10, state="scheduled")
    new = {"subject": "other", "event": "view", "count": 3}
    refused = await api.post(
        "/v1/operations", json={"action": "change", "filter": {"queue": "default"}, "change": {"args": new}}
    )
    assert "name their one kind" in assert_problem(refused, 422)["detail"]
    wrong = {"action": "change", "filter": {"kind": "update_stats"}, "change": {"args": {"subject": 7}}}
    problem = assert_problem(await api.post("/v1/operations", json=wrong), 422)
    assert problem["errors"][0]["loc"] == ["change", "args", "subject"]
    secret = {"action": "change", "filter": {"kind": "send_webhook"}, "change": {"args": {}}}
    assert "secrets" in assert_problem(await api.post("/v1/operations", json=secret), 422)["detail"]
    wanted = {"kind": "update_stats"}
    assert await done_by(api, "change", wanted, change={"args": new}) == told(10)
    args = (await get(api, members[0]))["args"]
    assert {name: args[name] for name in new} == new


@pytest.mark.parametrize("action", ["replay", "cancel", "delete", "run_now", "change"])
async def test_a_dry_run_changes_nothing_and_tells_what_would_be_done(
    api: httpx.AsyncClient, ledger: Ledger, worker: None, queues: None, action: str
) -> None:
    for state in ("failed", "scheduled", "succeeded"):
        await make_jobs(ledger, 600, state=state, tags=["t"], queue=ASIDE)
    options = {"change": {"priority": 3}} if action == "change" else {}

    async def rows() -> Any:
        async with ledger.read() as connection:
            return (await connection.execute(select(job_rows).where(job_rows.c.queue == ASIDE))).all()

    before = await rows()
    expected = await done_by(api, action, {"tag": "t"}, dry_run=True, **options)
    assert sorted(await rows()) == sorted(before)
    assert expected["done"] >= 600
    assert await done_by(api, action, {"tag": "t"}, **options) == expected
    assert await rows() != before


async def test_members_of_unknown_kinds_and_queues_and_with_unfit_args_fail_with_their_reasons(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    gone = await make_jobs(ledger, 3, kind="gone", tags=["t"])
    await make_jobs(ledger, 2, args='{"subject":7}', tags=["t"])
    await make_jobs(ledger, 1, queue="nowhere", tags=["t"])
    operation = await ended(api, await start(api, "replay", {"tag": "t"}))
    assert operation["skipped"] == {"kind_unknown": 3, "args_invalid": 2, "queue_unknown": 1}
    assert {one["message"] for one in operation["members_failed"]} == {
        "There is no kind 'gone' any more.",
        "The stored args no longer fit update_stats.",
        "No worker serves the queue 'nowhere'.",
    }
    assert await done_by(api, "delete", {"kind": "gone"}) == told(3)
    assert await states_of(ledger, gone) == {}


async def test_jobs_that_share_a_unique_key_are_replayed_once(
    api: httpx.AsyncClient, ledger: Ledger, worker: None, queues: None
) -> None:
    rivals = await make_jobs(ledger, 1_300, unique_key="u", queue=ASIDE)
    for dry_run in (True, False):
        assert await done_by(api, "replay", {"queue": ASIDE}, dry_run=dry_run) == told(1, unique_key_taken=1_299)
    assert await states_of(ledger, rivals[-1:]) == {"queued": 1}


async def test_jobs_enqueued_after_an_operation_was_accepted_are_not_its_members(
    api: httpx.AsyncClient, ledger: Ledger, settings: Settings
) -> None:
    members = await make_jobs(ledger, 700, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"})
    late = [await post(api, tags=["t"], delay=3600) for _ in range(3)]
    async with running_operator(settings):
        found = await ended(api, operation)
    assert (found["matched"], found["done"]) == (700, 700)
    assert await states_of(ledger, members) == {"cancelled": 700}
    assert await states_of(ledger, [job["id"] for job in late]) == {"scheduled": 3}


async def test_two_operations_over_the_same_jobs_do_each_job_once(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    members = await make_jobs(ledger, 4_000, state="scheduled", tags=["t"])
    begun = [await start(api, "cancel", {"tag": "t"}) for _ in range(2)]
    both = [await ended(api, operation) for operation in begun]
    assert await states_of(ledger, members) == {"cancelled": 4_000}
    assert sum(one["done"] for one in both) == 4_000
    assert all(one["done"] + one["failed"] == 4_000 for one in both)
    async with ledger.read() as connection:
        counted = tallies.c.event == "cancelled"
        assert sum((await connection.execute(select(tallies.c["count"]).where(counted))).scalars()) == 4_000


FILTERS: list[tuple[dict[str, Any], int]] = [
    ({"state": "failed"}, 6),
    ({"state": ["failed", "cancelled"]}, 9),
    ({"kind": "update_stats"}, 11),
    ({"kind": ["update_stats", "other"]}, 13),
    ({"queue": "q"}, 2),
    ({"error_type": "ValueError"}, 6),
    ({"error_type": "ValueError", "kind": "other"}, 0),
    ({"tag": "t"}, 6),
    ({"tag": "t", "state": "succeeded"}, 0),
    ({"lane": "l"}, 2),
    ({"created_before": "2020-01-01T00:00:00Z"}, 0),
    ({"created_after": "2020-01-01T00:00:00Z", "state": "cancelled"}, 3),
    ({"finished_after": "2020-01-01T00:00:00Z", "kind": "update_stats"}, 11),
    ({"finished_before": "2020-01-01T00:00:00Z"}, 0),
    ({"args": {"subject": "page"}, "state": "failed"}, 6),
    ({"args": {"subject": "none"}}, 0),
    ({"metadata": {"customer": 42}}, 2),
    ({"metadata": {"customer": "42"}}, 0),
    ({"q": "PAGE", "queue": "q"}, 2),
]


async def test_a_filter_of_any_sort_finds_its_members(api: httpx.AsyncClient, ledger: Ledger, worker: None) -> None:
    await make_jobs(ledger, 6, state="failed", tags=["t"])
    await make_jobs(ledger, 3, state="cancelled")
    await make_jobs(ledger, 2, state="succeeded", queue="q", metadata='{"customer":42}')
    ids = await make_jobs(ledger, 2, state="succeeded", kind="other", lane="l")
    filters = [*FILTERS, ({"ids": [*ids, "no-such-job"]}, 2), ({"ids": ids, "kind": "update_stats"}, 0)]
    begun = [(await start(api, "delete", wanted, dry_run=True), wanted, count) for wanted, count in filters]
    for operation, wanted, count in begun:
        found = await ended(api, operation)
        assert (found["matched"], found["done"]) == (count, count), wanted
        assert found["filter"] == wanted


async def test_a_member_that_changed_state_before_its_turn_is_left_alone(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    members = await make_jobs(ledger, 40, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t", "state": "scheduled"}, rate=20)

    async def some_are_done() -> bool:
        return bool((await look_at(api, operation))["done"] >= 5)

    await eventually(some_are_done)
    async with writing(ledger.database) as connection:
        began = update(job_rows).where(job_rows.c.id.in_(members[:10])).values(state="running", worker="w")
        await connection.execute(began)
    found = await ended(api, operation)
    assert (found["matched"], found["done"], found["failed"]) == (40, 30, 0)
    assert await states_of(ledger, members) == {"running": 10, "cancelled": 30}
    async with ledger.read() as connection:
        asked = select(job_rows.c.id).where(
            job_rows.c.id.in_(members[:10]), job_rows.c.cancel_requested_at.is_not(None)
        )
        assert (await connection.execute(asked)).all() == []


@pytest.mark.short("postgres")
async def test_a_stopped_operation_deals_with_no_member_more_and_goes_on_when_its_job_is_replayed(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    members = await make_jobs(ledger, 300, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"}, rate=50)

    async def some_are_done() -> bool:
        return bool((await look_at(api, operation))["done"])

    await eventually(some_are_done)
    stopped = (await api.post(f"/v1/operations/{operation['id']}/stop")).json()
    assert stopped["state"] == "stopped"
    assert 0 < stopped["done"] < 300
    again = await api.post(f"/v1/operations/{operation['id']}/stop")
    assert (again.status_code, again.json()["done"]) == (200, stopped["done"])

    async def job_ended() -> bool:
        return bool((await get(api, operation["job_id"]))["state"] == "cancelled")

    await eventually(job_ended)
    assert (await look_at(api, operation))["done"] == stopped["done"]
    assert (await states_of(ledger, members))["cancelled"] == stopped["done"]
    assert (await api.post(f"/v1/jobs/{operation['job_id']}/replay")).status_code == 200
    found = await ended(api, operation)
    while found["state"] == "stopped":  # until its job has begun
        found = await ended(api, operation)
    assert (found["state"], found["matched"], found["done"]) == ("succeeded", 300, 300)
    assert await states_of(ledger, members) == {"cancelled": 300}
    problem = assert_problem(await api.post(f"/v1/operations/{operation['id']}/stop"), 409)
    assert problem["type"] == "urn:postlude:problem:operation-ended"


async def test_an_operation_is_no_faster_than_its_rate(api: httpx.AsyncClient, ledger: Ledger, worker: None) -> None:
    await make_jobs(ledger, 60, state="scheduled", tags=["t"])
    found = await ended(api, await start(api, "cancel", {"tag": "t"}, rate=30))
    began, over = (datetime.fromisoformat(found[name]) for name in ("started_at", "finished_at"))
    assert found["done"] == 60
    assert 60 / (over - began).total_seconds() <= 30


@on_sqlite
async def test_a_slow_operation_goes_at_another_rate_at_once(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    await make_jobs(ledger, 60, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"}, rate=0.01)  # its first member would be due in 100 s
    path = f"/v1/operations/{operation['id']}"

    async def runs() -> bool:
        return bool((await look_at(api, operation))["state"] == "running")

    await eventually(runs)
    changed = await api.patch(path, json={"rate": None})
    assert (changed.status_code, changed.json()["rate"]) == (200, None)
    found = await ended(api, operation)
    assert (found["state"], found["done"], found["rate"]) == ("succeeded", 60, None)
    assert_problem(await api.patch(path, json={"rate": 5}), 409)
    assert_problem(await api.patch("/v1/operations/none", json={"rate": 5}), 404)
    for wrong in ({}, {"rate": 0}, {"rate": "5"}, {"rate": 5, "name": "x"}):
        assert_problem(await api.patch(path, json=wrong), 422)


async def test_an_operation_whose_job_is_cancelled_is_stopped(
    api: httpx.AsyncClient, ledger: Ledger, worker: None
) -> None:
    await make_jobs(ledger, 300, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"}, rate=20)
    await api.post(f"/v1/jobs/{operation['job_id']}/cancel")
    found = await ended(api, operation)
    assert (found["state"], found["error"]) == ("stopped", "Its job was cancelled.")


@on_sqlite
async def test_operations_are_listed_newest_first(api: httpx.AsyncClient) -> None:
    begun = [await start(api, "cancel", {"tag": str(number)}) for number in range(5)]
    listed: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get("/v1/operations", params=query)).json()
        listed += [one["id"] for one in page["operations"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert listed == [one["id"] for one in reversed(begun)]
    assert_problem(await api.get("/v1/operations", params={"cursor": "?"}), 422)


REFUSED: list[Any] = [
    {},
    {"action": "cancel"},
    {"action": "cancel", "filter": {}},
    {"action": "cancel", "filter": {"state": None}},
    {"action": "explode", "filter": {"tag": "t"}},
    {"action": "cancel", "filter": {"tag": "t"}, "rate": 0},
    {"action": "cancel", "filter": {"tag": "t"}, "rate": "fast"},
    {"action": "cancel", "filter": {"tag": "t"}, "change": {"priority": 1}},
    {"action": "cancel", "filter": {"tag": "t"}, "dry_run": 1},
    {"action": "cancel", "filter": {"ids": []}},
    {"action": "delete", "filter": {"state": "failed", "tag": ""}},
    {"action": "delete", "filter": {"state": "failed", "lane": ""}},
    {"action": "delete", "filter": {"state": "failed", "flow": ""}},
    {"action": "delete", "filter": {"state": "failed", "kind": [""]}},
    {"action": "cancel", "filter": {"ids": [str(number) for number in range(1_001)]}},
    {"action": "cancel", "filter": {"args": {"a": []}}},
    {"action": "cancel", "filter": {"args": {"": 1}}},
    {"action": "cancel", "filter": {"args": {"a..b": 1}}},
    {"action": "cancel", "filter": {"metadata": {"a" * 256: 1}}},
    {"action": "cancel", "filter": {"metadata": {"a": "x" * 1_001}}},
    {"action": "cancel", "filter": {"tags": "t"}},
    {"action": "change", "filter": {"tag": "t"}},
    {"action": "change", "filter": {"tag": "t"}, "change": {}},
    {"action": "change", "filter": {"tag": "t"}, "change": {"priority": 11}},
    {"action": "change", "filter": {"tag": "t"}, "change": {"queue": "nowhere"}},
    {"action": "replay", "filter": {"state": "succeeded"}},
    {"action": "replay", "filter": {"kind": "gone"}},
    [],
]


@on_sqlite
async def test_requests_that_make_no_sense_are_refused(api: httpx.AsyncClient) -> None:
    for body in REFUSED:
        assert_problem(await api.post("/v1/operations", json=body), 422)
    assert (await api.get("/v1/operations")).json() == {"operations": [], "next_cursor": None}
    assert_problem(await api.get("/v1/operations/none"), 404)
    assert_problem(await api.post("/v1/operations/none/stop"), 404)


@on_sqlite
async def test_a_refusal_says_where_the_request_does_not_fit(api: httpx.AsyncClient) -> None:
    for body, loc, sort in (
        ({"action": "replay", "filter": {"kind": "gone"}}, ["filter", "kind"], "kind-unknown"),
        ({"action": "change", "filter": {"tag": "t"}, "change": {"args": {}}}, ["change", "args"], "args-invalid"),
        ({"action": "replay", "filter": {"state": ["failed", "queued"]}}, ["filter"], "filter-invalid"),
        ({"action": "delete", "filter": {"state": "failed", "tag": ""}}, ["filter", "tag"], "filter-invalid"),
    ):
        problem = assert_problem(await api.post("/v1/operations", json=body), 422)
        assert [error["loc"] for error in problem["errors"]] == [loc]
        assert problem["type"] == f"urn:postlude:problem:{sort}"
    assert problem["title"] == "Filter invalid"
    assert problem["detail"] == "The body is not valid: filter.tag: String should have at least 1 character."
