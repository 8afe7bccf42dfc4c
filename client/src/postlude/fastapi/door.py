"""`/_postlude`: where the service has this app's functions run."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from postlude.async_client import AsyncClient
from postlude.calling.arguments import ArgumentsUnfit, unpack
from postlude.calling.call import Call
from postlude.calling.names import find
from postlude.calling.signature import NotTrusted, check, is_offered
from postlude.fastapi.attempts import Attempts
from postlude.fastapi.performing import Performance

logger = logging.getLogger("postlude")

PATH = "/_postlude"
MOST_BYTES = 2 * 1024 * 1024
_RETRY_AFTER_S = 5


class Called(BaseModel):
    """What the service posts."""

    function: str
    arguments: dict[str, Any]
    offer: str | None = None
    job: str = Field(min_length=1, max_length=200)
    attempt: int
    timeout: float = Field(gt=0)


class Refused(Exception):
    """A call that is not run."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Door:
    """Lets in the service's calls, each once, to functions that the app has offered."""

    def __init__(self, app: Any, keys: Sequence[bytes], modules: Sequence[str], client: AsyncClient) -> None:
        self._client = client
        self._app, self._keys, self._modules = app, keys, frozenset(modules)
        self._added: set[str] = set()
        self._attempts = Attempts()
        self._running: set[Performance] = set()
        self._is_stopping = False

    def is_for(self, scope: Scope) -> bool:
        path, root_path = scope.get("path", ""), scope.get("root_path", "")
        # Twice: uvicorn puts its --root-path before each path, and the app's URL ends with it already.
        return bool(scope["type"] == "http" and path.removeprefix(root_path).removeprefix(root_path) == PATH)

    def added(self, function: str) -> None:
        """Let a function be called that the app has added."""
        self._added.add(function)

    def open(self) -> None:
        """Let calls in again: tests start and stop an app several times."""
        self._is_stopping = False

    def stop(self) -> None:
        """Run nothing more, and interrupt what runs."""
        self._is_stopping = True
        for performance in self._running:
            performance.interrupt()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            called, function = await self._admit(Request(scope, receive))
        except ClientDisconnect:
            return
        except Refused as refused:
            logger.warning("refused a call (%s): %s", refused.status, refused.detail)
            headers = {"retry-after": str(_RETRY_AFTER_S)} if refused.status == 503 else None
            await JSONResponse({"detail": refused.detail}, refused.status, headers)(scope, receive, send)
            return
        performance = Performance(
            self._app, Call(called.function, called.arguments), function, called.timeout, self._client
        )
        self._running.add(performance)
        try:
            await performance(receive, send)
        finally:
            self._running.discard(performance)
            self._attempts.end(called.job, called.attempt)

    async def _admit(self, request: Request) -> tuple[Called, Callable[..., Any]]:
        """Return what is called, and the function. Raises `Refused`."""
        if request.method != "POST":
            raise Refused(405, "Calls are POST.")
        if self._is_stopping:
            raise Refused(503, "This app is shutting down.")
        body = await _read(request)
        try:
            message_id = check(self._keys, request.headers, body, now=time.time())
        except NotTrusted as error:
            raise Refused(401, str(error)) from None
        try:
            called = Called.model_validate_json(body)
        except ValidationError as error:
            raise Refused(422, f"The body is no call: {error.errors(include_url=False)[0]['msg']}.") from None
        if message_id != f"{called.job}_{called.attempt}":
            raise Refused(401, "The header webhook-id is not that of this job and attempt.")
        function = self._offered(called)
        try:
            unpack(function, called.arguments)
        except ArgumentsUnfit as error:
            raise Refused(422, str(error)) from None
        if not self._attempts.begin(called.job, called.attempt):
            raise Refused(409, f"Attempt {called.attempt} of job {called.job} has run here, or is running.")
        return called, function

    def _offered(self, called: Called) -> Callable[..., Any]:
        """Return a function that the app has added, now or in the past, or of a listed module. Raises `Refused`."""
        name, offer = called.function, called.offer
        is_own = offer is not None and is_offered(self._keys, name, offer)
        may_be_listed = any(name.startswith(f"{module}.") for module in self._modules)
        try:
            function = find(name, may_import=is_own or may_be_listed)
        except Exception as error:
            logger.error("the module of %s cannot be imported", name, exc_info=error)
            raise Refused(404, f"The module of {name} cannot be imported: {error}") from error
        if function is None and is_own:
            raise Refused(404, f"There is no {name} here now. It was moved or removed, or two apps have one name.")
        if function is None or not (is_own or name in self._added or function.__module__ in self._modules):
            raise Refused(404, f"This app has never added {name}, and its module is not listed in Postlude(modules=…).")
        return function


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refused(413, f"A call may have {MOST_BYTES // 1024 // 1024} MiB at most.")
    return bytes(body)
