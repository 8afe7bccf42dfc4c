"""What limited keys are kept from, on every way; and args that are hidden."""

from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, stat, webhook
from tests.support.keyed import BOOTSTRAP, bearer, closed, make_key
from tests.support.running import eventually, running_api


@pytest.fixture
def asked(settings: Settings) -> Settings:
    return closed(settings, queues=("default", "mail"))


async def enqueue(api: httpx.AsyncClient, body: dict[str, Any], key: str = BOOTSTRAP) -> dict[str, Any]:
    answer = await api.post("/v1/jobs", json={"delay": 3600} | body, headers=bearer(key))
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


@on_sqlite
async def test_a_limited_key_enqueues_its_kinds_on_its_queues_alone(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "enqueue", "read", kinds=["update_s*"], queues=["default"])
        send: dict[str, Any] = {"headers": bearer(made["key"])}
        good, foreign = stat(), webhook()
        theirs = await enqueue(api, foreign)
        assert (await api.post("/v1/jobs", json=good, **send)).status_code == 202
        for body in (
            foreign,
            good | {"queue": "mail"},
            good | {"on_success": foreign},
            good | {"on_end": {"url": "https://example.com/hook"}},
            good | {"unique_key": "u", "on_conflict": "replace"},
        ):
            refused = assert_problem(await api.post("/v1/jobs", json=body, **send), 403)
            assert refused["type"] == "urn:postlude:problem:not-for-this-key", body
            assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [good, body]}, **send), 403)
            flow = {"jobs": [good | {"name": "a"}, body | {"name": "b"}]}
            assert_problem(await api.post("/v1/flows", json=flow, **send), 403)
        assert_problem(
            await api.post("/v1/flows", json={"jobs": [good | {"name": "a"}], "on_end": foreign}, **send), 403
        )
        assert (await api.post("/v1/flows", json={"jobs": [good | {"name": "a"}]}, **send)).status_code == 202
        # What it may not see is not there: neither to come after, nor as the holder of a unique key.
        after = assert_problem(await api.post("/v1/jobs", json=good | {"after": [theirs["id"]]}, **send), 422)
        assert after["type"] == "urn:postlude:problem:parent-unknown"
        await enqueue(api, foreign | {"unique_key": "taken", "delay": 3600})
        held = assert_problem(await api.post("/v1/jobs", json=good | {"unique_key": "taken"}, **send), 409)
        assert "args" not in held
        batch = await api.post("/v1/jobs/batch", json={"jobs": [good | {"unique_key": "taken"}]}, **send)
        assert [(one["kind"], one["state"]) for one in batch.json()["jobs"]] == [("update_stats", "queued")]


@on_sqlite
async def test_a_limited_key_finds_and_touches_no_other_jobs(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "operate", kinds=["update_stats"], queues=["default", "ma*"])
        mine = await enqueue(api, stat())
        others = [await enqueue(api, webhook()) for _ in range(2)]
        ticket = (await api.post(f"/v1/jobs/{others[0]['id']}/events/tickets", headers=bearer(BOOTSTRAP))).json()
        api.headers.update(bearer(made["key"]))
        everything: list[dict[str, Any]] = [{}, {"kind": ["send_webhook", "update_stats"]}, {"q": "e"}]
        for query in (*everything, {"state": "scheduled"}):
            assert [job["id"] for job in (await api.get("/v1/jobs", params=query)).json()["jobs"]] == [mine["id"]]
        assert (await api.get("/v1/jobs", params={"kind": "send_webhook"})).json()["jobs"] == []
        where = f"/v1/jobs/{others[0]['id']}"
        for method, path in (
            ("GET", ""),
            ("GET", "/events"),
            ("POST", "/events/tickets"),
            ("POST", "/cancel"),
            ("POST", "/replay"),
            ("POST", "/run-now"),
            ("PATCH", ""),
        ):
            sent: dict[str, Any] = {"json": {"priority": 1}} if method == "PATCH" else {}
            assert_problem(await api.request(method, where + path, **sent), 404)
        assert_problem(await api.get(f"/v1/jobs/{mine['id']}/events", params={"ticket": ticket["ticket"]}), 401)
        assert_problem(await api.patch(f"/v1/jobs/{mine['id']}", json={"queue": "other"}), 403)
        assert (await api.patch(f"/v1/jobs/{mine['id']}", json={"queue": "mail"})).status_code == 200
        assert (await api.post(f"/v1/jobs/{mine['id']}/cancel")).status_code == 200
        assert [kind["name"] for kind in (await api.get("/v1/kinds")).json()["kinds"]] == ["update_stats"]
        assert {queue["name"] for queue in (await api.get("/v1/queues")).json()["queues"]} == {"default", "mail"}
        for path in ("/v1/lanes", "/v1/flows", "/v1/schedules", "/v1/apps", "/v1/stats"):
            assert_problem(await api.get(path), 403)


@on_sqlite
async def test_an_operation_of_a_limited_key_has_no_other_members(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "operate", kinds=["update_stats"])
        mine, theirs = await enqueue(api, stat()), await enqueue(api, webhook())
        for job in (mine, theirs):
            assert (await api.post(f"/v1/jobs/{job['id']}/cancel", headers=bearer(BOOTSTRAP))).status_code == 200
        of_others = await api.post(
            "/v1/operations", json={"action": "cancel", "filter": {"tag": "x"}}, headers=bearer(BOOTSTRAP)
        )
        api.headers.update(bearer(made["key"]))
        everything = {"state": "cancelled", "within_kinds": None}
        told = (await api.post("/v1/jobs/replay", json={"filter": everything})).json()
        assert (told["matched"], told["replayed"]) == (1, 1)
        own = await api.post("/v1/operations", json={"action": "cancel", "filter": {"state": "scheduled"}})
        assert own.status_code == 202
        listed = [one["id"] for one in (await api.get("/v1/operations")).json()["operations"]]
        assert set(listed) == {own.json()["id"], told["operation"]}
        where = f"/v1/operations/{of_others.json()['id']}"
        assert_problem(await api.get(where), 404)
        assert_problem(await api.post(f"{where}/stop"), 404)
        change = {"action": "change", "filter": {"state": "scheduled"}, "change": {"queue": "mail"}}
        assert (await api.post("/v1/operations", json=change)).status_code == 202
        states = {}
        for job in (mine, theirs):
            states[job["kind"]] = (await api.get(f"/v1/jobs/{job['id']}", headers=bearer(BOOTSTRAP))).json()["state"]
        assert states["send_webhook"] == "cancelled"


@on_sqlite
async def test_hidden_args_are_shown_nowhere_and_cannot_be_searched(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "operate", "enqueue", sees_args=False)
        job = await enqueue(api, stat("the-canary") | {"metadata": {"m": "the-canary"}})
        api.headers.update(bearer(made["key"]))
        where = f"/v1/jobs/{job['id']}"
        answers = [
            await api.get(where),
            await api.get("/v1/jobs"),
            await api.post(f"{where}/run-now"),
            await api.patch(where, json={"priority": 2}),
            await api.post(f"{where}/cancel"),
            await api.post(f"{where}/replay"),
        ]
        for answer in answers:
            assert answer.status_code in (200, 409), answer.text
            assert "the-canary" not in answer.text
        shown = answers[0].json()
        assert (shown["args"], shown["result"], shown["metadata"], shown["args_hidden"]) == (None, None, None, True)
        assert answers[1].json()["jobs"][0]["args_hidden"] is True
        schedule = {"kind": "update_stats", "cron": "0 2 * * *", "args": {"subject": "the-canary", "event": "e"}}
        assert (await api.put("/v1/schedules/nightly", json=schedule)).status_code == 201
        for path in ("/v1/schedules", "/v1/schedules/nightly"):
            assert "the-canary" not in (await api.get(path)).text
        for query in ({"q": "the-canary"}, {"args.subject": "the-canary"}, {"metadata.m": "the-canary"}):
            refused = assert_problem(await api.get("/v1/jobs", params=query), 403)
            assert refused["type"] == "urn:postlude:problem:args-hidden"
        searches: list[dict[str, Any]] = [
            {"q": "the"},
            {"args": {"subject": "the-canary"}},
            {"metadata": {"m": "the-canary"}},
        ]
        for wanted in searches:
            assert_problem(await api.post("/v1/operations", json={"action": "cancel", "filter": wanted}), 403)
            assert_problem(await api.post("/v1/jobs/replay", json={"filter": wanted, "dry_run": True}), 403)
        assert (await api.get(where, headers=bearer(BOOTSTRAP))).json()["args"]["subject"] == "the-canary"


@on_sqlite
async def test_an_app_registers_with_a_key_for_its_functions(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "enqueue", kinds=["shop.*"])
        body = {"url": "http://127.0.0.1:9/_postlude", "secret": "whsec_" + "a" * 32}
        assert_problem(await api.put("/v1/apps/billing", json=body, headers=bearer(made["key"])), 403)
        assert (await api.put("/v1/apps/shop", json=body, headers=bearer(made["key"]))).status_code == 201


@on_sqlite
async def test_limits_that_change_hold_within_two_seconds(asked: Settings) -> None:
    async with running_api(asked) as api, running_api(asked) as other:
        made = await make_key(api, "read")
        job = await enqueue(api, stat())
        where = f"/v1/jobs/{job['id']}"
        assert (await other.get(where, headers=bearer(made["key"]))).status_code == 200
        await api.patch(f"/v1/keys/{made['id']}", json={"kinds": ["send_email"]}, headers=bearer(BOOTSTRAP))

        async def is_gone() -> bool:
            return (await other.get(where, headers=bearer(made["key"]))).status_code == 404

        await eventually(is_gone)


@on_sqlite
async def test_a_job_says_who_sent_it(asked: Settings) -> None:
    async with running_api(asked) as api:
        made = await make_key(api, "enqueue", "read")
        sent: dict[str, Any] = {"headers": bearer(made["key"])}
        one = (await api.post("/v1/jobs", json=stat(), **sent)).json()
        batch = (await api.post("/v1/jobs/batch", json={"jobs": [stat()]}, **sent)).json()["jobs"][0]["id"]
        flow = (await api.post("/v1/flows", json={"jobs": [stat() | {"name": "a"}]}, **sent)).json()["jobs"]["a"]
        assert one["enqueued_by"] == f"key:{made['id']}"
        for job in (one["id"], batch, flow):
            assert (await api.get(f"/v1/jobs/{job}", **sent)).json()["enqueued_by"] == f"key:{made['id']}"
        assert (await enqueue(api, stat()))["enqueued_by"] == "bootstrap"
