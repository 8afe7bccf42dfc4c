"""Pages as a browser gets them, over a real ledger and a real queue."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
from fastapi import FastAPI

from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.support.apps import made_app


@dataclass(frozen=True)
class Browser:
    """A client that asks for pages, and the app that it asks."""

    app: FastAPI
    client: httpx.AsyncClient

    @property
    def ledger(self) -> Ledger:
        ledger: Ledger = self.app.state.api.resources.ledger
        return ledger

    async def page(self, path: str, *, status: int = 200) -> str:
        answer = await self.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        return answer.text

    async def words(self, path: str, *, status: int = 200) -> str:
        return words(await self.page(path, status=status))

    async def act(self, path: str, **fields: str) -> str:
        """Send a form as a script of ours does; return what the toast says."""
        answer = await self.send(path, fields, HX_Request="true")
        assert answer.status_code == 200, answer.text
        return words(answer.text)

    async def send(self, path: str, fields: Mapping[str, str], **headers: str) -> httpx.Response:
        """Send a form, with the token that every page has for callers without a key."""
        token = re.search(r"X-CSRF-Token&#34;: &#34;([^&]+)|X-CSRF-Token\": \"([^\"]+)", await self.page("/workers"))
        csrf = "" if token is None else token[1] or token[2]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, data={**fields, "csrf": csrf}, headers=named)

    async def call(self, method: str, path: str, json: Any = None) -> Any:
        """Ask the API."""
        answer = await self.client.request(method, path, json=json)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[Browser]:
    app = made_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postlude") as client,
    ):
        yield Browser(app, client)


def words(html: str) -> str:
    """Return what a reader sees of the page itself."""
    main = re.search(r"<main.*</main>", html, re.S)
    text = re.sub(r"<(dialog|option|script).*?</\1>", " ", main[0] if main else html, flags=re.S)
    text = re.sub(r"</?(time|b)\b[^>]*>", "", text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
