"""What a limited key may not enqueue, it cannot have enqueued by a token that dies either."""

from typing import Any

from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.keyed import bearer, closed, make_key
from tests.support.running import running_api

STAT = {"kind": "update_stats", "args": {"subject": "s", "event": "e"}}
CALL = {"kind": "call_app", "args": {"app": "shop", "function": "shop.push.forget"}}


def push(on_dead_token: Any) -> dict[str, Any]:
    args = {"token": "t", "on_dead_token": on_dead_token}
    return {"kind": "send_push", "args": args, "delay": 3600}


@on_sqlite
async def test_on_dead_token_is_within_the_limits_of_a_key(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        made = await make_key(api, "enqueue", "operate", kinds=["send_push", "shop.*"])
        api.headers.update(bearer(made["key"]))
        own = await api.post("/v1/jobs", json=push(CALL))
        assert own.status_code == 202, own.text
        elsewhere = CALL | {"args": CALL["args"] | {"app": "billing"}}  # type: ignore[operator]
        for beyond in (STAT, elsewhere, {"url": "https://example.com"}, {"kind": "send_push", **push(STAT)}):
            beyond = {name: value for name, value in beyond.items() if name != "delay"}
            body = push(beyond)
            refused = assert_problem(await api.post("/v1/jobs", json=body), 403)
            assert refused["type"] == "urn:postlude:problem:not-for-this-key", body
            assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [body]}), 403)
            assert_problem(await api.post("/v1/flows", json={"jobs": [body | {"name": "a"}]}), 403)
            assert_problem(await api.post("/v1/jobs", json=push(None) | {"on_end": body}), 403)
            assert_problem(await api.patch(f"/v1/jobs/{own.json()['id']}", json={"args": body["args"]}), 403)
