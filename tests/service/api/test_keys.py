"""API keys: what they open, and what ends them."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.access.reads import find_keys
from service.access.throttle import Throttle
from service.access_tables import api_keys, trail
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, stat
from tests.support.keyed import BOOTSTRAP, bearer, closed, make_key
from tests.support.running import eventually, running_api
from tests.support.writing import writing

NEED = {
    ("POST", "/v1/jobs"): "enqueue",
    ("POST", "/v1/jobs/batch"): "enqueue",
    ("POST", "/v1/flows"): "enqueue",
    ("POST", "/v1/files"): "enqueue",
    ("PUT", "/v1/apps/{name}"): "enqueue",
    ("POST", "/v1/jobs/{job_id}/events/tickets"): "read",
    ("DELETE", "/v1/apps/{name}"): "admin",
}


def needs(method: str, path: str) -> str:
    """Return the scope that a call needs: what it does says which."""
    if path.startswith(("/v1/keys", "/v1/audit")):
        return "admin"
    return NEED.get((method, path), "read" if method == "GET" else "operate")


def calls(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        if path.startswith("/v1")
        for method in item
        if method in {"get", "put", "post", "delete", "patch"}
    ]


@on_sqlite
async def test_every_call_refuses_a_key_that_does_not_hold_or_lacks_its_scope_before_it_looks_at_anything(
    settings: Settings, ledger: Ledger
) -> None:
    async with running_api(closed(settings)) as api:
        having = {scope: (await make_key(api, scope))["key"] for scope in ("enqueue", "read", "operate", "admin")}
        revoked, expired = await make_key(api, "admin"), await make_key(api, "admin", expires_in=3600)
        assert (await api.delete(f"/v1/keys/{revoked['id']}", headers=bearer(BOOTSTRAP))).status_code == 204
        async with writing(ledger.database) as connection:
            past = datetime.now(UTC) - timedelta(seconds=1)
            await connection.execute(update(api_keys).where(api_keys.c.id == expired["id"]).values(expires_at=past))
        wrong: list[dict[str, str]] = [
            {},
            *map(bearer, ("wrong", revoked["key"], expired["key"], having["admin"][:-1] + "!")),
        ]
        known = calls((await api.get("/openapi.json")).json())
        assert len(known) > 40
        for method, path in known:
            where = re.sub(r"\{[^}]*\}", "x%00", path)
            sent: dict[str, Any] = {"content": b"{", "params": {"no-such": "1"}}  # refused by whatever looks at them
            for headers in wrong:
                refused = assert_problem(await api.request(method, where, headers=headers, **sent), 401)
                assert refused["type"] == "urn:postlude:problem:unauthorized"
            need = needs(method, path)
            for scope, key in having.items():
                answer = await api.request(method, where, headers=bearer(key), **sent)
                may = scope in {need, "admin"} or (scope, need) == ("operate", "read")
                may |= (scope, method, path) == ("enqueue", "GET", "/v1/files/{file_id}")  # its own
                assert (answer.status_code == 403) == (not may), (method, path, scope, answer.text)
                if not may:
                    assert answer.json()["type"] == "urn:postlude:problem:scope-missing"
                    assert need in answer.json()["detail"]


@on_sqlite
async def test_a_key_is_told_once_and_kept_as_a_hash(settings: Settings, ledger: Ledger) -> None:
    async with running_api(closed(settings)) as api:
        answer = await api.post(
            "/v1/keys", json={"name": "shop", "scopes": ["read"], "kinds": ["send_*"]}, headers=bearer(BOOTSTRAP)
        )
        made = answer.json()
        assert answer.headers["cache-control"] == "no-store"
        assert re.fullmatch(r"plk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", made["key"])
        assert made["key"].split("_")[1] == made["prefix"]
        assert (made["kinds"], made["queues"], made["created_by"]) == (["send_*"], None, "bootstrap")
        secret = made["key"].removeprefix(f"plk_{made['prefix']}_")
        api.headers.update(bearer(BOOTSTRAP))
        shown = [await api.get(f"/v1/keys/{made['id']}"), await api.get("/v1/keys"), await api.get("/v1/audit")]
        assert all(answer.status_code == 200 and secret not in answer.text for answer in shown)
        assert shown[1].json()["keys"][0]["id"] == made["id"]
    async with ledger.read() as connection:
        for table in (api_keys, trail):
            assert secret not in str((await connection.execute(select(table))).all())


@on_sqlite
async def test_keys_are_listed_page_by_page_changed_and_their_use_is_noted(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        made = [await make_key(api, "read") for _ in range(3)]
        api.headers.update(bearer(BOOTSTRAP))
        first = (await api.get("/v1/keys", params={"limit": 2})).json()
        rest = (await api.get("/v1/keys", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [key["id"] for key in first["keys"] + rest["keys"]] == [one["id"] for one in reversed(made)]
        assert rest["next_cursor"] is None
        where = f"/v1/keys/{made[0]['id']}"
        changed = await api.patch(where, json={"scopes": ["enqueue"], "queues": ["default"], "expires_in": 60})
        assert changed.status_code == 200
        assert (changed.json()["scopes"], changed.json()["queues"]) == (["enqueue"], ["default"])
        assert changed.json()["expires_at"] is not None
        assert_problem(await api.get("/v1/jobs", headers=bearer(made[0]["key"])), 403)
        back = (await api.patch(where, json={"queues": None, "expires_in": None})).json()
        assert (back["queues"], back["expires_at"], back["scopes"]) == (None, None, ["enqueue"])
        assert_problem(await api.patch(where, json={"scopes": ["admin"], "kinds": ["a"]}), 422)
        assert_problem(await api.patch(where, json={"name": None}), 422)
        assert_problem(await api.patch("/v1/keys/none", json={"name": "x"}), 404)
        assert_problem(await api.post("/v1/keys", json={"name": "x", "scopes": ["admin"], "kinds": ["a"]}), 422)
        assert (await api.get(where)).json()["last_used_at"] is None
    async with running_api(closed(settings)) as api:  # a stop notes what was used
        used = (await api.get(where, headers=bearer(BOOTSTRAP))).json()["last_used_at"]
        assert used is not None
        assert used.endswith(":00.000000Z")


@on_sqlite
async def test_a_revocation_elsewhere_holds_within_two_seconds_and_the_key_is_not_read_for_each_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_api(closed(settings)) as api, running_api(closed(settings)) as other:
        made = await make_key(other, "read")
        reads = 0

        async def counting(connection: Any, prefixes: Any) -> Any:
            nonlocal reads
            reads += 1
            return await find_keys(connection, prefixes)

        monkeypatch.setattr("service.access.access.find_keys", counting)
        api.headers.update(bearer(made["key"]))
        began = time.monotonic()
        for _ in range(50):
            assert (await api.get("/v1/queues")).status_code == 200
        assert reads <= 3 + (time.monotonic() - began)
        assert (await other.delete(f"/v1/keys/{made['id']}", headers=bearer(BOOTSTRAP))).status_code == 204
        assert_problem(await other.get("/v1/queues", headers=bearer(made["key"])), 401)

        async def is_refused() -> bool:
            return (await api.get("/v1/queues")).status_code == 401

        await eventually(is_refused)


@on_sqlite
async def test_a_rotated_key_keeps_its_id_and_what_it_has_sent_and_the_old_one_holds_for_its_grace(
    settings: Settings,
) -> None:
    async with running_api(closed(settings)) as api:
        made, other = await make_key(api, "enqueue", "read"), await make_key(api, "enqueue")
        sent: dict[str, Any] = {"json": stat(), "headers": bearer(made["key"]) | {"Idempotency-Key": "order-1"}}
        job = (await api.post("/v1/jobs", **sent)).json()["id"]
        theirs = await api.post("/v1/jobs", **sent | {"headers": sent["headers"] | bearer(other["key"])})
        assert (theirs.status_code, theirs.json()["id"] == job) == (202, False)  # keys of others are others
        where = f"/v1/keys/{made['id']}/rotate"
        rotated = (await api.post(where, headers=bearer(BOOTSTRAP))).json()
        assert (rotated["id"], rotated["prefix"]) == (made["id"], made["prefix"])
        again = await api.post("/v1/jobs", **sent | {"headers": sent["headers"] | bearer(rotated["key"])})
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (job, "true")
        assert (await api.get("/v1/queues", headers=bearer(made["key"]))).status_code == 200
        third = (await api.post(where, json={"grace": 0}, headers=bearer(BOOTSTRAP))).json()
        for gone in (made, rotated):
            assert_problem(await api.get("/v1/queues", headers=bearer(gone["key"])), 401)
        assert (await api.get("/v1/queues", headers=bearer(third["key"]))).status_code == 200
        assert_problem(await api.post("/v1/keys/none/rotate", headers=bearer(BOOTSTRAP)), 404)


@on_sqlite
async def test_without_keys_everybody_may_call_until_the_first_one_is_made(settings: Settings) -> None:
    async with running_api(settings) as api, running_api(settings) as other:
        assert (await other.get("/v1/queues")).status_code == 200
        made = (await api.post("/v1/keys", json={"name": "ops", "scopes": ["admin"]})).json()
        assert_problem(await api.get("/v1/queues"), 401)
        assert (await api.get("/v1/queues", headers=bearer(made["key"]))).status_code == 200

        async def is_refused() -> bool:
            return (await other.get("/v1/queues")).status_code == 401

        await eventually(is_refused)
        assert (await api.delete(f"/v1/keys/{made['id']}", headers=bearer(made["key"]))).status_code == 204
        assert_problem(await api.get("/v1/queues"), 401)  # nobody is let in by an accident


@on_sqlite
async def test_wrong_keys_are_slowed_down_and_hold_up_nobody_with_a_right_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.access._WRONG_KEYS_FREE", 3)
    monkeypatch.setattr(Throttle.__init__, "__kwdefaults__", {"clock": lambda: 0.0})  # no wait is over meanwhile
    async with running_api(closed(settings)) as api:
        made = await make_key(api, "read")
        for _ in range(3):
            assert_problem(await api.get("/v1/queues", headers=bearer("wrong")), 401)
        slowed = await api.get("/v1/queues", headers=bearer("wrong"))
        assert_problem(slowed, 429)
        assert 1 <= int(slowed.headers["retry-after"]) <= 4
        for key in (BOOTSTRAP, made["key"]):
            assert (await api.get("/v1/queues", headers=bearer(key))).status_code == 200
        assert_problem(await api.get("/v1/queues"), 401)  # no key is no guess


@on_sqlite
async def test_a_rate_limit_is_told_by_headers_and_each_principal_has_its_own(settings: Settings) -> None:
    async with running_api(closed(settings, rate_limit="3/h")) as api:
        keys = [await make_key(api, "read", "enqueue") for _ in range(2)]
        first, second = [dict[str, Any](headers=bearer(key["key"])) for key in keys]
        answers = [await api.get("/v1/queues", **first) for _ in range(2)]
        answers.append(await api.post("/v1/jobs", json=stat(), **first))
        assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"default";q=3;w=3600'] * 3
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0"]
        for refused in (await api.post("/v1/jobs", json=stat(), **first), await api.get("/v1/queues", **first)):
            assert_problem(refused, 429)
            assert 1100 <= int(refused.headers["retry-after"]) <= 1200
        assert (await api.get("/v1/queues", **second)).status_code == 200


async def test_keys_are_kept_alike_by_both_databases(ledger: Ledger) -> None:
    from service.access.keys import Keys
    from service.access.principal import Scope

    keys = Keys(ledger.database)
    key, text = await keys.create("one", [Scope.READ], kinds=["b", "a"], expires_in=timedelta(hours=1))
    assert (key.principal.kinds, key.digest in text) == (("a", "b"), False)
    rotated = await keys.rotate(key.id, timedelta(minutes=5))
    assert (rotated.key.old_digest, rotated.key.digests(datetime.now(UTC))) == (
        key.digest,
        (rotated.key.digest, key.digest),
    )
    changed = await keys.change(key.id, kinds=None, sees_args=False)
    assert (changed.principal.kinds, changed.principal.sees_args) == (None, False)
    assert [one.id for one in await keys.list(10)] == [key.id]
    assert not (await keys.revoke(key.id)).is_live(datetime.now(UTC))
