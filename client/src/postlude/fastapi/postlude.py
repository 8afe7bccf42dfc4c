"""`Postlude(app)`: turns a FastAPI app's background tasks into jobs."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware import Middleware

from postlude.errors import PostludeError, SettingsInvalid
from postlude.fastapi import origin
from postlude.fastapi.connected import Connected
from postlude.fastapi.entries import AuditEntry
from postlude.fastapi.layer import Layer
from postlude.fastapi.tasks import Task
from postlude.settings import ClientSettings, checked_url, from_environment

logger = logging.getLogger("postlude")


class Postlude:
    """Turns an app's background tasks into jobs, and runs them in the app when the service calls. Make it once."""

    def __init__(
        self,
        app: FastAPI,
        *,
        name: str | None = None,
        url: str | None = None,
        secret: str | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        """Missing values are read from `POSTLUDE_APP_NAME`, `POSTLUDE_APP_URL` and `POSTLUDE_APP_SECRET`.

        `url` is where the service reaches this app. Functions that the app has added may be called, and all
        functions of `modules`. Raises `SettingsInvalid`.
        """
        if app.middleware_stack is not None:
            raise RuntimeError("The app has started: write Postlude(app) where the app is made.")
        settings = _settings(name, url, secret)
        self.app, self.service_url = app, settings.url
        self.connected: Connected | None = None
        if settings.url:
            self.connected = Connected(app, settings, settings.url, modules)
        self.not_enqueued = 0
        """How many tasks could not be enqueued since the app started."""
        app.user_middleware.append(Middleware(Layer, postlude=self))
        origin.made(self)

    async def enqueue(self, tasks: Sequence[Task | AuditEntry]) -> None:
        """Enqueue tasks. Raises `PostludeError` after logging and counting it."""
        if not tasks:
            return
        try:
            if self.connected is None:
                raise SettingsInvalid("POSTLUDE_URL was not set when the app was made.")
            await self.connected.enqueue(tasks)
        except PostludeError as error:
            self.not_enqueued += len(tasks)
            logger.error("not enqueued: %s: %s", ", ".join(task.function for task in tasks), error)
            raise


def _settings(name: str | None, url: str | None, secret: str | None) -> ClientSettings:
    settings = from_environment()
    if settings.required and not settings.url:
        raise SettingsInvalid("POSTLUDE_REQUIRED is set, but POSTLUDE_URL is not: background tasks could be lost.")
    return settings._replace(
        app_name=name or settings.app_name,
        app_url=checked_url(url, "The `url` of Postlude(app)") if url else settings.app_url,
        app_secret=secret or settings.app_secret,
    )
