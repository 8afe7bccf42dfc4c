"""The catalogue over HTTP."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete

import jobs
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.tables import job_listing
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.running import running_api
from tests.support.writing import writing

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


@on_sqlite
async def test_every_kind_is_listed_with_the_schema_of_its_args(api: httpx.AsyncClient) -> None:
    listed = {kind["name"]: kind for kind in (await api.get("/v1/kinds")).json()["kinds"]}
    catalogue = jobs.load()
    assert list(listed) == sorted(catalogue)
    assert {"send_webhook", "send_email", "update_stats", "cleanup"} <= set(listed)
    for name, kind in catalogue.items():
        shown = listed[name]
        assert shown["args_schema"] == kind.args_model.model_json_schema()
        assert shown["timeout"] == kind.timeout.total_seconds()
        assert (shown["max_attempts"], shown["queue"], shown["cron"]) == (kind.max_attempts, kind.queue, kind.cron)
        assert shown["description"]
    assert listed["cleanup"]["cron"]
    assert (listed["cleanup"]["catch_up"], listed["update_stats"]["catch_up"]) == ("last", None)


async def kind_of(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    [kind] = [kind for kind in (await api.get("/v1/kinds")).json()["kinds"] if kind["name"] == name]
    return dict(kind)


async def test_a_kind_is_paused_for_a_while_or_for_good_and_resumed(api: httpx.AsyncClient) -> None:
    assert (await kind_of(api, "send_email"))["paused"] is False
    paused = await api.post("/v1/kinds/send_email/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["paused_until"]) == (200, True, None)
    assert paused.json() == await kind_of(api, "send_email")
    assert (await kind_of(api, "send_webhook"))["paused"] is False
    assert (await api.post("/v1/kinds/send_email/pause", json={"for": 60})).json()["paused_until"].endswith("Z")
    for _ in range(2):
        resumed = await api.post("/v1/kinds/send_email/resume")
        assert (resumed.status_code, resumed.json()["paused"]) == (200, False)


@on_sqlite
async def test_an_unknown_kind_is_refused_with_the_names_of_those_there_are(api: httpx.AsyncClient) -> None:
    for action in ("pause", "resume"):
        refused = assert_problem(await api.post(f"/v1/kinds/send_mail/{action}"), 404)
        assert refused["type"] == "urn:postlude:problem:kind-not-found"
        assert "send_email" in refused["detail"]


@on_sqlite
async def test_without_the_ledger_kinds_are_listed_and_nobody_claims_to_know_their_pauses(settings: Settings) -> None:
    nowhere = f"sqlite+aiosqlite:///{settings.data_dir}/no/such.db"
    update = {"database_url": nowhere, "api_keys": (SecretStr("key-one"),)}  # which needs no ledger to be known
    async with running_api(settings.model_copy(update=update)) as api:
        api.headers["Authorization"] = "Bearer key-one"
        assert (await kind_of(api, "send_email"))["paused"] is None


# ---- labels


def call(function: str = "shop.mail.send", **fields: Any) -> dict[str, Any]:
    return {"kind": "call_app", "args": {"app": "shop", "function": function}} | fields


async def post(api: httpx.AsyncClient, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    answers = [await api.post("/v1/jobs", json=body) for body in bodies]
    assert {answer.status_code for answer in answers} <= {202}, [answer.text for answer in answers]
    return [answer.json() for answer in answers]


async def test_a_job_of_an_app_counts_as_its_function_wherever_kinds_are_shown(api: httpx.AsyncClient) -> None:
    first, second, other = await post(api, call(), call("shop.stock.sync"), {"kind": "cleanup"})
    assert (first["kind"], first["label"]) == ("call_app", "shop.shop.mail.send")
    assert (other["kind"], other["label"]) == ("cleanup", "cleanup")
    await api.post(f"/v1/jobs/{second['id']}/cancel")
    looked_up = (await api.get(f"/v1/jobs/{first['id']}")).json()
    assert looked_up["label"] == first["label"]

    async def listed(*kinds: str, **params: Any) -> list[str]:
        answer = await api.get("/v1/jobs", params={"kind": kinds, "order": "asc"} | params)
        return [job["id"] for job in answer.json()["jobs"]]

    assert await listed("shop.shop.mail.send") == [first["id"]]
    assert await listed("call_app") == [first["id"], second["id"]]
    assert await listed("call_app", "shop.shop.mail.send", "cleanup") == [first["id"], second["id"], other["id"]]
    assert await listed("shop.shop.stock.sync", state="cancelled") == [second["id"]]
    assert await listed("shop.shop.stock.sync", lane="app:shop") == [second["id"]]
    assert await listed("shop.none") == []

    labels = {label["name"]: label for label in (await api.get("/v1/kinds")).json()["labels"]}
    assert list(labels) == ["shop.shop.mail.send", "shop.shop.stock.sync"]
    assert labels["shop.shop.stock.sync"]["counts"] == {"enqueued": 1, "cancelled": 1}
    assert labels["shop.shop.stock.sync"]["kind"] == "call_app"
    metrics = (await api.get("/metrics")).text
    assert 'postlude_jobs_enqueued_total{kind="shop.shop.mail.send"} 1.0' in metrics
    assert 'kind="call_app"' not in metrics


async def test_a_label_is_paused_and_resumed_as_a_kind_is(api: httpx.AsyncClient) -> None:
    [job] = await post(api, call())
    paused = await api.post("/v1/kinds/shop.shop.mail.send/pause", json={"for": 60})
    assert (paused.status_code, paused.json()["name"], paused.json()["paused"]) == (200, "shop.shop.mail.send", True)
    assert paused.json()["counts"] == {"enqueued": 1}
    waiting = (await api.get(f"/v1/jobs/{job['id']}")).json()["waiting_for"]
    assert waiting.startswith("its kind shop.shop.mail.send is paused")
    resumed = await api.post("/v1/kinds/shop.shop.mail.send/resume")
    assert (resumed.status_code, resumed.json()["paused"]) == (200, False)
    for action in ("pause", "resume"):
        refused = assert_problem(await api.post(f"/v1/kinds/shop.none/{action}"), 404)
        assert refused["type"] == "urn:postlude:problem:kind-not-found"


async def test_a_label_whose_jobs_are_gone_can_be_resumed(api: httpx.AsyncClient, ledger: Ledger) -> None:
    await post(api, call())
    await api.post("/v1/kinds/shop.shop.mail.send/pause")
    async with writing(ledger.database) as connection:
        await connection.execute(delete(job_listing))
    resumed = await api.post("/v1/kinds/shop.shop.mail.send/resume")
    assert (resumed.status_code, resumed.json()["paused"], resumed.json()["kind"]) == (200, False, None)
    assert (await api.post("/v1/kinds/shop.shop.mail.send/resume")).status_code == 404


async def test_a_label_follows_a_change_of_the_args_and_of_the_lane(api: httpx.AsyncClient) -> None:
    [job] = await post(api, call(delay=60))
    changed = await api.patch(f"/v1/jobs/{job['id']}", json={"args": {"app": "shop", "function": "shop.stock.sync"}})
    assert (changed.status_code, changed.json()["label"]) == (200, "shop.shop.stock.sync")
    changed = await api.patch(f"/v1/jobs/{job['id']}", json={"lane": "tenant:7"})
    assert (changed.json()["label"], changed.json()["lanes"]) == ("shop.shop.stock.sync", ["tenant:7", "app:shop"])
    found = (await api.get("/v1/jobs", params={"kind": "shop.shop.stock.sync"})).json()["jobs"]
    assert [one["id"] for one in found] == [job["id"]]
    assert (await api.get("/v1/jobs", params={"kind": "shop.shop.mail.send"})).json()["jobs"] == []


async def test_jobs_of_a_label_are_replayed_by_it(api: httpx.AsyncClient) -> None:
    first, second = await post(api, call(), call("shop.stock.sync"))
    for job in (first, second):
        await api.post(f"/v1/jobs/{job['id']}/cancel")
    answer = await api.post("/v1/jobs/replay", json={"filter": {"kind": ["shop.shop.mail.send"]}})
    assert answer.status_code == 200, answer.text
    states = [(await api.get(f"/v1/jobs/{job['id']}")).json()["state"] for job in (first, second)]
    assert states == ["queued", "cancelled"]


@on_sqlite
async def test_a_callback_that_calls_an_app_has_its_label(api: httpx.AsyncClient) -> None:
    [job] = await post(api, {"kind": "cleanup", "on_end": call()})
    await api.post(f"/v1/jobs/{job['id']}/cancel")
    [called] = (await api.get("/v1/jobs", params={"kind": "shop.shop.mail.send"})).json()["jobs"]
    assert called["label"] == "shop.shop.mail.send"


@on_sqlite
async def test_labels_beyond_number_are_one_series_of_the_metrics(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.metrics.MOST_LABELS", 3)
    await post(api, *(call(f"shop.f{number}") for number in range(3)), {"kind": "cleanup"})
    assert 'kind="shop.shop.f2"' in (await api.get("/metrics")).text
    await post(api, call("shop.f3"))
    metrics = (await api.get("/metrics")).text
    assert 'kind="shop.' not in metrics
    assert 'postlude_jobs_enqueued_total{kind="other"} 4.0' in metrics
    assert 'postlude_jobs_enqueued_total{kind="cleanup"} 1.0' in metrics
