"""The audit log over HTTP, as a worker has written it."""

import json
from typing import Any

import httpx
import pytest

from jobs.audit import write_audit
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import assert_problem, get, on_sqlite
from tests.service.audit_log.logging import say
from tests.service.audit_log.test_verifying import found, run, unguarded
from tests.support.running import catalogue_of, eventually, running_worker

# What JSON can hold, as a caller writes it.
ODD = (
    '{"big": 123456789012345678901234567890, "id": 9007199254740993, "zero": -0.0, "tiny": 5e-324, "e": 1E300,'
    ' "half": 0.1, "one": 1.0, "text": "\\u2028 \\ud83c\\udf89 e\\u0301 \\u0007 \\\\u0000 </script>",'
    ' "": [[], {}, null]}'
)


async def audited(api: httpx.AsyncClient, **args: Any) -> dict[str, Any]:
    """Write an entry by a job; return what is shown of it."""
    args = {"action": "invoice.paid", "actor": "ann", **args}
    answer = await api.post("/v1/jobs", json={"kind": "write_audit", "args": args})
    assert answer.status_code == 202, answer.text

    async def ended() -> dict[str, Any] | None:
        job = await get(api, answer.json()["id"])
        return job if job["state"] == "succeeded" else None

    job = await eventually(ended) or {}
    [entry] = [one for one in (await api.get("/v1/audit-log")).json()["entries"] if one["job_id"] == job["id"]]
    assert job["result"] == {"seq": entry["seq"], "hash": entry["hash"]}
    shown: dict[str, Any] = entry
    return shown


async def test_entry_holds_what_its_job_was_given(api: httpx.AsyncClient, settings: Settings, ledger: Ledger) -> None:
    async with running_worker(settings, catalogue_of(write_audit)):
        plain = await audited(api)
        assert (plain["seq"], plain["target"], plain["origin"], plain["data"]) == (1, None, None, None)
        origin = {"address": "::1", "user_agent": "curl/8 \u202e", "request_id": "r-1"}
        at = "0001-01-01T00:00:00.000001Z"
        full = await audited(api, target="invoice:42", origin=origin, at=at, data=json.loads(ODD))
        assert (full["origin"], full["at"], full["actor"]) == (origin, at, "ann")
        assert json.dumps(full["data"], sort_keys=True) == json.dumps(json.loads(ODD), sort_keys=True)
        empty: list[Any] = [False, 0, "", [], {}]
        for data in empty:
            assert (await audited(api, data=data))["data"] == data
    assert await found(ledger) == []


@on_sqlite
async def test_what_the_log_cannot_hold_is_refused_at_the_door(api: httpx.AsyncClient) -> None:
    for args in (
        '{"action": "audit_log.pruned", "actor": "eve"}',
        '{"action": "x", "actor": ""}',
        '{"action": "x", "actor": "eve\\u0000"}',
        '{"action": "x", "actor": "eve", "at": "0001-01-01T00:00:00+14:00"}',
        '{"action": "x", "actor": "eve", "data": 1E400}',
        '{"action": "x", "actor": "eve", "data": NaN}',
        '{"action": "x", "actor": "eve", "data": "\\ud800"}',
        '{"action": "x", "actor": "eve", "data": "\\u0000"}',
        f'{{"action": "x", "actor": "eve", "data": {"[" * 5_000 + "]" * 5_000}}}',
        f'{{"action": "x", "actor": "eve", "data": {"9" * 5_000}}}',
    ):
        body = f'{{"kind": "write_audit", "args": {args}}}'
        answer = await api.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), (args[:80], answer.text)


async def test_entries_are_listed_by_what_they_say_and_page_by_page(api: httpx.AsyncClient, ledger: Ledger) -> None:
    await say(ledger, *(f"j{n}" for n in range(25)))

    async def listed(**query: Any) -> list[int]:
        seqs: list[int] = []
        while True:
            page = (await api.get("/v1/audit-log", params=query)).json()
            seqs += [entry["seq"] for entry in page["entries"]]
            if page["next_cursor"] is None:
                return seqs
            query["cursor"] = page["next_cursor"]

    newest_first = [*range(25, 0, -1)]
    assert await listed(limit=7) == newest_first
    assert await listed(limit=7, actor="ann", action="paid", target="invoice:1") == newest_first
    assert await listed(actor="eve") == await listed(action="x") == await listed(target="ann") == []
    assert await listed(after="2026-03-01T12:00:00Z", before="2026-03-01T12:00:00.000001Z") == newest_first
    assert await listed(before="2026-03-01T12:00:00Z") == []
    for params in ({"actor": "a\0"}, {"cursor": "x"}, {"limit": 0}, {"after": "now"}, {"acter": "ann"}):
        assert_problem(await api.get("/v1/audit-log", params=params), 422)


@on_sqlite
async def test_export_is_streamed_and_shows_whatever_is_in_the_table(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.audit_log.reads.PAGE", 10)
    assert (await api.get("/v1/audit-log/export")).text == ""
    await say(ledger, *(f"j{n}" for n in range(25)))
    answer = await api.get("/v1/audit-log/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["seq"] for line in lines] == [*range(1, 26)]
    assert len((await api.get("/v1/audit-log/export", params={"after": 20})).text.splitlines()) == 5
    await unguarded(ledger)
    await run(ledger, "UPDATE audit_log SET data = X'ff', actor = CAST(X'ff' AS TEXT) WHERE seq = 3")
    await run(ledger, *(f"UPDATE audit_log SET data = '{one}' WHERE seq = 4" for one in ('"\\ud800"', "NaN", "1e400")))
    assert (await api.get("/v1/audit-log/export")).text.isascii()
    assert (await api.get("/v1/audit-log")).status_code == 200


@on_sqlite
@pytest.mark.parametrize("at", ["'a'", "'z'", "CAST(X'ff' AS TEXT)"])
async def test_entries_without_a_time_do_not_break_cursors(api: httpx.AsyncClient, ledger: Ledger, at: str) -> None:
    await say(ledger, *(f"j{n}" for n in range(9)))
    await unguarded(ledger)
    await run(ledger, f"UPDATE audit_log SET at = {at} WHERE seq IN (2, 5)")
    listed, query = set[int](), {"limit": "3"}
    while query.get("cursor", "first"):
        page = (await api.get("/v1/audit-log", params=query)).json()
        listed |= {entry["seq"] for entry in page["entries"]}
        query["cursor"] = page["next_cursor"] or ""
    assert listed == set(range(1, 10))
    await run(ledger, f"UPDATE audit_log SET at = {at}")
    assert (await api.get("/v1/audit-log", params={"limit": 3})).json()["next_cursor"] is None
