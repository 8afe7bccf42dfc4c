"""Commands of ours as processes of their own, with the settings that a test gives them and no others."""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from signal import Signals
from typing import Protocol

import httpx

from service.settings import Settings
from tests.support.forking import Fork, ForkServer, can_fork, fork_server
from tests.support.running import eventually
from tests.support.servers import wait_for

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
WORKER = ("arq", "worker_settings.WorkerSettings")
_STOPS_WITHIN_S = 30
_ENDS_WITHIN_S = 60
_FIRST_PORT, _PORTS_OF_A_PROCESS, _MOST_PROCESSES = 12_000, 1_000, 20


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with `settings` as the only ones of Postlude, named without their prefix."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
    return inherited | {f"POSTLUDE_{name}": value for name, value in settings.items()}


def free_port() -> int:
    """Return a port of loopback on which nobody listens, or will listen before the caller does.

    Ports that the system picks may be given to another connection meanwhile. These are below that range, and used in
    turn.
    """
    for port in _ports:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("the ports never end")


def _ports_of_this_process() -> Iterator[int]:
    """Return the ports that no other process of pytest-xdist gives away."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MOST_PROCESSES
    own = range(_FIRST_PORT + number * _PORTS_OF_A_PROCESS, _FIRST_PORT + (number + 1) * _PORTS_OF_A_PROCESS)
    first = os.getpid() * 617 % len(own)  # another run beside this one begins far away, though its id is the next one
    return itertools.cycle([*own[first:], *own[:first]])


_ports = _ports_of_this_process()


class Child(Protocol):
    """A running command, with the interface of `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, signal: int) -> None: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


class ForkedChild:
    """A `Child` that was forked."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork

    @property
    def pid(self) -> int:
        return self._fork.pid

    @property
    def returncode(self) -> int | None:
        return self._fork.poll()

    def send_signal(self, signal: int) -> None:
        self._fork.send_signal(Signals(signal))

    def kill(self) -> None:
        self.send_signal(Signals.SIGKILL)

    async def wait(self) -> int:
        while (status := self._fork.poll()) is None:
            await asyncio.sleep(0.02)
        return status


def ran(
    argv: Sequence[str],
    variables: Mapping[str, str],
    folder: Path = ROOT,
    *,
    server: ForkServer | None = None,
    within_s: float = _ENDS_WITHIN_S,
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours until it ends by itself. It is forked, whatever the `variables`."""
    forks = server or fork_server(os.getpid())
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        fork = forks.start(argv, variables, folder, output.fileno(), errors.fileno())
        try:
            wait_for(lambda: fork.poll() is not None, " ".join(argv), within_s)
        finally:
            fork.send_signal(Signals.SIGKILL)
        written = [(one.seek(0), one.read())[1] for one in (output, errors)]
        return subprocess.CompletedProcess(argv, fork.poll() or 0, *written)


@asynccontextmanager
async def process(command: str, *options: str, **settings: str) -> AsyncIterator[Child]:
    """Run a command of the environment; at the end it gets SIGTERM, and SIGKILL if it ignores that."""
    child = await _started((str(BIN / command), *options), environment(**settings))
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(Signals.SIGTERM)
            try:
                async with asyncio.timeout(_STOPS_WITHIN_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


async def _started(argv: Sequence[str], variables: Mapping[str, str]) -> Child:
    """Start a command whose output goes where the tests' output goes."""
    if can_fork(argv, variables):
        return ForkedChild(fork_server(os.getpid()).start(argv, variables, ROOT, 1, 2))
    return await asyncio.create_subprocess_exec(*argv, env=variables, cwd=ROOT, start_new_session=True)


@asynccontextmanager
async def api_process(settings: Settings, **more: str) -> AsyncIterator[tuple[httpx.AsyncClient, Child]]:
    """Run `postlude api`, with `more` settings, until it answers; yield a client of it, and the process."""
    port = free_port()
    given = {
        "DATABASE_URL": settings.sqlalchemy_url,
        "REDIS_URL": settings.redis_dsn,
        "DATA_DIR": str(settings.data_dir),
        "PORT": str(port),
        "LOG_LEVEL": "WARNING",
        **more,
    }
    async with (
        process("postlude", "api", **given) as child,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):

        async def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get("/readyz")).status_code == 200
            return False

        await eventually(answers, timeout_s=60)
        yield client, child
