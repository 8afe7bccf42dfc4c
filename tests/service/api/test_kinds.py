"""The catalogue over HTTP."""

from typing import Any

import httpx

import jobs
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.running import running_api


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
    nowhere = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{settings.data_dir}/no/such.db"})
    async with running_api(nowhere) as api:
        assert (await kind_of(api, "send_email"))["paused"] is None
