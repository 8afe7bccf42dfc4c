"""One performance: fresh servers and one contender's processes, all of which end with it."""

import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from benchmarks.contenders import Contender
from tests.support.servers import PostgresServer, RedisServer

_LIMIT_S = 300.0
_STOP_S = 3.0  # once the contender is measured, it need not end well
_SHOWN_LINES = 15
_numbers = itertools.count(1)


class PerformanceFailed(Exception):
    """A contender's process ended or took too long; the message has the end of its log."""


@dataclass
class Arena:
    """The folder, servers and processes of one performance."""

    contender: Contender
    folder: Path
    redis_server: RedisServer
    postgres: PostgresServer
    database: str
    port: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def ask(self, verb: str, *args: object) -> Any:
        """Run a verb of the contender's stage to its end; return its answer."""
        return self.answer(self.begin(verb, *args))

    def begin(self, verb: str, *args: object) -> "subprocess.Popen[str]":
        """Start a verb that answers later."""
        stage = [self.contender.python, "-m", "benchmarks.stage", self.contender.peer]
        return self.start([*stage, verb, *args], answers=True)

    def work(self) -> list["subprocess.Popen[str]"]:
        """Start the contender's workers."""
        for _ in range(self.contender.workers):
            self.work_one()
        return self.workers

    def work_one(self) -> None:
        """Start one worker more."""
        stage = [self.contender.python, "-m", "benchmarks.stage", self.contender.peer]
        self.workers.append(self.start([*stage, "work", self.contender.slots]))

    def serve(self) -> "subprocess.Popen[str]":
        """Start Postlude's API, or the bare one, and wait until it is ready."""
        module = ["service.cli", "api"] if self.contender.is_postlude else ["benchmarks.bare_api"]
        api = self.start([self.contender.python, "-m", *module])
        wait_until(lambda: answers(self.port, "/readyz"), "the API")
        return api

    def receive(self) -> str:
        """Start `benchmarks.receiver` and wait until it listens; return its URL."""
        port = free_port()
        self.start([self.contender.python, "-m", "benchmarks.receiver", port])
        wait_until(lambda: is_open(port), "the receiver")
        return f"http://127.0.0.1:{port}"

    def be_called(self) -> str:
        """Start `benchmarks.called_app` and wait until it listens; return its URL."""
        return f"http://127.0.0.1:{self.serve_app('called_app')}"

    def serve_app(self, module: str, *options: object) -> int:
        """Start an app of `benchmarks` and wait until it listens; return its port."""
        port = free_port()
        self.start([self.contender.python, "-m", f"benchmarks.{module}", *options, port])
        wait_until(lambda: is_open(port), "the app")
        return port

    def check(self, holds: bool, otherwise: str) -> None:
        """Raise `PerformanceFailed` with the end of every log unless `holds`."""
        if not holds:
            words = "\n".join(self.last_words(process) for process in self.processes)
            raise PerformanceFailed(f"{otherwise}\n{words}")

    def start(self, argv: Sequence[object], *, answers: bool = False) -> "subprocess.Popen[str]":
        """Start a process that ends with the arena. Its output goes to its log, or is read as its answers."""
        with self._log(len(self.processes)).open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in argv],
                env=self.environment(),
                cwd=self.contender.root,
                stdout=subprocess.PIPE if answers else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def answer(self, process: "subprocess.Popen[str]", limit_s: float = _LIMIT_S) -> Any:
        """Read one line of JSON. Raises `PerformanceFailed` when none comes, or when a worker ends meanwhile."""
        assert process.stdout is not None
        deadline = time.monotonic() + limit_s
        while not select.select([process.stdout], [], [], 0.5)[0]:
            ended = next((one for one in self.workers if one.poll() is not None), None)
            if ended is not None:
                raise PerformanceFailed(f"the worker ended:\n{self.last_words(ended)}")
            if time.monotonic() > deadline:
                raise PerformanceFailed(f"{process.args!r} gave no answer in {limit_s} s")
        line = process.stdout.readline()
        if not line:
            process.wait()
            raise PerformanceFailed(f"{process.args!r} gave no answer:\n{self.last_words(process)}")
        return json.loads(line)

    def last_words(self, process: "subprocess.Popen[str]") -> str:
        log = self._log(self.processes.index(process))
        return "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])

    def redis(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.redis_server.socket))

    @property
    def stamps(self) -> Path:
        return self.folder / "stamps.sock"

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the processes: `benchmarks.surroundings`, and Postlude's own settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
        return {
            **inherited,
            "BENCH_REDIS": str(self.redis_server.socket),
            "BENCH_POSTGRES": f"postgresql://postgres@/{self.database}?host={self.postgres.folder}",
            "BENCH_VARIANT": self.contender.variant,
            "BENCH_LIMIT": self.contender.limit,
            "BENCH_SLOTS": str(self.contender.slots),
            "BENCH_WORKERS": str(self.contender.workers),
            "BENCH_STAMPS": str(self.stamps),
            "BENCH_PORT": str(self.port),
            "BENCH_FOLDER": str(self.folder),
            "POSTLUDE_DATA_DIR": str(self.folder / "data"),
            "POSTLUDE_REDIS_URL": self.redis_server.url,
            "POSTLUDE_PORT": str(self.port),
            "POSTLUDE_JOBS": "benchmarks.peers.postlude_kinds",
            "POSTLUDE_LOG_FORMAT": "console",
            "POSTLUDE_WEBHOOK_ALLOW": "127.0.0.0/8,::1/128",
            "POSTLUDE_MAX_JOBS": str(self.contender.slots),
            **({"POSTLUDE_DATABASE_URL": self.postgres.url(self.database)} if self.on_postgres else {}),
            **self.contender.settings,
        }

    @property
    def on_postgres(self) -> bool:
        return self.contender.variant == "postgres"

    @property
    def empty_ledger(self) -> str:
        """Name the kept copy of an empty ledger: the schema of each checkout may differ."""
        checkout = re.sub(r"\W", "_", self.contender.root.name).lower()
        return f"empty_{self.contender.variant}_{checkout}"

    def _log(self, number: int) -> Path:
        return self.folder / f"process-{number}.log"

    def end(self) -> None:
        """Send every process SIGTERM; kill those that ignore it, with their children."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def arena(contender: Contender, postgres: PostgresServer, template: str | None = None) -> Iterator[Arena]:
    """Start fresh servers for one contender; stop them, and its processes, at the end.

    With a `template`, an empty database, its own is a copy of that.
    """
    folder = Path(tempfile.mkdtemp(prefix="plb-"))
    redis_server = RedisServer(folder / "redis")
    redis_server.start()
    database = f"bench_{next(_numbers)}"
    opened = Arena(contender, folder, redis_server, postgres, database, free_port())
    kept = postgres.folder / opened.empty_ledger
    known = contender.is_postlude and kept.exists() and template is None
    own = opened.empty_ledger if known and opened.on_postgres else "template1"
    postgres.create_database(database, template or own)
    try:
        if known:
            shutil.copytree(kept, folder / "data")
        elif contender.is_postlude:
            _migrate(opened, None if template else kept)
        yield opened
    finally:
        opened.end()
        redis_server.stop()
        postgres.drop_database(database)
        shutil.rmtree(folder, ignore_errors=True)


def _migrate(opened: Arena, kept: Path | None) -> None:
    """Make an empty ledger, and keep a copy for later performances, if asked: a migration takes seconds."""
    migrating = opened.start([opened.contender.python, "-m", "service.cli", "migrate"])
    if migrating.wait() != 0:
        raise PerformanceFailed(opened.last_words(migrating))
    if kept is None:
        return
    shutil.copytree(opened.folder / "data", kept)
    if opened.on_postgres:
        opened.postgres.create_database(opened.empty_ledger, opened.database)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start the Postgres of a whole run, with its default settings but for the collation: every commit is durable."""
    folder = Path(tempfile.mkdtemp(prefix="plb-pg-"))
    server = PostgresServer(folder / "pg")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stamps_received(path: Path) -> Iterator[dict[int, int]]:
    """Collect what `benchmarks.tasks.stamp` sends: the first monotonic_ns for each index."""
    received: dict[int, int] = {}
    with _stamps_noted(path, received.setdefault):
        yield received


@contextmanager
def order_received(path: Path) -> Iterator[list[int]]:
    """Collect the index of each stamp, repeats included, in the order in which they were sent."""
    received: list[int] = []
    with _stamps_noted(path, lambda index, _at_ns: received.append(index)):
        yield received


@contextmanager
def _stamps_noted(path: Path, note: Callable[[int, int], object]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(0.1)
        stopping = threading.Event()
        thread = threading.Thread(target=_collect, args=(receiver, note, stopping))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


def _collect(receiver: socket.socket, note: Callable[[int, int], object], stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            index, at_ns = receiver.recv(100).split()
        except TimeoutError:
            continue
        note(int(index), int(at_ns))


def wait_until(holds: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    """Block until `holds()`. Raises `PerformanceFailed`."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise PerformanceFailed(f"waited {limit_s} s for {what}")
        time.sleep(0.02)


def answers(port: int, path: str) -> bool:
    """Whether an HTTP server on loopback answers 200."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def is_open(port: int) -> bool:
    """Whether something listens at this port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
