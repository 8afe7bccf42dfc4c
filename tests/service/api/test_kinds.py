"""The catalogue over HTTP."""

import httpx

import jobs
from tests.service.api.driving import on_sqlite


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
