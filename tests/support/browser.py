"""The whole app, and a client that sends requests like a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from service.settings import Settings
from tests.support.apps import made_app


@asynccontextmanager
async def browsing(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = made_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postlude") as client,
    ):
        yield client
