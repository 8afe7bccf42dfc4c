"""Replicas of an app that has moved (`moved_app.py`), those who ask it, and the verdict on what it has accepted."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from sqlalchemy import select

from service.tables import jobs
from tests.faults.moved_app import NAME, NOTES, notes_of
from tests.faults.system import Process, System
from tests.faults.verdict import all_ended
from tests.support.processes import BIN, free_port
from tests.support.round_robin import round_robin
from tests.support.running import eventually

NO_ANSWER, _REFUSED = 0, 503
_PAUSE_S = 0.05


@dataclass
class Fleet:
    """The replicas, and what was asked of them. No number is asked for twice."""

    system: System
    replicas: Sequence[Process]
    http: aiohttp.ClientSession
    accepted: dict[int, list[str]] = field(default_factory=dict)
    """The ids of the jobs that a 2xx has promised, by the number of the request."""
    answers: Counter[int] = field(default_factory=Counter)
    """How often each status came; `NO_ANSWER` counts requests without one."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        await self.serves()

    async def serves(self) -> None:
        """Wait until a request is accepted."""

        async def accepts() -> bool:
            before = len(self.accepted)
            await self.ask()
            return len(self.accepted) > before

        await eventually(accepts, 60)

    async def ask(self) -> int:
        """Send one request; return the status. It is accepted, refused by a 503 that says so, or not answered."""
        number = next(self._numbers)
        try:
            async with self.http.post(f"/notes/{number}") as answer:
                ids = await answer.json()
        except (aiohttp.ClientError, OSError):
            self.answers[NO_ANSWER] += 1
            return NO_ANSWER
        self.answers[answer.status] += 1
        if answer.status == 200:
            self.accepted[number] = ids
        else:
            assert (answer.status, ids["type"]) == (_REFUSED, "urn:postlude:problem:tasks-not-enqueued")
            assert "retry-after" in answer.headers
        return answer.status

    async def insist(self) -> None:
        """Send requests until one is accepted or not answered: who asks a busy machine may be refused."""
        while await self.ask() == _REFUSED:
            await asyncio.sleep(_PAUSE_S)

    async def has_accepted(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.accepted) >= count

        await eventually(enough, 60)

    @asynccontextmanager
    async def asked(self, clients: int = 8) -> AsyncIterator[None]:
        """Have clients ask until the end of the block, one request after the other."""
        over = asyncio.Event()

        async def go_on() -> None:
            while not over.is_set():
                await self.ask()
                await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as asking:
            for _ in range(clients):
                asking.create_task(go_on())
            try:
                yield
            finally:
                over.set()

    async def check(self, within_s: float = 120) -> dict[str, float]:
        """Wait until all jobs have ended; check that each accepted task is a job, and has run. Return the figures."""
        await self.check_recorded()
        await all_ended(self.system, within_s)
        noted = Counter((self.system.folder / "notes").read_text().splitlines())
        missing = [line for number in self.accepted for line in notes_of(number) if not noted[line]]
        assert not missing, f"accepted, but never run: {missing[:20]} of {len(missing)}; see {self.system.folder}"
        return {"accepted": len(self.accepted), "lost": 0, "doubled": sum(noted.values()) - len(noted)}

    async def check_recorded(self) -> None:
        """Check that each task that a 2xx has promised is in the ledger, and no task twice."""
        async with self.system.ledger() as ledger, ledger.read() as connection:
            found = await connection.execute(select(jobs.c.id, jobs.c.args).where(jobs.c.kind == "call_app"))
            recorded = {row.id: row.args for row in found}
        lost = [job_id for ids in self.accepted.values() for job_id in ids if job_id not in recorded]
        assert not lost, f"accepted, but not recorded: {lost[:20]} of {len(lost)}"
        twice = [args for args, count in Counter(recorded.values()).items() if count > 1]
        assert not twice, f"recorded more than once: {twice[:20]}"


@asynccontextmanager
async def fleet(system: System, replicas: int = 1) -> AsyncIterator[Fleet]:
    """Start an app over a service that runs; more than one replica are behind one address."""
    ports = [free_port() for _ in range(replicas)]
    async with AsyncExitStack() as stack:
        port = ports[0] if replicas == 1 else await stack.enter_async_context(round_robin(ports))
        url = f"http://127.0.0.1:{port}"
        processes = [_replica(system, own, url) for own in ports]
        # A connection for each request: what is kept alive would be with the replica that dies.
        connections = aiohttp.TCPConnector(limit=0, force_close=True)
        session = aiohttp.ClientSession(url, connector=connections, timeout=aiohttp.ClientTimeout(60))
        opened = Fleet(system, processes, await stack.enter_async_context(session))
        try:
            await opened.start()
            opened.answers.clear()
            yield opened
        finally:
            for process in processes:
                await process.kill()
                with contextlib.suppress(ProcessLookupError):
                    process.kill_the_rest()


def _replica(system: System, port: int, url: str) -> Process:
    argv = (str(BIN / "uvicorn"), "tests.faults.moved_app:app", "--port", str(port), "--no-access-log")
    service = f"http://127.0.0.1:{system.port}"
    process = system.process(argv, f"{NAME}-{port}", URL=service, APP_URL=url)
    process.environment |= {NOTES: str(system.folder / "notes"), "XDG_STATE_HOME": str(system.folder)}
    return process
