"""Runs one called function, and reports on it: the head at once, a newline now and then, and the verdict."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Send

from postlude.async_client import AsyncClient
from postlude.calling.call import Call
from postlude.fastapi import verdicts
from postlude.fastapi.running import run_task
from postlude.fastapi.uploads import fetched
from postlude.fastapi.verdicts import Verdict

logger = logging.getLogger("postlude")

BEAT_S = 10.0
"""Proxies cut silent connections, often after 30 seconds."""
GRACE_S = 5.0
"""How long a cancelled function may take to clean up."""


class Performance:
    """One run of a function. A cut connection cancels it, as its timeout and the app's end do."""

    def __init__(
        self, app: Any, call: Call, function: Callable[..., Any], timeout_s: float, client: AsyncClient
    ) -> None:
        self._client = client
        self._app, self._call, self._function = app, call, function
        loop = asyncio.get_running_loop()
        self._ends_at = loop.time() + timeout_s
        self._interrupted: asyncio.Future[None] = loop.create_future()

    def interrupt(self) -> None:
        if not self._interrupted.done():
            self._interrupted.set_result(None)

    async def __call__(self, receive: Receive, send: Send) -> None:
        # A list of its own, because middleware adds to it. The second keeps nginx from holding the newlines back.
        headers = [(b"content-type", b"application/x-ndjson"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        work = asyncio.create_task(self._run())
        cut = asyncio.create_task(_hung_up(receive))
        try:
            verdict = await self._watch(work, cut, send)
        finally:
            work.cancel()
            cut.cancel()
        await send({"type": "http.response.body", "body": verdict.line()})

    async def _run(self) -> Verdict:
        try:
            async with fetched(self._client, self._call.arguments):
                return verdicts.succeeded(await run_task(self._app, self._call, function=self._function))
        except (Exception, SystemExit) as error:
            logger.error("%s failed: %r", self._call.function, error, exc_info=error)
            return verdicts.failed(error)

    async def _watch(self, work: asyncio.Task[Verdict], cut: asyncio.Task[None], send: Send) -> Verdict:
        """Return the verdict, once there is one."""
        loop = asyncio.get_running_loop()
        while True:
            await send({"type": "http.response.body", "body": b"\n", "more_body": True})
            left_s = self._ends_at - loop.time()
            waited_for: set[asyncio.Future[Any]] = {work, cut, self._interrupted}
            await asyncio.wait(waited_for, timeout=min(BEAT_S, left_s), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _verdict_of(work)
            if cut.done() or self._interrupted.done():
                return await _given_up(work, verdicts.INTERRUPTED)
            if loop.time() >= self._ends_at:
                return await _given_up(work, verdicts.TIMED_OUT)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _given_up(work: asyncio.Task[Verdict], reason: Verdict) -> Verdict:
    """Cancel a function. If it still succeeds, report that: it need not run again."""
    work.cancel()
    await asyncio.wait({work}, timeout=GRACE_S)
    if work.done() and _verdict_of(work).is_success:
        return _verdict_of(work)
    return reason


def _verdict_of(work: asyncio.Task[Verdict]) -> Verdict:
    try:
        return work.result()
    except asyncio.CancelledError as error:  # its own doing
        return verdicts.failed(error)
