"""The service, as an app sees it: it registers there, and enqueues its tasks."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from weakref import WeakKeyDictionary

from pydantic_core import from_json

from postlude import answers, requests
from postlude.async_client import AsyncClient
from postlude.calling.signature import offer_of, signed
from postlude.errors import SettingsInvalid
from postlude.fastapi import uploads
from postlude.fastapi.entries import KIND as WRITE_AUDIT
from postlude.fastapi.entries import AuditEntry
from postlude.fastapi.gathering import Gathering
from postlude.fastapi.identity import Identity
from postlude.fastapi.options import within
from postlude.fastapi.tasks import Task
from postlude.new_job import NewJob
from postlude.problems import AppNotFound
from postlude.requests import Request
from postlude.writing import written

logger = logging.getLogger("postlude")

KIND = "call_app"
WITHIN_S = 5.0
"""How long to try the service."""
AT_MOST_S = WITHIN_S + 2
"""How long a response waits for its tasks to be enqueued: the last try may take a little longer, or wait for others."""


class Service:
    """Where the tasks of an app go."""

    def __init__(self, url: str, key: str | None, identity: Identity) -> None:
        self.url = url
        self.identity = identity
        self.client = AsyncClient(url, key)
        self.is_registered = False
        self._registering: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, Gathering] = WeakKeyDictionary()

    async def register(self) -> None:
        """Tell the service where this app is; calling it once is enough. Raises `PostludeError`."""
        if self.is_registered:
            return
        loop = asyncio.get_running_loop()
        if loop not in self._registering:
            self._registering[loop] = loop.create_task(self._register())
            self._registering[loop].add_done_callback(lambda _: self._registering.pop(loop))
        # One try for all waiting requests: while the service is away, they must not wait one after another.
        await asyncio.shield(self._registering[loop])

    async def register_again(self) -> None:
        """Register if the service has lost this app, as with a new database. Raises `PostludeError`."""
        request = Request("GET", f"/v1/apps/{self.identity.name}")
        try:
            answers.check(await self.client.send(request, within_s=WITHIN_S))
        except AppNotFound:
            self.is_registered = False
            await self.register()

    async def _register(self) -> None:
        name, url, keys = self.identity
        if url is None:
            raise SettingsInvalid("POSTLUDE_APP_URL is not set, and no request has said yet where this app is.")
        body = written({"url": url, "secret": self.identity.secret})
        headers = {"content-type": "application/json", **signed(keys, body)}
        request = Request("PUT", f"/v1/apps/{name}", headers=headers, content=body)
        answers.check(await self.client.send(request, within_s=WITHIN_S))
        self.is_registered = True
        logger.info("registered at Postlude as %s, at %s", name, url)

    async def enqueue(self, tasks: Sequence[Task | AuditEntry]) -> None:
        """Enqueue all or none. Each task is due when the first attempt of the previous one has ended, an entry at once.

        Raises `PostludeError`.
        """
        await self.register()
        loop = asyncio.get_running_loop()
        gathering = self._gatherings.get(loop)
        if gathering is None:
            gathering = self._gatherings[loop] = Gathering(self._post, AT_MOST_S)
        ids = await gathering.enqueue([await self._job(task) for task in tasks])
        for task, job_id in zip(tasks, ids, strict=True):
            task.handle.id = job_id

    async def _job(self, task: Task | AuditEntry) -> NewJob:
        if isinstance(task, AuditEntry):
            return NewJob(WRITE_AUDIT, task.said, id=task.id)
        files = await uploads.store(self.client, task.call, within_s=WITHIN_S)
        function, arguments = task.call
        args = {
            "app": self.identity.name,
            "function": function,
            "arguments": arguments,
            "offer": offer_of(self.identity.key, function),
            **({"files": files} if files else {}),
        }
        return NewJob(KIND, args, id=task.id, **within(self.identity.name, task.options))

    async def _post(self, some: Sequence[Sequence[NewJob]]) -> Sequence[Sequence[str]]:
        if len(some) > 1:
            [request] = requests.enqueue_many([job for [job] in some])
            return [[job_id] for job_id in answers.read_ids(await self._send(request))]
        [jobs] = some
        return [await (self._post_one(jobs[0]) if len(jobs) == 1 else self._post_in_order(jobs))]

    async def _post_one(self, job: NewJob) -> Sequence[str]:
        request = requests.enqueue(job.kind, job.args, id=job.id, **job.options)
        return [answers.read_job(await self._send(request)).id]

    async def _post_in_order(self, jobs: Sequence[NewJob]) -> Sequence[str]:
        named = {f"task {number}": job for number, job in enumerate(jobs, start=1)}
        tasks = [name for name, job in named.items() if job.kind == KIND]
        for before, name in pairwise(tasks):
            named[name].options |= {"after": [before], "run_when": "attempted"}
        answer = await self._send(requests.flow(named))
        answers.check(answer)
        return list(from_json(answer.content)["jobs"].values())

    async def _send(self, request: Request) -> answers.Answer:
        return await self.client.send(request, within_s=WITHIN_S)
