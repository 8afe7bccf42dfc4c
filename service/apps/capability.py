"""What `call_app` asks for: where apps are, and a client that reaches them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
from sqlalchemy.exc import SQLAlchemyError

from jobs.app.apps import App, Apps, NotReadable
from service.apps.reads import ways_to
from service.apps.tables import SECRET
from service.errors import LedgerUnavailable, SecretUnreadable
from service.feature import Capabilities
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.shared_reads import SharedReads

# A change takes effect within two seconds, the read included.
FRESH_FOR_S = 1.0


class LedgerApps:
    """Apps in the ledger's database; see `jobs.app.apps.Apps`. All calls of a second share one read."""

    def __init__(self, ledger: Ledger, http: httpx.AsyncClient) -> None:
        self.http = http
        self._ledger = ledger
        self._seen: dict[str, App] = {}
        self._reads = SharedReads(lambda names: in_time(self._read(names)), fresh_for_s=FRESH_FOR_S)

    async def find(self, name: str) -> App | None:
        try:
            found = (await self._reads.of([name]))[name]
        except (LedgerUnavailable, SQLAlchemyError, OSError) as error:
            raise NotReadable(f"Where the app {name} is cannot be read: {type(error).__name__}.") from error
        if isinstance(found, SecretUnreadable):
            raise SecretUnreadable(found.detail)
        return found

    async def _read(self, names: Sequence[str]) -> Mapping[str, App | SecretUnreadable | None]:
        async with self._ledger.read() as connection:
            ways = await ways_to(connection, names)
        return {name: self._app(name, *ways[name]) if name in ways else None for name in names}

    def _app(self, name: str, url: str, kept: str) -> App | SecretUnreadable:
        """Return an app. An unchanged app stays the same object, with everything derived from it."""
        try:
            app = App(url, SECRET.open(self._ledger.vault, kept, name))
        except SecretUnreadable as error:  # the other apps can still be called
            return error
        if self._seen.get(name) != app:
            self._seen[name] = app
        return self._seen[name]


@asynccontextmanager
async def open_apps(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the way to apps."""
    from service.outbound import open_http  # the API, which knows this feature too, has no use for aiohttp

    async with open_http(settings.app_allow, max_connections=settings.max_jobs) as http:
        yield {Apps: LedgerApps(ledger, http)}
