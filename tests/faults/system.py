"""A whole Postlude in processes of its own: an API and workers over given servers, whose pids the faults strike."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import Signals

import httpx

from service.ledger.ledger import Ledger
from tests.faults.kinds import EFFECTS
from tests.support.forking import Fork, can_fork, fork_server
from tests.support.lane_receiver import LaneReceiver
from tests.support.processes import BIN, ROOT, environment, free_port
from tests.support.running import eventually

API = (str(BIN / "postlude"), "api")
WORKER = (str(BIN / "arq"), "worker_settings.WorkerSettings")
TETHER = ROOT / "service" / "dev" / "tether.py"
START_TIMEOUT_S = 60.0


@dataclass(eq=False)
class Process:
    """One of our commands; its output goes to the file `log`."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    child: subprocess.Popen[bytes] | Fork | None = field(default=None, init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            if can_fork(self.argv, self.environment):
                server = fork_server(os.getpid())
                self.child = server.start(self.argv, self.environment, ROOT, log.fileno(), log.fileno())
                return
            tied = (
                sys.executable,
                "-SE",
                str(TETHER),
                str(os.getpid()),
                *self.argv,
            )  # ends with the tests, even if they are killed
            self.child = subprocess.Popen(
                tied, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while the process runs."""
        return self.child.poll() if self.child is not None else 0

    def send(self, signum: Signals) -> None:
        if self.child is not None and self.status is None:
            self.child.send_signal(signum)

    async def ended(self, timeout_s: float) -> int:
        """Wait until the process has ended; return its exit status."""

        async def over() -> bool:
            return self.status is not None

        await eventually(over, timeout_s)
        assert self.status is not None
        return self.status

    async def kill(self) -> None:
        self.send(Signals.SIGKILL)
        await self.ended(30)

    def kill_the_rest(self) -> None:
        """Kill what the process has started: under faketime, the command itself is such a child."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, Signals.SIGKILL)

    def said(self, text: str) -> bool:
        """Whether its log holds `text`."""
        return text in self.log.read_text(errors="replace")


class System:
    """An API and workers. All get `settings`, named without POSTLUDE_, such as a DATABASE_URL through a proxy."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.redis_url = redis_url
        self.port = free_port()
        self.settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(folder / "data"),
            "JOBS": "tests.faults.kinds",
            "LOG_LEVEL": "INFO",
            "GRACE_S": "5",
            "WEBHOOK_ALLOW": "127.0.0.0/8",
            "APP_ALLOW": "127.0.0.0/8",
            "PORT": str(self.port),
        } | settings
        self.api = self.process(API)
        self.workers: list[Process] = []
        self.receiver = LaneReceiver()
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)
        self._numbers = itertools.count(1)

    def process(self, argv: tuple[str, ...], name: str = "api", **settings: str) -> Process:
        own = {EFFECTS: str(self.effects_file), "PYTHONPATH": str(ROOT)}
        return Process(argv, environment(**self.settings | settings) | own, self.folder / f"{name}.log")

    def add_worker(self, **settings: str) -> Process:
        """Start one more worker."""
        worker = self.process(WORKER, f"worker-{next(self._numbers)}", **settings)
        worker.start()
        self.workers.append(worker)
        return worker

    async def start(self, workers: int = 2) -> None:
        """Start everything; return when jobs are accepted and every worker is registered."""
        self.api.start()
        for _ in range(workers):
            self.add_worker()
        await self.ready()
        for worker in self.workers:
            await self.registered(worker)

    async def ready(self) -> None:
        """Wait until the API accepts jobs."""
        await eventually(self._answers, START_TIMEOUT_S)

    async def registered(self, worker: Process) -> None:
        """Wait until a worker is ready."""

        async def begun() -> bool:
            if worker.status is not None:
                raise AssertionError(f"a worker ended at its start: see {worker.log}")
            return worker.said("worker_ready")

        await eventually(begun, START_TIMEOUT_S)

    async def stop(self) -> None:
        """Stop every process: in good order if that works, by force after 10 s."""
        processes = [self.api, *self.workers]
        for process in processes:
            process.send(Signals.SIGCONT)
            process.send(Signals.SIGTERM)
            process.send(Signals.SIGTERM)
        for process in processes:
            with contextlib.suppress(TimeoutError):
                await process.ended(10)
            await process.kill()
            process.kill_the_rest()
        await self.receiver.stop()
        await self.client.aclose()

    @property
    def effects_file(self) -> Path:
        return self.folder / "effects"

    def effects(self) -> Counter[str]:
        """Count the side effects of each job."""
        return Counter({effect: len(attempts) for effect, attempts in self.attempts_of_effects().items()})

    def attempts_of_effects(self) -> dict[str, list[int]]:
        """Return which attempts had each side effect: that of a job, or of a step of it."""
        attempts: dict[str, list[int]] = {}
        if self.effects_file.exists():
            for line in self.effects_file.read_text().splitlines():
                effect, attempt = line.split()
                attempts.setdefault(effect, []).append(int(attempt))
        return attempts

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """Open the ledger directly, bypassing the service and its proxies."""
        async with Ledger.open(self.database_url, retention=timedelta(days=30)) as opened:
            yield opened

    async def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await self.client.get("/readyz")).status_code == 200
        return False


@asynccontextmanager
async def running(system: System, workers: int = 2) -> AsyncIterator[System]:
    """Run a system until the end of the block."""
    try:
        await system.start(workers)
        yield system
    finally:
        await system.stop()
