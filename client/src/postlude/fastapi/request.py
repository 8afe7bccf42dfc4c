"""The one `Tasks` of a request, and whether the request keeps them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as OwnTasks

from postlude.errors import SettingsInvalid
from postlude.fastapi.origin import PENDING, Origin, origin_now
from postlude.fastapi.tasks import Tasks
from postlude.mode import Mode


class RequestTasks:
    """What the layer, the dependency and the response share, in the scope of a request."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._tasks: Tasks | None = None
        self._is_dropped = False

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> RequestTasks:
        """Return a request's own. Raises `SettingsInvalid` if the app has no layer to enqueue them."""
        if isinstance(found := scope.get(PENDING), cls):
            return found
        origin = Origin(origin_now().home, scope)
        if PENDING not in scope and origin.mode() is Mode.SEND:
            raise SettingsInvalid("POSTLUDE_URL is set, but this app has no Postlude: write Postlude(app) once.")
        return cls.begin(origin)

    @classmethod
    def begin(cls, origin: Origin) -> RequestTasks:
        """Begin a request: its tasks are its own, even if another app has passed it on."""
        begun = cls(origin)
        origin.scope[PENDING] = begun
        return begun

    def beside(self, own: OwnTasks) -> Tasks:
        """Return the tasks; without a service, they run when FastAPI's own of this request do."""
        if self._tasks is None:
            self._tasks = Tasks(origin=self.origin)
            now = self.origin.mode()
            if now is Mode.LOCAL:
                self._tasks.tasks = own.tasks
            elif now is not Mode.SEND:
                own.tasks.append(BackgroundTask(self._tasks))
        return self._tasks

    def drop(self) -> None:
        """Drop what is not enqueued yet, except entries that are always kept: the request has failed."""
        self._is_dropped = True

    async def deliver_before_response(self) -> None:
        """Enqueue the added tasks, if there is a service. Raises `PostludeError`."""
        if self.origin.mode() is Mode.SEND:
            await self.deliver()

    async def deliver(self) -> None:
        """Enqueue the tasks added since the last call. Raises `PostludeError`."""
        if self._tasks is not None and self.origin.mode() is not Mode.LOCAL:
            if self._is_dropped:
                self._tasks.drop()
            await self._tasks()
