"""Commands of ours as processes of their own, with the settings that a test gives them and no others."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from service.settings import Settings
from tests.support.running import eventually

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
WORKER = ("arq", "worker_settings.WorkerSettings")
_STOPS_WITHIN_S = 30


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with `settings` as the only ones of Postlude, named without their prefix."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
    return inherited | {f"POSTLUDE_{name}": value for name, value in settings.items()}


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def process(command: str, *options: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command of the environment; at the end it gets SIGTERM, and SIGKILL when it does not heed that."""
    child = await asyncio.create_subprocess_exec(
        str(BIN / command), *options, env=environment(**settings), cwd=ROOT, start_new_session=True
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOPS_WITHIN_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


@asynccontextmanager
async def api_process(
    settings: Settings, **more: str
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
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
