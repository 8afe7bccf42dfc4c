"""An app that has a service: it sends its tasks there, and takes the calls that come of them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postlude import mode
from postlude.errors import PostludeError
from postlude.fastapi.door import Door
from postlude.fastapi.entries import AuditEntry
from postlude.fastapi.identity import identity_of, url_from
from postlude.fastapi.service import Service
from postlude.fastapi.stopping import Stopping
from postlude.fastapi.tasks import Task
from postlude.mode import Mode
from postlude.settings import ClientSettings

logger = logging.getLogger("postlude")

LONGEST_PAUSE_S = 30


class Connected:
    """Both ways between an app and the service."""

    def __init__(self, app: Any, settings: ClientSettings, service_url: str, modules: Sequence[str]) -> None:
        """Raises `SettingsInvalid`."""
        identity = identity_of(settings, service_url, app.title)
        self.service = Service(service_url, settings.api_key, identity)
        self.door = Door(app, identity.keys, modules, self.service.client)

    async def enqueue(self, tasks: Sequence[Task | AuditEntry]) -> None:
        """Enqueue tasks, and let their functions be called. Raises `PostludeError`."""
        for task in tasks:
            if isinstance(task, Task):
                self.door.added(task.function)
        await self.service.enqueue(tasks)

    def serves(self, scope: Scope) -> None:
        """Learn from a request where this app is, if nothing else says so."""
        if self.service.identity.url is None and (url := url_from(scope)):
            self.service.identity = self.service.identity._replace(url=url)

    async def live(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Live as long as the app: register as it starts, and let its functions go as it stops."""
        self.door.open()
        stopping = Stopping(self.door.stop)
        registering = asyncio.create_task(self._stay_registered())

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                stopping.stop()
            return message

        with stopping:
            try:
                await app(scope, received, send)
            finally:
                registering.cancel()
                await self.service.client.close()

    async def _stay_registered(self) -> None:
        """Register as soon as the service answers, and again if it loses its apps.

        An app that learns from a request where it is registers with its first tasks.
        """
        pause_s = 1
        while mode.current(self.service.url) is Mode.SEND:
            if self.service.identity.url is not None:
                await self._register()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _register(self) -> None:
        is_first = not self.service.is_registered
        try:
            await (self.service.register() if is_first else self.service.register_again())
        except PostludeError as error:
            if is_first:
                logger.error("not registered at Postlude, and so not ready for background tasks: %s", error)
