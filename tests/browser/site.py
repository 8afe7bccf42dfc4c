"""The product as a browser meets it: an API on a socket, a worker, a ledger, and who signs in."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser
from redis import Redis

import jobs
from service.settings import Settings
from service.worker.worker import Worker
from tests.browser.kinds import released
from tests.support.keyed import BOOTSTRAP, bearer, closed
from tests.support.running import eventually, running_api, running_worker
from tests.support.servers import RedisServer

KINDS = "tests.browser.kinds"
XSS = "\"'><img data-xss src=x onerror=alert(1)>"
"""Forty characters: it fits into every name."""
FAR = f"far {XSS}"
"""A queue that no worker works."""


@dataclass
class Site:
    url: str
    api: httpx.AsyncClient
    worker: Worker
    settings: Settings
    session: Any = None
    """The cookies of one who has signed in as an admin."""
    ids: dict[str, str] = field(default_factory=dict)
    """What the ledger holds, by the name that tests give it."""

    async def call(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        answer = await self.api.request(method, path, json=json, params=params or None)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def enqueue(self, kind: str, args: Any, **options: Any) -> str:
        job_id: str = (await self.call("POST", "/v1/jobs", {"kind": kind, "args": args, **options}))["id"]
        return job_id

    async def state(self, job_id: str) -> str:
        state: str = (await self.call("GET", f"/v1/jobs/{job_id}"))["state"]
        return state

    async def reaches(self, job_id: str, *states: str) -> None:
        async def there() -> bool:
            return await self.state(job_id) in states

        await eventually(there, 90)


@asynccontextmanager
async def running_site(folder: Path, template: Path, redis: RedisServer, **settings: Any) -> AsyncIterator[Site]:
    """Run the product over a fresh ledger; callers need a key."""
    released.clear()
    shutil.copy(template, folder / "postlude.db")
    with Redis.from_url(redis.url) as client:
        client.flushall()
    chosen = closed(
        Settings(
            database_url=f"sqlite+aiosqlite:///{folder / 'postlude.db'}",
            redis_url=redis.url,
            data_dir=folder,
            jobs=(KINDS,),
            queues=("default", FAR),
            webhook_allow="127.0.0.0/8",
            log_level="WARNING",
            grace_s=1,
            **settings,
        )
    )
    working = chosen.model_copy(update={"queues": ("default",)})
    async with running_api(chosen) as api, running_worker(working, jobs.load(chosen.jobs)) as worker:
        api.headers.update(bearer(BOOTSTRAP))
        yield Site(f"{str(api.base_url).rstrip('/')}{chosen.root_path or ''}", api, worker, chosen)


async def sign_in(browser: Browser, site: Site, key: str = BOOTSTRAP) -> Any:
    """Sign in with a key as a person does; return the cookies."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{site.url}/sign-in")
    if await page.get_by_text("Use an API key instead").count():
        await page.get_by_text("Use an API key instead").click()
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Use it").click()
    await page.wait_for_selector("#sections", state="attached")
    state = await context.storage_state()
    await context.close()
    return state
