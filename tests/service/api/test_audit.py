"""What operators did, by the API, is on the trail: who, what, before, after."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, get_args

import httpx
import pytest

from service.settings import Settings
from service.web.deps import OperatorDep
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.apps import made_app
from tests.support.running import running_api

SECRET = "c4n4ry-of-the-trail"
WEBHOOK = {"kind": "send_webhook", "args": {"url": "http://127.0.0.1:9/hook", "event": "e", "data": None}}
APP_SECRET = "whsec_" + "QUJD" * 8

pytestmark = on_sqlite  # tests/service/trail asks both databases


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


async def trail(api: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    answer = await api.get("/v1/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    actions: list[dict[str, Any]] = answer.json()["actions"]
    return actions


async def done(api: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    answer = await api.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def test_every_action_is_noted_with_what_it_changed(api: httpx.AsyncClient) -> None:
    job = await done(api, "POST", "/v1/jobs", json=WEBHOOK | {"delay": 3600, "lane": "tenant:1"})
    path = f"/v1/jobs/{job['id']}"
    await done(api, "PATCH", path, json={"priority": 3})
    await done(api, "POST", f"{path}/run-now")
    await done(api, "POST", f"{path}/cancel")
    assert_problem(await api.post(f"{path}/cancel"), 409)
    await done(api, "POST", f"{path}/replay")
    noted = await trail(api, target=job["id"])
    shown = [(one["action"], one["ending"]) for one in reversed(noted)]
    assert shown == [
        ("change", "done"),
        ("run_now", "done"),
        ("cancel", "done"),
        ("cancel", "refused"),
        ("replay", "done"),
    ]
    assert noted[-1]["actor"] == {"id": "anybody", "name": "anybody"}
    assert noted[-1]["address"] == "127.0.0.1"
    assert (noted[-1]["before"]["priority"], noted[-1]["after"]["priority"]) == (0, 3)
    assert (noted[2]["before"]["state"], noted[2]["after"]["state"]) == ("queued", "cancelled")
    assert noted[1]["refused"].startswith("The job's state forbids this: ")
    assert_problem(await api.post("/v1/jobs/nobody/cancel"), 404)
    assert await trail(api, target="nobody") == [], "nothing was there to act on"


async def test_lanes_queues_kinds_schedules_flows_operations_and_apps_are_on_it(api: httpx.AsyncClient) -> None:
    await done(api, "PUT", "/v1/lanes/tenant:1", json={"concurrency": 2})
    await done(api, "POST", "/v1/lanes/tenant:1/pause")
    await done(api, "DELETE", "/v1/lanes/tenant:1")
    await done(api, "POST", "/v1/queues/default/pause", json={"for": 60})
    await done(api, "POST", "/v1/kinds/cleanup/pause")
    await done(api, "POST", "/v1/kinds/cleanup/resume")
    said = WEBHOOK | {"cron": "0 3 * * *"}
    said["args"] = WEBHOOK["args"] | {"headers": {"authorization": SECRET}}  # type: ignore[operator]
    await done(api, "PUT", "/v1/schedules/nightly", json=said)
    await done(api, "PUT", "/v1/schedules/nightly", json=said | {"cron": "0 4 * * *"})
    for verb in ("pause", "resume", "run"):
        await done(api, "POST", f"/v1/schedules/nightly/{verb}")
    await done(api, "DELETE", "/v1/schedules/nightly")
    flow = await done(api, "POST", "/v1/flows", json={"jobs": [WEBHOOK | {"name": "a", "delay": 60}]})
    await done(api, "POST", f"/v1/flows/{flow['id']}/cancel")
    await done(api, "POST", f"/v1/flows/{flow['id']}/replay")
    started = await done(api, "POST", "/v1/operations", json={"action": "cancel", "filter": {"kind": "send_webhook"}})
    await done(api, "POST", f"/v1/operations/{started['id']}/stop")
    await done(api, "POST", "/v1/jobs/replay", json={"filter": {"kind": "send_webhook"}})
    await done(api, "POST", "/v1/jobs/replay", json={"filter": {"kind": "send_webhook"}, "dry_run": True})
    app = {"url": "http://127.0.0.1:9", "secret": APP_SECRET}
    await done(api, "PUT", "/v1/apps/shop", json=app)
    await done(api, "PUT", "/v1/apps/shop", json=app)
    await done(api, "DELETE", "/v1/apps/shop")
    noted = list(reversed(await trail(api)))
    assert {one["ending"] for one in noted} == {"done"}
    assert [(one["target_type"], one["action"]) for one in noted] == [
        ("lane", "set"),
        ("lane", "pause"),
        ("lane", "delete"),
        ("queue", "pause"),
        ("kind", "pause"),
        ("kind", "resume"),
        ("schedule", "set"),
        ("schedule", "set"),
        ("schedule", "pause"),
        ("schedule", "resume"),
        ("schedule", "run"),
        ("schedule", "delete"),
        ("flow", "cancel"),
        ("flow", "replay"),
        ("operation", "start"),
        ("operation", "stop"),
        ("operation", "replay"),
        ("app", "set"),
        ("app", "delete"),
    ]
    assert (noted[0]["before"]["concurrency"], noted[0]["after"]["concurrency"]) == (None, 2)
    assert (noted[3]["target"], noted[3]["after"]["paused"]) == ("default", True)
    assert (noted[7]["before"]["cron"], noted[7]["after"]["cron"]) == ("0 3 * * *", "0 4 * * *")
    assert (noted[14]["target"], noted[14]["after"]["action"]) == (started["id"], "cancel")
    text = str(noted)
    assert SECRET not in text
    assert APP_SECRET not in text


async def test_the_trail_is_read_page_by_page(api: httpx.AsyncClient) -> None:
    for name in ("pause", "resume", "pause"):
        await done(api, "POST", f"/v1/queues/default/{name}")
    first = (await api.get("/v1/audit", params={"limit": 2, "target_type": "queue"})).json()
    rest = (await api.get("/v1/audit", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["action"] for one in first["actions"] + rest["actions"]] == ["pause", "resume", "pause"]
    assert rest["next_cursor"] is None
    assert await trail(api, action="resume", actor="anybody", after=first["actions"][1]["at"]) == [first["actions"][1]]
    assert await trail(api, before=rest["actions"][0]["at"]) == []
    assert_problem(await api.get("/v1/audit", params={"cursor": "x"}), 422)


# Enqueueing is no operator's action, and a ticket opens only what its key may read.
UNNOTED = {"/v1/jobs", "/v1/jobs/batch", "/v1/flows", "/v1/files", "/v1/jobs/{job_id}/events/tickets"}


def test_every_other_call_that_changes_something_asks_for_the_operator(settings: Settings) -> None:
    [operator] = get_args(OperatorDep)[1:]
    changing = [route for route in _routes(made_app(settings).routes) if route.methods - {"GET", "HEAD"}]
    of_the_api = [route for route in changing if route.path.startswith("/v1")]
    noted = [route for route in of_the_api if operator.dependency in _called(route.dependant)]
    assert len(noted) > 20
    assert {route.path for route in of_the_api if route not in noted} == UNNOTED


def _routes(routes: Iterable[Any]) -> Iterator[Any]:
    for one in routes:
        if hasattr(one, "original_router"):
            yield from _routes(one.original_router.routes)
        elif hasattr(one, "dependant"):
            yield one


def _called(dependant: Any) -> Iterator[Any]:
    for one in dependant.dependencies:
        yield one.call
        yield from _called(one)
