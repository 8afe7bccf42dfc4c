"""Replaying all jobs that match a filter."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import update

from service.api.jobs import bulk_replay as replay_module
from service.ledger.ledger import Ledger
from service.ledger.reads import members
from service.ledger.states import State
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import assert_problem, begin, count, get, job_in, on_sqlite, post, stat, with_redis_away
from tests.support.running import running_api
from tests.support.writing import writing

# What the ledger does is tested on each database below: operations/test_bulk_replay.py.
pytestmark = pytest.mark.short("sqlite")


async def replay(api: httpx.AsyncClient, *, dry_run: bool = False, **wanted: Any) -> dict[str, Any]:
    response = await api.post("/v1/jobs/replay", json={"filter": wanted, "dry_run": dry_run})
    assert response.status_code == 200, response.text
    done: dict[str, Any] = response.json()
    assert (done.pop("operation") is None) == dry_run
    return done


def done(replayed: int, *, dry_run: bool = False, **skipped: int) -> dict[str, Any]:
    matched = replayed + sum(skipped.values())
    return {
        "matched": matched,
        "replayed": replayed,
        "skipped": skipped,
        "dry_run": dry_run,
        "more": False,
        "next_cursor": None,
    }


async def fail_all(ledger: Ledger) -> None:
    """Make every job one that has failed."""
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(state="failed", finished_at=datetime.now(UTC)))


async def states(api: httpx.AsyncClient) -> list[str]:
    return sorted(job["state"] for job in (await api.get("/v1/jobs", params={"limit": 1000})).json()["jobs"])


async def test_all_matching_jobs_are_replayed_and_keep_their_attempts(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis
) -> None:
    failed = [await job_in(api, ledger, State.FAILED, tags=["t"]) for _ in range(3)]
    other = await job_in(api, ledger, State.FAILED)
    for state in (State.CANCELLED, State.SUCCEEDED, State.RUNNING):
        await job_in(api, ledger, state, tags=["t"])
    await redis.flushall()
    wanted: dict[str, Any] = {"state": "failed", "tag": "t"}
    assert await replay(api, dry_run=True, **wanted) == done(3, dry_run=True)
    assert (await get(api, failed[0]["id"])) == failed[0]
    assert await replay(api, **wanted) == done(3)
    for job in failed:
        again = await get(api, job["id"])
        assert (again["state"], again["failures"], again["error"]) == ("queued", 0, None)
        assert again["attempts"] == job["attempts"]
        assert await redis.zscore("arq:queue", job["id"]) is not None
    assert await get(api, other["id"]) == other
    assert (await begin(ledger, failed[0])).attempt == 2
    assert await replay(api, **wanted) == done(0)


async def test_without_a_state_both_failed_and_cancelled_jobs_match(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in State:
        await job_in(api, ledger, state)
    assert await replay(api, kind="update_stats") == done(2)
    assert "failed" not in await states(api)


async def test_jobs_of_a_lane_are_replayed_and_no_others(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for lane in ("tenant:1", "tenant:2", None):
        await job_in(api, ledger, State.FAILED, **({"lane": lane} if lane else {}))
    assert await replay(api, lane="tenant:1") == done(1)
    assert await states(api) == ["failed", "failed", "queued"]


async def test_jobs_that_could_not_run_are_refused_one_by_one_and_left_in_bulk(
    settings: Settings, ledger: Ledger
) -> None:
    async with running_api(settings) as api:
        good, gone, unfit, homeless, running = [await job_in(api, ledger, State.FAILED) for _ in range(5)]
        changes: dict[str, dict[str, Any]] = {
            gone["id"]: {"kind": "gone"},
            unfit["id"]: {"args": '{"subject":7}'},
            homeless["id"]: {"queue": "nowhere"},
            running["id"]: {"kind": "gone", "state": "running"},
        }
        async with writing(ledger.database) as connection:
            for job_id, values in changes.items():
                await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        problems = {
            gone["id"]: (422, "kind-unknown"),
            unfit["id"]: (422, "args-invalid"),
            homeless["id"]: (422, "queue-unknown"),
            running["id"]: (409, "state-forbids"),
            "no-such-job": (404, "job-not-found"),
        }
        for job_id, (status, sort) in problems.items():
            answer = assert_problem(await api.post(f"/v1/jobs/{job_id}/replay"), status)
            assert answer["type"] == f"urn:postlude:problem:{sort}"
        problem = assert_problem(await api.post(f"/v1/jobs/{unfit['id']}/replay"), 422)
        assert problem["errors"][0]["loc"] == ["args", "subject"]
        for dry_run in (True, False):
            told = await replay(api, dry_run=dry_run, state="failed")
            assert told == done(1, dry_run=dry_run, kind_unknown=1, args_invalid=1, queue_unknown=1)
        assert (await get(api, good["id"]))["state"] == "queued"
        assert (await get(api, gone["id"]))["state"] == "failed"


@on_sqlite
async def test_filter_by_an_unknown_kind_is_refused_like_an_enqueue(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await api.post("/v1/jobs/replay", json={"filter": {"kind": "gone"}}), 422)
    assert problem["type"] == "urn:postlude:problem:kind-unknown"
    assert "send_webhook" in problem["detail"]


async def test_jobs_to_replay_can_be_chosen_by_error_by_end_and_by_several_values(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    early = await job_in(api, ledger, State.FAILED)
    cancelled = await job_in(api, ledger, State.CANCELLED)
    late = await job_in(api, ledger, State.FAILED)
    assert await replay(api, dry_run=True, error_type="KeyError") == done(0, dry_run=True)
    assert await replay(api, dry_run=True, error_type=["KeyError", "ValueError"]) == done(2, dry_run=True)
    assert await replay(api, dry_run=True, state=["failed", "cancelled"], kind=["update_stats"]) == done(
        3, dry_run=True
    )
    assert await replay(api, finished_after=early["finished_at"], state="failed") == done(1)
    assert await replay(api, finished_before=late["finished_at"]) == done(2)
    assert [(await get(api, job["id"]))["state"] for job in (early, cancelled, late)] == ["queued"] * 3


@on_sqlite
async def test_a_replay_must_say_what_to_replay(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.FAILED)
    bodies: list[Any] = [
        {},
        {"filter": {}},
        {"filter": {"state": None}},
        {"filter": {"state": "succeeded"}},
        {"filter": {"state": []}},
        {"filter": {"state": ["failed", "queued"]}},
        {"filter": {"kind": [str(number) for number in range(21)]}},
        {"filter": {"finished_after": 1767225600}},
        {"filter": {"state": "failed"}, "dry_run": "true"},
        {"filter": {"state": "failed"}, "dry_run": 1},
        {"filter": {"kin": "update_stats"}},
        {"filter": {"kind": "update_stats"}, "dryrun": True},
        {"filter": {"tag": "a\0b"}},
        {"filter": {"created_after": "yesterday"}},
        [],
    ]
    for body in bodies:
        assert_problem(await api.post("/v1/jobs/replay", json=body), 422)
    refused = assert_problem(await api.post("/v1/jobs/replay", json={"filter": {}}), 422)
    assert "name at least one of state, kind" in refused["errors"][0]["msg"]
    assert refused["type"] == "urn:postlude:problem:filter-invalid"
    assert_problem(await api.post("/v1/jobs/replay", content=b"{"), 400)
    assert await get(api, job["id"]) == job


async def test_newest_of_the_jobs_with_one_unique_key_is_replayed_unless_one_is_live(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    rivals = [await job_in(api, ledger, State.FAILED, unique_key="u", tags=["t"]) for _ in range(4)]
    blocked = await job_in(api, ledger, State.CANCELLED, unique_key="held", tags=["t"])
    await post(api, unique_key="held")
    free = await job_in(api, ledger, State.FAILED, unique_key="free", tags=["t"])
    for dry_run in (True, False):
        assert await replay(api, dry_run=dry_run, tag="t") == done(2, dry_run=dry_run, unique_key_taken=4)
    assert [(await get(api, job["id"]))["state"] for job in (*rivals, blocked, free)] == [
        "failed",
        "failed",
        "failed",
        "queued",
        "cancelled",
        "queued",
    ]


async def test_a_job_that_went_live_meanwhile_is_left_alone(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_in(api, ledger, State.FAILED)
    rival = await job_in(api, ledger, State.FAILED, unique_key="u")
    read = members.members_of

    async def read_and_be_late(*args: Any) -> Any:
        found = await read(*args)
        if found:
            await api.post(f"/v1/jobs/{job['id']}/replay")
            await api.post("/v1/jobs", json=stat(unique_key="u"))
        return found

    monkeypatch.setattr(members, "members_of", read_and_be_late)
    assert await replay(api, state="failed") == done(0, state_forbids=1, unique_key_taken=1)
    assert (await get(api, job["id"]))["state"] == "queued"
    assert (await get(api, rival["id"]))["state"] == "failed"


async def test_many_jobs_are_replayed_in_batches_and_the_rest_by_the_next_call(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await api.post("/v1/jobs/batch", json={"jobs": [stat()] * 600})
    await fail_all(ledger)
    await redis.flushall()
    assert await replay(api, dry_run=True, state="failed") == done(1200, dry_run=True)
    monkeypatch.setattr(replay_module, "_REPLAYS_FOR_S", 0)
    first = await replay(api, state="failed")
    assert first.pop("next_cursor")
    assert first | {"next_cursor": None} == done(500) | {"more": True}
    monkeypatch.undo()
    assert await replay(api, state="failed") == done(700)
    assert await redis.zcard("arq:queue") == 1200


@on_sqlite
async def test_replays_do_not_wait_for_redis(settings: Settings, ledger: Ledger) -> None:
    async with running_api(with_redis_away(settings)) as api:
        await job_in(api, ledger, State.FAILED)
        assert await replay(api, state="failed") == done(1)
        assert await states(api) == ["queued"]
        assert await count(api) == 1


@on_sqlite
async def test_a_replayed_job_does_not_wait_for_its_earlier_due_time(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis
) -> None:
    cancelled = await post(api, delay=20)  # within the horizon: its id is on the queue
    await api.post(f"/v1/jobs/{cancelled['id']}/cancel")
    before = await redis.zscore("arq:queue", cancelled["id"])
    await replay(api, state="cancelled")
    after = await redis.zscore("arq:queue", cancelled["id"])
    assert before is not None
    assert after is not None
    assert after < before
