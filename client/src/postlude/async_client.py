"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal

import httpx

from postlude import answers, recording, requests
from postlude.answers import Answer
from postlude.downloading import CHUNK_BYTES, Download, Target, opened
from postlude.errors import PostludeError, Unreachable
from postlude.following import BROKE_OFF, Following, is_stream
from postlude.ids import new_id
from postlude.models import LIVE, Event, File, Flow, Job, Page, Replayed, State
from postlude.options import Duration, seconds
from postlude.place import Place
from postlude.pools import AsyncPool
from postlude.problems import Unavailable
from postlude.retrying import RETRY_FOR_S, TIMEOUT_S, Outcome, Patience, answer_of
from postlude.sources import Sendable, Source, in_threads
from postlude.waiting import Waiting

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from postlude.new_job import NewJob
    from postlude.options import Changes, Filters, FlowOptions, JobOptions
    from postlude.requests import Request

Ids = list[str]  # within the class, `list` is the method


class AsyncClient:
    """Enqueues jobs, and looks after them.

    `url` and `key` default to `POSTLUDE_URL` and `POSTLUDE_API_KEY`. One client serves all tasks and event loops, and
    forked processes, too. Connections are opened when they are needed: `close` them, or use the client in `async with`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: Duration = TIMEOUT_S,
        retry_for: Duration = RETRY_FOR_S,
    ) -> None:
        """Wait up to `timeout` for each answer, and start no new try once `retry_for` has passed."""
        self._place = Place.of(url, key)
        self._pool = AsyncPool(self._place, transport)
        self._patience = Patience(seconds(timeout), seconds(retry_for))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of this event loop."""
        await self._pool.close()

    async def enqueue(
        self, kind: str, args: Any = None, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Enqueue a job. When this returns, the job is recorded: it will run, whichever process dies."""
        request = requests.enqueue(kind, args, idempotency_key=idempotency_key, **options)
        return answers.read_job(await self.send(request))

    async def enqueue_many(self, jobs: Iterable[NewJob]) -> Ids:
        """Enqueue any number of jobs, up to 10,000 in a request, and return their ids.

        Each request is taken whole or not at all. If one fails, the error's `accepted` says how many jobs were accepted
        before it. The same jobs sent again are still the same jobs.
        """
        ids: Ids = []
        try:
            for request in requests.enqueue_many(jobs):
                ids += answers.read_ids(await self.send(request))
        except PostludeError as error:
            error.accepted = len(ids)
            raise
        return ids

    async def flow(self, jobs: Mapping[str, NewJob], **options: Unpack[FlowOptions]) -> Flow:
        """Enqueue jobs that wait for one another, all or none. Their `after` has names of this flow's jobs."""
        return answers.read(await self.send(requests.flow(jobs, **options)), Flow)

    async def get(self, job: str | Job) -> Job:
        """Look a job up."""
        return answers.read_job(await self.send(requests.get(job)))

    async def wait(self, job: str | Job, timeout: Duration | None = None) -> Job:
        """Wait until a job has ended, and return it: look at its `state`. Raises `WaitTimedOut`."""
        waiting = Waiting(job, timeout)
        while True:
            try:
                found = answers.read_job(await self.send(waiting.poll(), within_s=waiting.left_s))
            except (Unreachable, Unavailable) as error:
                waiting.check_time(error)
                raise
            if found.ended:
                return found
            await asyncio.sleep(waiting.pause_s(found))

    async def list(self, *, order: Literal["desc", "asc"] = "desc", **filters: Unpack[Filters]) -> AsyncIterator[Job]:
        """Yield all jobs that match, newest first; pages are fetched as needed."""
        cursor = None
        while True:
            page = answers.read(await self.send(requests.list_jobs(filters, order=order, cursor=cursor)), Page)
            for job in page.jobs:
                yield job
            if (cursor := page.next_cursor) is None:
                return

    async def cancel(self, job: str | Job) -> Job:
        """Cancel a job that has not ended. If it runs, it is interrupted."""
        return await self._act(requests.cancel(job), job, leads_to={"cancelled"})

    async def replay(self, job: str | Job, *, start: Literal["last", "start"] = "last") -> Job:
        """Run a failed or cancelled job again, from its last kept step or from the start."""
        return await self._act(requests.replay(job, start=start), job, leads_to=LIVE)

    async def replay_many(self, *, dry_run: bool = False, **filters: Unpack[Filters]) -> Replayed:
        """Run all matching failed and cancelled jobs again; a `dry_run` only counts them."""
        total, cursor = Replayed(matched=0, replayed=0), None
        while True:
            request = requests.replay_many(filters, dry_run=dry_run, cursor=cursor)
            total = total.plus(answers.read(await self.send(request), Replayed))
            if (cursor := total.next_cursor) is None:
                return total

    async def change(self, job: str | Job, **changes: Unpack[Changes]) -> Job:
        """Change a waiting job. None resets an option to its default."""
        return answers.read_job(await self.send(requests.change(job, **changes)))

    async def run_now(self, job: str | Job) -> Job:
        """Make a job that waits for its time or its next attempt due now."""
        return await self._act(requests.run_now(job), job, leads_to={"running"})

    async def events(self, job: str | Job) -> AsyncIterator[Event]:
        """Yield a job's present state, and then each change of its state and progress, until it has ended."""
        following = Following(job, self._place, self._patience)
        while not following.is_over:
            try:
                async with self._stream(following) as response:
                    if is_stream(response):
                        async for piece in response.aiter_bytes():
                            for event in following.read(piece):
                                yield event
                        outcome: Outcome = BROKE_OFF
                    else:
                        await response.aread()
                        outcome = answer_of(response, following.url)
            except httpx.RequestError as error:
                outcome = error
            await asyncio.sleep(following.pause_s(outcome))

    async def upload(
        self,
        source: Sendable,
        *,
        name: str | None = None,
        expires_in: Duration | None = None,
        within_s: float | None = None,
    ) -> File:
        """Store a file: a path, bytes, or an open file, which is read from its beginning. `within_s` as in `send`."""
        request = requests.upload(Source(source, name), expires_in=expires_in, key=new_id())
        return answers.read(await self.send(request, within_s=within_s), File)

    async def download(self, file: str | File, to: Target) -> None:
        """Write a file to a path, all of it or nothing, or into an open file."""
        with opened(to) as out:
            download = Download(file, out)
            tries = self._patience.tries(download.request())
            while (outcome := await self._download_once(download, tries.begin())) is not None:
                wait_s = tries.wait_after(outcome)
                if wait_s is None:
                    answers.check(tries.conclude(outcome, self._place.url_of(download.request())))
                    return
                await asyncio.sleep(wait_s)

    async def _download_once(self, download: Download, timeout: httpx.Timeout) -> Outcome | None:
        """Download what is left; return what came in its place."""
        request = download.request()
        url = self._place.url_of(request)
        try:
            async with self._pool.to_send(request).stream(
                request.method, url, headers=request.headers, timeout=timeout
            ) as response:
                if not download.begin(response):
                    await response.aread()
                    return answer_of(response, url)
                async for chunk in response.aiter_bytes(CHUNK_BYTES):
                    await asyncio.to_thread(download.write, chunk)
        except httpx.RequestError as error:
            return error
        download.check()
        return None

    def _stream(self, following: Following) -> AbstractAsyncContextManager[httpx.Response]:
        request, timeout = following.begin()
        return self._pool.to_send(request).stream(
            request.method, following.url, headers=request.headers, timeout=timeout
        )

    async def send(self, request: Request, *, within_s: float | None = None) -> Answer:
        """Send a request, and retry where that may help. Refusals are answers; raises `Unreachable`.

        `within_s` bounds all tries together, and replaces `retry_for`.
        """
        if (recorded := recording.answer_of(request)) is not None:
            return recorded
        url = self._place.url_of(request)
        tries = self._patience.tries(request, within_s)
        while True:
            outcome = await self._send_once(url, request, tries.begin())
            wait_s = tries.wait_after(outcome)
            if wait_s is None:
                return tries.conclude(outcome, url)
            await asyncio.sleep(wait_s)

    async def _send_once(self, url: str, request: Request, timeout: httpx.Timeout) -> Outcome:
        try:
            response = await self._pool.to_send(request).request(
                request.method,
                url,
                params=request.query or None,
                headers=request.headers,
                content=request.content if request.chunks is None else in_threads(request.chunks()),
                timeout=timeout,
            )
        except httpx.RequestError as error:
            return error
        return answer_of(response, url)

    async def _act(self, request: Request, job: str | Job, leads_to: Collection[State]) -> Job:
        """Act on a job. A refusal may be due to an earlier try, whose answer was lost."""
        answer = await self.send(request)
        if answer.asked_before and answer.status == httpx.codes.CONFLICT:
            found = await self.get(job)
            if found.state in leads_to:
                return found
        return answers.read_job(answer)
