"""Values in args, results and filters are in no answer to callers who may not see args."""

import itertools
import json
import re
import string
from typing import Any

import httpx
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import attempts, jobs
from tests.service.api.driving import begin, end, on_sqlite
from tests.support.apps import made_app, routes_of
from tests.support.endless import beginning_of
from tests.support.keyed import bearer, closed, make_key
from tests.support.running import running_api
from tests.support.writing import writing
from tests.test_who_may_do_what import OPEN

MARK = "nobody-else-knows"
_SENT = {"method": "POST", "url": f"http://a/{MARK}", "signed": False, "address": None, "port": None}
_EXCHANGE = json.dumps({"request": _SENT, "answer": None})
_NAMES = ("nightly", "send_webhook", "default", "1")


async def done(api: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    answer = await api.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def make_all(api: httpx.AsyncClient, ledger: Ledger) -> dict[str, str]:
    """Put the mark everywhere where only callers who see args may find it; return the ids, by parameter."""
    hook = {"kind": "send_webhook", "args": {"url": "http://127.0.0.1:9/", "event": "e", "data": {"card": MARK}}}
    told = {"metadata": {"card": MARK}, "on_success": hook, "unique_key": "k"}
    job = await done(api, "POST", "/v1/jobs", json=hook | told)
    await end(ledger, await begin(ledger, job), Outcome.SUCCEEDED, State.SUCCEEDED)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(result=f'"{MARK}"'))
        await connection.execute(update(attempts).values(exchange=_EXCHANGE))
    waits = await done(api, "POST", "/v1/jobs", json=hook | told | {"delay": 3600, "unique_key": "later"})
    flow = {"jobs": [hook | {"name": "a", "delay": 3600}], "on_end": hook}
    flow_id = (await done(api, "POST", "/v1/flows", json=flow))["id"]
    await done(api, "PUT", "/v1/schedules/nightly", json=hook | {"cron": "0 3 * * *"})
    by_args = {"filter": {"kind": "update_stats", "args": {"subject": MARK}, "q": MARK}}
    change: dict[str, Any] = {"action": "change", "change": {"args": {"subject": MARK, "event": "e"}}}
    operation = await done(api, "POST", "/v1/operations", json=by_args | change)
    return {"job_id": job["id"], "waits": waits["id"], "flow_id": flow_id, "operation_id": operation["id"]}


def readable(settings: Settings) -> set[str]:
    paths = {route.path for route in routes_of(made_app(settings).routes) if "GET" in route.methods}
    return {re.sub(r":\w+}", "}", path) for path in paths - OPEN}


async def read(api: httpx.AsyncClient, path: str) -> str:
    """Return what is answered; of an answer that goes on, its beginning."""
    async with api.stream("GET", path) as answer:
        assert answer.status_code < 500, path
        return (await beginning_of(answer)).decode()


@on_sqlite
async def test_nothing_of_args_is_shown_to_those_who_may_not_see_them(settings: Settings, ledger: Ledger) -> None:
    async with running_api(closed(settings)) as api:
        open_eyes = bearer((await make_key(api, "admin"))["key"])
        blind = bearer((await make_key(api, "admin", sees_args=False))["key"])
        api.headers.update(open_eyes)
        known = await make_all(api, ledger)
        paths = {"/kinds/send_webhook/enqueue?like=" + known["job_id"]}
        for path in readable(settings):
            names = [name for _, name, _, _ in string.Formatter().parse(path) if name]
            asked = [[known[name]] if name in known else _NAMES for name in names]
            paths |= {path.format_map(dict(zip(names, values, strict=True))) for values in itertools.product(*asked)}
        paths |= {path.replace(known["job_id"], known["waits"]) for path in paths}
        found = {path for path in paths if MARK in await read(api, path)}
        job = f"/v1/jobs/{known['job_id']}"
        assert {job, f"{job}/events", f"/v1/flows/{known['flow_id']}", "/v1/operations", "/jobs", "/audit"} <= found
        api.headers.update(bearer((await make_key(api, "operate", "read", "enqueue", kinds=["cleanup"]))["key"]))
        there = {path: await read(api, path) for path in paths}
        assert {path for path, text in there.items() if MARK in text} == set()
        told = {path for path, text in there.items() for one in known.values() if one in text and one not in path}
        assert told == set()
        api.headers.update(blind)
        assert {path for path in found if MARK in await read(api, path)} == set()
        for path in ("/v1/jobs", "/jobs", "/jobs/export.csv", "/jobs/export.jsonl"):
            for query in ({"q": MARK}, {"args.data.card": MARK}, {"metadata.card": MARK}):
                assert (await api.get(path, params=query)).status_code == 403, (path, query)


@on_sqlite
async def test_whoever_may_only_enqueue_reads_nothing_of_the_job_that_holds_a_key(
    settings: Settings, ledger: Ledger
) -> None:
    async with running_api(closed(settings)) as api:
        one, other = [bearer((await make_key(api, "enqueue"))["key"]) for _ in range(2)]
        hook = {"kind": "send_webhook", "args": {"url": "http://127.0.0.1:9/", "event": "e", "data": MARK}}
        sent = hook | {"unique_key": "k", "delay": 3600}
        assert (await api.post("/v1/jobs", json=sent, headers=one)).status_code == 202
        again = await api.post("/v1/jobs", json=sent, headers=one)
        assert (again.status_code, again.json()["args"]["data"]) == (200, MARK)
        asked = hook | {"unique_key": "k", "args": hook["args"] | {"data": None}}  # type: ignore[operator]
        held = await api.post("/v1/jobs", json=asked, headers=other)
        assert (held.status_code, held.json()["args_hidden"], MARK in held.text) == (200, True, False)
