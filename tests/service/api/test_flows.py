"""Flows over HTTP, with a worker: what runs after what, what is cancelled with what, and how it is shown."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import uuid_utils
from standardwebhooks import Webhook

import jobs
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import SECRET, assert_problem, get, on_sqlite, stat
from tests.support import flow_kinds
from tests.support.flow_kinds import NOTES, Notes
from tests.support.receiver import Receiver, receiving
from tests.support.running import eventually, running_api, running_worker

# What the ledger does is tested on each database below: records/test_flows.py, test_linked.py, test_edges.py.
pytestmark = pytest.mark.short("sqlite")

MODULES = (flow_kinds.__name__,)
Flow = dict[str, Any]


class Driver(NamedTuple):
    """An API with a worker, and what its jobs note."""

    api: httpx.AsyncClient
    notes: Notes
    of: str

    def job(self, name: str, *after: str, kind: str = "note", **options: Any) -> dict[str, Any]:
        made = {"name": name, "kind": kind, "args": {"of": self.of, "name": name}} | options
        return made | ({"after": list(after)} if after else {})

    async def enqueue(self, *wanted: dict[str, Any], **options: Any) -> Flow:
        answer = await self.api.post("/v1/flows", json={"jobs": list(wanted)} | options)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def enqueue_one(self, name: str, **options: Any) -> dict[str, Any]:
        body = {"kind": "note", "args": {"of": self.of, "name": name}} | options
        answer = await self.api.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def flow(self, flow_id: str, **params: Any) -> Flow:
        answer = await self.api.get(f"/v1/flows/{flow_id}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ended(self, flow_id: str) -> Flow:
        async def look() -> Flow:
            flow = await self.flow(flow_id)
            return flow if flow["state"] != "running" else {}

        return await eventually(look)

    async def job_ended(self, job_id: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            job = await get(self.api, job_id)
            return job if job["finished_at"] is not None else {}

        return await eventually(look)

    async def states(self, flow_id: str) -> dict[str, str]:
        return states_in(await self.flow(flow_id))


def states_in(flow: Flow) -> dict[str, str]:
    return {job["name"]: job["state"] for job in flow["jobs"]}


@pytest.fixture
def wanted(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": MODULES})


@pytest.fixture
async def idle(wanted: Settings) -> AsyncIterator[Driver]:
    """An API without a worker."""
    of = uuid_utils.uuid7().hex
    NOTES[of] = Notes()
    async with running_api(wanted) as api:
        yield Driver(api, NOTES[of], of)


@pytest.fixture
async def driver(idle: Driver, wanted: Settings) -> AsyncIterator[Driver]:
    async with running_worker(wanted, jobs.load(MODULES)):
        yield idle


async def test_a_diamond_runs_in_its_order_and_succeeds(driver: Driver) -> None:
    flow = await driver.enqueue(
        driver.job("last", "left", "right"), driver.job("left", "first"), driver.job("right", "first"),
        driver.job("first"), name="diamond",
    )  # fmt: skip
    assert set(flow["jobs"]) == {"first", "left", "right", "last"}
    done = await driver.ended(flow["id"])
    assert done["state"] == "succeeded"
    assert done["counts"] == {"succeeded": 4}
    assert (done["name"], done["next_cursor"], done["callbacks"]) == ("diamond", None, [])
    assert done["finished_at"] >= done["created_at"]
    ran = driver.notes.ran
    assert (ran[0], set(ran[1:3]), ran[3]) == ("first", {"left", "right"}, "last")
    shown = {job["name"]: job for job in done["jobs"]}
    assert shown["last"]["after"] == ["left", "right"]
    assert {name: job["id"] for name, job in shown.items()} == flow["jobs"]
    last = await get(driver.api, flow["jobs"]["last"])
    assert last["after"] == [flow["jobs"]["left"], flow["jobs"]["right"]]
    assert (last["blocked_by"], last["flow"], last["waiting_for"]) == ([], flow["id"], None)


async def test_a_failure_cancels_what_needs_it_with_the_reason_and_a_replay_takes_it_back(driver: Driver) -> None:
    driver.notes.failing.add("a")
    flow = await driver.enqueue(driver.job("a"), driver.job("b", "a"), driver.job("c", "b"), driver.job("d"))
    done = await driver.ended(flow["id"])
    assert states_in(done) == {"a": "failed", "b": "cancelled", "c": "cancelled", "d": "succeeded"}
    assert done["state"] == "failed"
    errors = {job["name"]: job["error"] for job in done["jobs"]}
    assert errors["b"]["type"] == errors["c"]["type"] == "ParentFailed"
    assert flow["jobs"]["a"] in errors["b"]["message"]
    assert flow["jobs"]["b"] in errors["c"]["message"]
    refused = assert_problem(await driver.api.post(f"/v1/jobs/{flow['jobs']['b']}/replay"), 409)
    assert refused["type"] == "urn:postlude:problem:parent-failed"
    driver.notes.failing.clear()
    assert (await driver.api.post(f"/v1/jobs/{flow['jobs']['a']}/replay")).status_code == 200
    again = await eventually(lambda: _all_succeeded(driver, flow["id"]))
    assert again["counts"] == {"succeeded": 4}
    assert driver.notes.ran == ["d", "a", "b", "c"]


async def _all_succeeded(driver: Driver, flow_id: str) -> Flow:
    flow = await driver.flow(flow_id)
    return flow if flow["state"] == "succeeded" else {}


async def test_jobs_run_when_their_parents_have_ended_however_they_did(driver: Driver) -> None:
    driver.notes.failing.add("a")
    flow = await driver.enqueue(
        driver.job("a"), driver.job("clean", "a", run_when="ended"), driver.job("b", "a"), driver.job("c", "clean")
    )
    done = await driver.ended(flow["id"])
    assert states_in(done) == {"a": "failed", "clean": "succeeded", "b": "cancelled", "c": "succeeded"}


async def test_jobs_run_when_their_parents_were_attempted_once(driver: Driver) -> None:
    driver.notes.failing.add("a")
    flow = await driver.enqueue(
        driver.job("a", kind="note_twice"),
        driver.job("next", "a", run_when="attempted"),
        driver.job("after", "a"),
    )
    await eventually(lambda: _is_in(driver, flow["jobs"]["next"], "succeeded"))
    assert (await driver.states(flow["id"]))["after"] == "blocked"
    driver.notes.failing.clear()
    assert (await driver.ended(flow["id"]))["state"] == "succeeded"
    assert driver.notes.ran[0] == "a:1"
    assert driver.notes.ran[-1] == "after"


async def _is_in(driver: Driver, job_id: str, state: str) -> bool:
    return bool((await get(driver.api, job_id))["state"] == state)


async def test_a_blocked_job_says_what_it_waits_for(idle: Driver) -> None:
    flow = await idle.enqueue(
        idle.job("a"), idle.job("b"), idle.job("c", "a", "b"), idle.job("d", "c", run_when="ended")
    )
    a, b, c, d = (flow["jobs"][name] for name in "abcd")
    job = await get(idle.api, c)
    assert job["state"] == "blocked"
    assert job["blocked_by"] == job["after"] == [a, b]
    assert job["waiting_for"] in (f"2 jobs, first job {one} (note), to succeed" for one in (a, b))
    assert (await get(idle.api, d))["waiting_for"] == f"job {c} (note) to end"
    listed = (await idle.api.get("/v1/jobs", params={"flow": flow["id"], "state": "blocked"})).json()["jobs"]
    assert [job["id"] for job in listed] == [d, c]
    assert listed[0]["waiting_for"] == f"job {c} (note) to end"
    assert listed[0]["flow"] == flow["id"]
    assert "after" not in listed[0]


async def test_single_jobs_come_after_others_by_their_ids(driver: Driver) -> None:
    driver.notes.held["a"] = asyncio.Event()
    first = await driver.enqueue_one("a")
    second = await driver.enqueue_one("b", after=[first["id"], first["id"]])
    assert (second["state"], second["blocked_by"]) == ("blocked", [first["id"]])
    batch = await driver.api.post(
        "/v1/jobs/batch",
        json={"jobs": [{"kind": "note", "args": {"of": driver.of, "name": "c"}, "after": [second["id"]]}]},
    )
    [third] = batch.json()["jobs"]
    assert third["state"] == "blocked"
    driver.notes.held["a"].set()
    assert (await driver.job_ended(third["id"]))["state"] == "succeeded"
    assert driver.notes.ran == ["a", "b", "c"]
    late = await driver.enqueue_one("d", after=[third["id"]])
    assert late["state"] in ("queued", "running", "succeeded")
    assert late["after"] == [third["id"]]


async def test_a_job_after_one_that_has_failed_is_cancelled_at_once(driver: Driver) -> None:
    driver.notes.failing.add("a")
    first = await driver.enqueue_one("a")
    assert (await driver.job_ended(first["id"]))["state"] == "failed"
    second = await driver.enqueue_one("b", after=[first["id"]])
    assert (second["state"], second["error"]["type"]) == ("cancelled", "ParentFailed")
    assert first["id"] in second["error"]["message"]


async def test_unknown_parents_and_flows_are_refused_and_named(idle: Driver) -> None:
    known = await idle.enqueue_one("a")
    args = {"kind": "note", "args": {"of": idle.of, "name": "b"}}
    problem = assert_problem(await idle.api.post("/v1/jobs", json=args | {"after": [known["id"], "nowhere"]}), 422)
    assert problem["type"] == "urn:postlude:problem:parent-unknown"
    assert [one["loc"] for one in problem["errors"]] == [["after", 1]]
    assert "nowhere" in problem["detail"]
    batch = {"jobs": [args, args | {"after": ["nowhere"]}, args | {"flow": "none"}]}
    problem = assert_problem(await idle.api.post("/v1/jobs/batch", json=batch), 422)
    assert ["jobs", 1, "after", 0] in [one["loc"] for one in problem["errors"]]
    problem = assert_problem(await idle.api.post("/v1/jobs", json=args | {"flow": "none"}), 422)
    assert problem["type"] == "urn:postlude:problem:flow-unknown"
    assert [one["loc"] for one in problem["errors"]] == [["flow"]]
    assert len((await idle.api.get("/v1/jobs")).json()["jobs"]) == 1


async def test_a_job_joins_a_flow(driver: Driver) -> None:
    driver.notes.held["a"] = asyncio.Event()
    flow = await driver.enqueue(driver.job("a"))
    joined = await driver.enqueue_one("more", flow=flow["id"], after=[flow["jobs"]["a"]])
    assert joined["flow"] == flow["id"]
    driver.notes.held["a"].set()
    done = await driver.ended(flow["id"])
    assert [(job["name"], job["after"]) for job in done["jobs"]] == [("a", []), (None, ["a"])]
    assert done["counts"] == {"succeeded": 2}


async def test_a_flow_is_cancelled_and_replayed_as_a_whole(idle: Driver, wanted: Settings) -> None:
    chain = [idle.job("0"), *(idle.job(str(n), str(n - 1)) for n in range(1, 30))]
    ended = idle.job("end", "0", run_when="ended")
    flow = await idle.enqueue(*chain, ended, idle.job("alone"))
    answer = await idle.api.post(f"/v1/flows/{flow['id']}/cancel")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["counts"]) == ("cancelled", {"cancelled": 32})
    again = await idle.api.post(f"/v1/flows/{flow['id']}/cancel")
    assert again.json()["counts"] == {"cancelled": 32}
    replayed = await idle.api.post(f"/v1/flows/{flow['id']}/replay")
    assert replayed.status_code == 200, replayed.text
    assert replayed.json()["state"] == "running"
    assert answer.json()["replayed_at"] is None
    assert replayed.json()["replayed_at"] > answer.json()["finished_at"]
    assert idle.notes.ran == []
    async with running_worker(wanted, jobs.load(MODULES)):
        done = await idle.ended(flow["id"])
    assert done["counts"] == {"succeeded": 32}, done
    assert [name for name in idle.notes.ran if name.isdigit()] == [str(n) for n in range(30)]


async def test_a_replay_of_a_flow_runs_only_what_has_not_succeeded(driver: Driver) -> None:
    driver.notes.failing.add("b")
    flow = await driver.enqueue(driver.job("a"), driver.job("b", "a"), driver.job("c", "b"))
    assert (await driver.ended(flow["id"]))["counts"] == {"succeeded": 1, "failed": 1, "cancelled": 1}
    driver.notes.failing.clear()
    at = (await driver.api.post(f"/v1/flows/{flow['id']}/replay")).json()["replayed_at"]
    done = await eventually(lambda: _all_succeeded(driver, flow["id"]))
    assert done["counts"] == {"succeeded": 3}
    again = await driver.api.post(f"/v1/flows/{flow['id']}/replay")
    assert again.json()["replayed_at"] == at, "the second one found nothing to replay"
    assert driver.notes.ran == ["a", "b", "c"]


async def test_a_job_calls_back_with_jobs_and_signed_posts_once_for_each_end(driver: Driver) -> None:
    driver.notes.failing.add("a")
    async with receiving() as receiver:
        job = await driver.enqueue_one(
            "a",
            metadata={"order": 7},
            on_failure={"url": receiver.url, "secret": SECRET},
            on_success={"kind": "note", "args": {"of": driver.of, "name": "went well"}, "tags": ["x"], "delay": 0.1},
            on_end={"kind": "note", "args": {"of": driver.of, "name": "over"}},
        )
        assert [(one["event"], one["kind"], one["jobs"]) for one in job["callbacks"]] == [
            ("end", "note", []),
            ("failure", "send_webhook", []),
            ("success", "note", []),
        ]
        failed = await driver.job_ended(job["id"])
        told = await posted(receiver, 1)
        assert told["type"] == "job.failed"
        assert told["data"]["id"] == job["id"]
        assert told["data"]["error"] == failed["error"]
        assert told["data"]["metadata"] == {"order": 7}
        assert SECRET not in json.dumps(job)
        driver.notes.failing.clear()
        await driver.api.post(f"/v1/jobs/{job['id']}/replay")
        await eventually(lambda: _noted(driver, ["over", "a", "over", "went well"]))
    called = {one["event"]: one["jobs"] for one in (await get(driver.api, job["id"]))["callbacks"]}
    assert {event: len(ids) for event, ids in called.items()} == {"end": 2, "failure": 1, "success": 1}
    callback = await get(driver.api, called["success"][0])
    assert callback["after"] == [job["id"]]
    assert set(callback["tags"]) == {"x", "callback"}
    assert len(receiver.requests) == 1


async def _noted(driver: Driver, names: list[str]) -> bool:
    return sorted(driver.notes.ran) == sorted(names)


async def posted(receiver: Receiver, count: int) -> dict[str, Any]:
    """Wait for this many posts; return the last one, after checking its signature."""

    async def have_come() -> bool:
        return len(receiver.requests) >= count

    await eventually(have_come)
    request = receiver.requests[count - 1]
    return dict(Webhook(SECRET).verify(request.body.decode(), request.headers))


async def test_a_cancelled_job_and_one_cancelled_with_its_parent_call_back(driver: Driver) -> None:
    callback = {"kind": "note", "args": {"of": driver.of, "name": "called"}}
    job = await driver.enqueue_one("a", delay=3600, on_failure=callback)
    child = await driver.enqueue_one("b", after=[job["id"]], on_failure=callback)
    assert (await driver.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 200
    assert (await driver.job_ended(child["id"]))["state"] == "cancelled"
    await eventually(lambda: _noted(driver, ["called", "called"]))


async def test_a_flow_calls_back_when_its_last_job_has_ended(driver: Driver) -> None:
    async with receiving() as receiver:
        flow = await driver.enqueue(
            driver.job("a"),
            driver.job("b", "a"),
            name="called",
            on_success={"url": receiver.url, "secret": SECRET},
            on_end={"kind": "note", "args": {"of": driver.of, "name": "over"}},
        )
        told = await posted(receiver, 1)
    assert told["type"] == "flow.succeeded"
    assert (told["data"]["id"], told["data"]["name"]) == (flow["id"], "called")
    assert told["data"]["counts"] == {"succeeded": 2}
    await eventually(lambda: _noted(driver, ["a", "b", "over"]))
    shown = await driver.flow(flow["id"])
    assert {one["event"]: len(one["jobs"]) for one in shown["callbacks"]} == {"success": 1, "end": 1}


async def test_a_flow_sent_again_under_its_key_or_its_id_is_the_same_flow(idle: Driver) -> None:
    body = {"jobs": [idle.job("a"), idle.job("b", "a")], "name": "once"}
    headers = {"Idempotency-Key": "k1"}
    first = await idle.api.post("/v1/flows", json=body, headers=headers)
    again = await idle.api.post("/v1/flows", json=body, headers=headers)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"] == f"/v1/flows/{first.json()['id']}"
    assert again.headers["idempotent-replayed"] == "true"
    assert_problem(await idle.api.post("/v1/flows", json=body | {"name": "x"}, headers=headers), 422)
    own_id = str(uuid_utils.uuid7())
    own = body | {"id": own_id}
    one, two = await asyncio.gather(*(idle.api.post("/v1/flows", json=own) for _ in range(2)))
    assert one.json() == two.json()
    assert one.json()["id"] == own_id
    assert (await idle.flow(own_id))["counts"] == {"queued": 1, "blocked": 1}
    problem = assert_problem(await idle.api.post("/v1/flows", json=own | {"name": "other"}), 409)
    assert problem["type"] == "urn:postlude:problem:id-taken"
    assert len((await idle.api.get("/v1/flows")).json()["flows"]) == 2


async def test_flows_are_listed_newest_first_page_by_page(idle: Driver) -> None:
    made = [(await idle.enqueue(idle.job("a"), name=str(n)))["id"] for n in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await idle.api.get("/v1/flows", params=params)).json()
        seen += [flow["id"] for flow in page["flows"]]
        assert all(flow["counts"] == {"queued": 1} for flow in page["flows"])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == made[::-1]


async def test_a_large_flow_is_shown_page_by_page_and_cancelled_in_one_request(idle: Driver) -> None:
    names = [f"{n}" for n in range(3_000)]
    wanted = [idle.job(name, *names[max(0, n - 3) : n]) for n, name in enumerate(names)]
    flow = await idle.enqueue(*wanted)
    seen: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await idle.flow(flow["id"], limit=700, **cursor)
        seen += page["jobs"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(job["name"], job["after"]) for job in seen] == [(one["name"], one.get("after", [])) for one in wanted]
    assert page["counts"] == {"queued": 1, "blocked": 2_999}
    cancelled = await idle.api.post(f"/v1/flows/{flow['id']}/cancel")
    assert cancelled.status_code in (200, 202)
    if cancelled.status_code == 200:
        assert cancelled.json()["counts"] == {"cancelled": 3_000}


async def test_an_unknown_flow_is_not_found(idle: Driver) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/replay")):
        problem = assert_problem(await idle.api.request(method, f"/v1/flows/{'x' * 300}{path}"), 404)
        assert problem["type"] == "urn:postlude:problem:flow-not-found"
    assert_problem(await idle.api.get("/v1/flows", params={"cursor": "x"}), 422)


@on_sqlite
async def test_a_holder_of_a_unique_key_stands_for_a_job_of_a_flow(idle: Driver, ledger: Ledger) -> None:
    holder = (await idle.api.post("/v1/jobs", json=stat(unique_key="k", delay=3600))).json()
    flow = await idle.enqueue(idle.job("a", unique_key="k"), idle.job("b", "a"))
    assert flow["jobs"]["a"] == holder["id"]
    assert (await get(idle.api, flow["jobs"]["b"]))["blocked_by"] == [holder["id"]]
    [job] = (await idle.flow(flow["id"]))["jobs"]
    assert (job["name"], job["after"]) == ("b", [holder["id"]])


@on_sqlite
async def test_a_flow_without_jobs_of_its_own_shows_when_it_ended(idle: Driver) -> None:
    await idle.api.post("/v1/jobs", json=stat(unique_key="k", delay=3600))
    made = await idle.enqueue(idle.job("a", unique_key="k"))
    flow = await idle.flow(made["id"])
    assert (flow["state"], flow["counts"], flow["finished_at"]) == ("succeeded", {}, flow["created_at"])
    listed = (await idle.api.get("/v1/flows")).json()["flows"]
    assert [one["finished_at"] for one in listed] == [flow["finished_at"]]


@on_sqlite
async def test_a_flow_of_one_job_whose_unique_key_is_held_is_answered_the_same_again(idle: Driver) -> None:
    holder = (await idle.api.post("/v1/jobs", json=stat(unique_key="k", delay=3600))).json()
    body = {"jobs": [idle.job("a", unique_key="k")]}
    first, again = [await idle.api.post("/v1/flows", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert first.json() == again.json()
    assert first.json()["jobs"] == {"a": holder["id"]}
    assert again.headers["idempotent-replayed"] == "true"
