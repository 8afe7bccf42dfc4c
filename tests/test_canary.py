"""A canary secret, sent along every way into the service and echoed by every counterpart, is found in no way out."""

import asyncio
import itertools
import re
import string
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import make_url, update

import jobs
from service.access.passwords import Passwords
from service.access.principal import Role
from service.access.users import Users
from service.ledger.database import Database
from service.settings import Settings
from service.tables import jobs as job_table
from tests.support.apps import made_app
from tests.support.canary import CANARY, WHSEC, Listener, found_in, redis_of, rows_of
from tests.support.endless import beginning_of
from tests.support.receiver import Received, read_request
from tests.support.running import eventually, running_api, running_worker
from tests.support.servers import PostgresServer
from tests.support.writing import writing

KEY = "a-key-of-the-settings"
ARGS = {"password": CANARY, "inner": {"deep": CANARY}}
_NAMES = ("nightly", "shop", "tenant:1", "default", "canary_loop", "send_webhook")
LEAKY = ("canary_loop", "canary_thread", "canary_process")


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """A receiver that fails, and says in every part of its answer all that it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                received = await read_request(reader)
                writer.write(_echoed(received))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def _echoed(received: Received) -> bytes:
    sent = received.headers.get("authorization", "nothing")
    body = f"{received.head}\n{received.body.decode()}\nyour secret is {CANARY} or {WHSEC}".encode()
    head = f"HTTP/1.1 500 no {sent}\r\ncontent-length: {len(body)}\r\ncontent-type: text/plain; x={sent}\r\n"
    return f"{head}location: /{sent}\r\nretry-after: {sent}\r\n\r\n".encode() + body


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "api_keys": (SecretStr(KEY),),
            "secret_keys": (SecretStr("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="),),
            "jobs": ("tests.support.canary_kinds",),
            "smtp_url": SecretStr(f"smtp://user:{CANARY}@127.0.0.1:9"),
            "smtp_tls": "may",
            "outbox_urls": (SecretStr(f"postgresql+asyncpg://user:{CANARY}@127.0.0.1:9/shop"),),
            "log_level": "DEBUG",
        }
    )


async def done(api: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    answer = await api.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def come_in(api: httpx.AsyncClient, echo: str) -> dict[str, str]:
    """Send the canary along every way into the service; return what a page may be asked for, by its parameter."""
    called = {"url": f"{echo}/called", "secret": WHSEC, "headers": {"authorization": f"Bearer {CANARY}"}}
    webhook: dict[str, Any] = {"url": f"{echo}/hook", "event": "e", "data": None, "secret": WHSEC}
    webhook["headers"] = {"authorization": f"Basic {CANARY}", "x-key": CANARY}
    hook = {"kind": "send_webhook", "args": webhook, "max_attempts": 1}
    takes = {"kind": "canary_takes", "args": ARGS}
    await done(api, "PUT", f"/v1/lanes/host:{echo.removeprefix('http://')}", json={"breaker": "closed"})
    made = [await done(api, "POST", "/v1/jobs", json={"kind": kind, "args": ARGS}) for kind in LEAKY]
    made.append(await done(api, "POST", "/v1/jobs", json=hook | {"on_failure": called, "lane": "tenant:1"}))
    await done(api, "POST", "/v1/jobs/batch", json={"jobs": [takes, takes | {"on_success": takes}]})
    mail = {"to": ["ann@example.com"], "subject": "s", "text": "t"}
    await done(api, "POST", "/v1/jobs", json={"kind": "send_email", "args": mail, "max_attempts": 1})
    flow = {"jobs": [takes | {"name": "a"}, hook | {"name": "b", "after": ["a"]}], "on_end": called}
    flow_id = (await done(api, "POST", "/v1/flows", json=flow))["id"]
    await done(api, "PUT", "/v1/schedules/nightly", json=takes | {"cron": "0 3 * * *"})
    await done(api, "POST", "/v1/schedules/nightly/run")
    await done(api, "PUT", "/v1/apps/shop", json={"url": echo, "secret": WHSEC})
    call = {"app": "shop", "function": "shop.mail", "arguments": {}}
    await done(api, "POST", "/v1/jobs", json={"kind": "call_app", "args": call, "max_attempts": 1})
    later = await done(api, "POST", "/v1/jobs", json=takes | {"delay": 3600, "unique_key": "k"})
    await done(api, "POST", "/v1/jobs", json=takes | {"delay": 3600, "unique_key": "k", "on_conflict": "replace"})
    await done(api, "PATCH", f"/v1/jobs/{later['id']}", json={"args": ARGS, "run_at": None})
    wanted = {"action": "replay", "filter": {"kind": "send_webhook"}, "dry_run": True}
    operation_id = (await done(api, "POST", "/v1/operations", json=wanted))["id"]
    return {"job_id": made[0]["id"], "flow_id": flow_id, "operation_id": operation_id}


async def be_refused(api: httpx.AsyncClient, echo: str) -> None:
    """Send the canary where it does not belong: refusals must not repeat it."""
    hook = {"url": echo, "event": "e", "data": None}
    bad: list[dict[str, Any]] = [
        {"kind": "send_webhook", "args": hook | {"secret": CANARY}},
        {"kind": "send_webhook", "args": hook | {"secret": [CANARY]}},
        {"kind": "send_webhook", "args": hook | {"secrets": CANARY}},
        {"kind": "send_webhook", "args": hook | {"headers": {"x\n": CANARY, "y": f"{CANARY}\n"}}},
        {"kind": "canary_takes", "args": {"password": {"a": CANARY}}},
        {"kind": "canary_takes", "args": CANARY},
    ]
    for one in bad:
        assert (await api.post("/v1/jobs", json=one)).status_code == 422
    for body in (f'{{"password": "{CANARY}"', f'"{CANARY}"'):
        answer = await api.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
        assert answer.is_client_error
    assert (await api.put("/v1/apps/shop", json={"url": echo, "secret": CANARY})).status_code == 422
    change = {"action": "change", "filter": {"kind": "canary_takes"}, "change": {"args": ARGS}}
    assert (await api.post("/v1/operations", json=change)).is_client_error
    for wrong in (f"Bearer {CANARY}", f"Basic {CANARY}"):
        assert (await api.get("/v1/jobs", headers={"authorization": wrong})).status_code == 401


async def look_everywhere(api: httpx.AsyncClient, settings: Settings, known: dict[str, str]) -> None:
    """Ask for every page and every call that only reads, and for what a search might find."""
    for path in sorted(readable(settings)):
        # The parameters of a new page are not known here: try everything.
        asked = [[known[name]] if name in known else _NAMES for name in _parameters(path)]
        for values in itertools.product(*asked):
            await look_at(api, path.format_map(dict(zip(_parameters(path), values, strict=True))))
    for query in ({"q": CANARY}, {"args.password": CANARY}, {"args.inner.deep": CANARY}, {"q": WHSEC}):
        found = await done(api, "GET", "/v1/jobs", params=query)
        assert found["jobs"] == [], query
    for job in (await done(api, "GET", "/v1/jobs", params={"expand": "attempts", "limit": 1000}))["jobs"]:
        for path in ("", "/events", "/log"):
            await look_at(api, f"/v1/jobs/{job['id']}{path}")


async def look_at(api: httpx.AsyncClient, path: str) -> None:
    """Read an answer; of one that goes on, its beginning."""
    async with api.stream("GET", path) as answer:
        assert answer.status_code < 500, (path, answer.status_code)
        assert found_in(await beginning_of(answer)) == [], path


def readable(settings: Settings) -> set[str]:
    """Return the paths of all calls and pages that answer GET."""
    return {re.sub(r":\w+}", "}", path) for path in _paths(made_app(settings).routes)}


def _paths(routes: Iterable[Any]) -> Iterator[str]:
    for one in routes:
        if hasattr(one, "original_router"):
            yield from _paths(one.original_router.routes)
        elif "GET" in (one.methods or ()) and "/assets/" not in one.path:
            yield one.path


def _parameters(path: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(path) if name]


async def all_has_ended(api: httpx.AsyncClient) -> bool:
    """Whether nothing is left to happen: retrying jobs have failed once in each of their ways."""
    live = {"state": ["scheduled", "blocked", "queued", "running"]}
    return not (await done(api, "GET", "/v1/jobs", params=live))["jobs"]


async def come_in_isolated(api: httpx.AsyncClient, database: Database) -> None:
    """Enqueue a job that has crashed twice: it runs in a process of its own."""
    job_id = (await done(api, "POST", "/v1/jobs", json={"kind": LEAKY[0], "args": ARGS, "delay": 3600}))["id"]
    async with writing(database) as connection:
        await connection.execute(update(job_table).where(job_table.c.id == job_id).values(crashes=2))
    await done(api, "POST", f"/v1/jobs/{job_id}/run-now")


async def sign_in(api: httpx.AsyncClient, database: Database) -> None:
    """Sign in with the canary as the password, and fail to."""
    await Users(database, Passwords()).add("ann", Role.ADMIN, password=CANARY)
    for name, status in (("nobody", 401), ("ann", 303)):
        form = {"name": name, "password": CANARY, "next": "/"}
        assert (await api.post("/sign-in", data=form)).status_code == status
    assert (await api.post("/sign-in", data={"key": CANARY})).status_code == 401
    assert api.cookies


async def make_keys(api: httpx.AsyncClient) -> list[str]:
    """Make keys, which the answers tell this once."""
    made = [await done(api, "POST", "/v1/keys", json={"name": "n", "scopes": ["admin"]})]
    made.append(await done(api, "POST", f"/v1/keys/{made[0]['id']}/rotate"))
    return [one["key"] for one in made]


def dumps_of(settings: Settings, request: pytest.FixtureRequest) -> dict[str, bytes]:
    """Return what somebody who stole the database would have."""
    url = make_url(settings.sqlalchemy_url)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        return {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*")}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"pg_dump": server.dump(url.database or "")}


@pytest.mark.short("postgres")
async def test_a_canary_is_found_in_no_answer_page_log_metric_or_dump(
    settings: Settings, redis: Redis, echo: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    listener, database = Listener(), Database.open(settings.sqlalchemy_url)
    async with running_api(settings) as api:
        api.headers["authorization"] = f"Bearer {KEY}"
        keys = await make_keys(api)
        api.event_hooks["response"].append(listener.hear)
        known = await come_in(api, echo)
        await come_in_isolated(api, database)
        await be_refused(api, echo)
        await sign_in(api, database)
        sinks = {"redis, full": await redis_of(redis)}
        async with running_worker(settings, jobs.load(settings.jobs)):
            await eventually(lambda: all_has_ended(api))
            failed = (await done(api, "GET", "/v1/jobs", params={"state": "failed"}))["jobs"]
            assert len(failed) == len(LEAKY) + 5
            again = [job["id"] for job in failed if job["kind"] in ("canary_thread", "send_webhook")]
            for job_id in again:
                await done(api, "POST", f"/v1/jobs/{job_id}/replay")
            await eventually(lambda: all_has_ended(api))
            if database.dialect == "sqlite":  # what is read differs by database, but not what is shown
                await look_everywhere(api, settings, known)
    await database.close()
    out, err = capfd.readouterr()
    sinks |= {"stdout": out, "log": err, "redis": await redis_of(redis), **dict(listener.heard)}
    database = Database.open(settings.sqlalchemy_url)
    sinks |= {name: rows async for name, rows in rows_of(database)}
    await database.close()
    given_away = {name: found for name, text in sinks.items() if (found := found_in(text))}
    given_away |= {name: found for name, dump in dumps_of(settings, request).items() if (found := found_in(dump))}
    assert given_away == {}
    for key in (KEY, *keys):
        assert [name for name, text in sinks.items() if key in text] == []
    assert "signing in with **********" in err, "the kinds tried"
