"""Whether this configuration is fit to start: one function for each check, for `postlude api`, `worker` and `dev`
alike.

Each check raises `StartRefused` with a sentence that says what to do. A server that is away is not judged: the process
waits for it. Settings that may break promises but leave a choice are warned about in `durability.py`. Heavy modules are
imported inside the checks that need them, because most refusals come before.
"""

import asyncio
import errno
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from service.data_dir import make_data_dir
from service.errors import LedgerUnavailable, StartRefused
from service.ledger_place import sqlite_path
from service.own_command import FIRST_KEY, own_command
from service.settings import Settings

if TYPE_CHECKING:
    from arq.connections import ArqRedis

    from service.ledger.database import Database

log = structlog.get_logger(__name__)

# What a killed supervisor leaves behind ends by itself, and frees the port within this time.
_ORPHANS_END_S = 8.0
_ANSWERED_WITHIN_S = 3.0
_SHORTEST_KEY = 20
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_FILESYSTEMS = {
    "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs",
    "smb2", "smb3", "smbfs", "fuse.ceph", "fuse.curlftpfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs",
}  # fmt: skip


async def check_api(settings: Settings) -> None:
    """Check everything that the API needs."""
    from jobs import Catalogue
    from service.resources import open_resources

    check_ledger_file(settings)
    check_address(settings, knows_somebody=await knows_somebody(settings))
    check_keys(settings)
    warn_of_clear_secrets(settings)
    async with open_resources(settings, Catalogue({})) as resources:
        await check_servers(resources.ledger.database, resources.queue.redis)


def check_ledger_file(settings: Settings) -> None:
    """Check that SQLite's file for the ledger can be written and is in a safe place. Makes the data dir."""
    check_filesystem(settings)
    make_data_dir(settings.data_dir)
    path = sqlite_path(settings)
    # Nothing is written: a full disk is no reason to refuse, because what is there can still be read.
    if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
        raise StartRefused(
            f"the ledger's folder {path.parent} does not exist or cannot be written. Fix that, or choose another with "
            "POSTLUDE_DATA_DIR or POSTLUDE_DATABASE_URL."
        )


def check_filesystem(settings: Settings, mounts: Path = _MOUNTS) -> None:
    """Check that the ledger's file is not on a filesystem that other machines share; `mounts` is Linux' mountinfo.

    SQLite's write-ahead log needs memory that all its users share: https://sqlite.org/wal.html.
    """
    path = sqlite_path(settings)
    filesystem = _filesystem_of(path, mounts.read_text()) if path is not None and mounts.exists() else ""
    if filesystem in _NETWORK_FILESYSTEMS:
        raise StartRefused(
            f"the ledger {path} is on a network filesystem ({filesystem}), where SQLite loses data. Put "
            "POSTLUDE_DATA_DIR on a disk of this machine, or use Postgres (POSTLUDE_DATABASE_URL)."
        )


async def check_servers(database: "Database", redis: "ArqRedis") -> None:
    """Check that both servers can be used at all.

    A Redis that is a cluster or too old is refused, and so is a pooler that changes connections within a session.
    """
    from service.ledger.pooler import refuse_changing_sessions
    from service.queue import refuse_unfit

    await asyncio.gather(
        _unless_away("database", refuse_changing_sessions(database)), _unless_away("redis", refuse_unfit(redis))
    )


async def knows_somebody(settings: Settings) -> bool:
    """Whether there are keys or users. A ledger that is away may have some: until it is back, nobody is let in."""
    from service.access.reads import is_anybody_known
    from service.ledger.database import Database
    from service.ledger.outages import NO_TABLES, known_reason_of

    path = sqlite_path(settings)
    if settings.api_keys or (path is not None and not path.exists()):
        return bool(settings.api_keys)
    database = Database.open(settings.sqlalchemy_url)
    try:
        async with asyncio.timeout(_ANSWERED_WITHIN_S), database.connect() as connection:
            return await is_anybody_known(connection)
    except (LedgerUnavailable, TimeoutError) as error:
        return known_reason_of(error.__cause__) != NO_TABLES
    finally:
        await database.close()


def check_address(settings: Settings, *, patience_s: float = 0.0, knows_somebody: bool = False) -> None:
    """Check that the API can listen where the settings say, and is not open to everybody there."""
    addresses = _resolve(settings)
    is_asked = bool(settings.api_keys) or knows_somebody
    if not is_asked and _are_reached(addresses):
        raise StartRefused(
            f"POSTLUDE_HOST {settings.host} can be reached from other machines, so callers need a key: "
            f"set POSTLUDE_API_KEYS (comma-separated), make a key by `{own_command()} {FIRST_KEY}` or a user by"
            f" `{own_command()} users add NAME --role admin`, or use POSTLUDE_HOST=127.0.0.1."
        )
    deadline = time.monotonic() + patience_s
    while reason := _why_not_bound(addresses):
        if time.monotonic() >= deadline:
            raise StartRefused(_cannot_listen(settings, reason))
        time.sleep(0.1)


def check_keys(settings: Settings) -> None:
    """Check that no key in the settings can be guessed: guesses can be tried on the signatures of tickets and cookies.

    If only this machine reaches the API, which would need no key at all, a short key only causes a warning.
    """
    if all(len(key.get_secret_value()) >= _SHORTEST_KEY for key in settings.api_keys):
        return
    remedy = f"make keys of {_SHORTEST_KEY} characters or more: openssl rand -hex 24"
    if _are_reached(_resolve(settings)):
        raise StartRefused(f"a key in POSTLUDE_API_KEYS is so short that it can be guessed; {remedy}.")
    log.warning("api_keys_are_short", remedy=remedy)


def warn_of_clear_secrets(settings: Settings) -> None:
    """Warn if other machines reach the API and anybody with the database can read the secrets of its jobs."""
    if not settings.secret_keys and _are_reached(_resolve(settings)):
        remedy = "set POSTLUDE_SECRET_KEYS to the base64 of 32 random bytes (openssl rand -base64 32)"
        log.warning("secrets_kept_in_clear", remedy=remedy)


@contextmanager
def only_one(settings: Settings) -> Iterator[float]:
    """Hold the data dir for this `postlude dev` alone; yield how long to wait for what a killed predecessor left."""
    _check_writable(settings.data_dir)
    with (settings.data_dir / "dev.lock").open("a+") as lock:
        lock.seek(0)
        holder = lock.read().strip()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartRefused(
                f"`postlude dev` already runs on the data dir {settings.data_dir} (pid {holder or 'not known yet'}). "
                "Stop that one first, or set POSTLUDE_DATA_DIR and POSTLUDE_PORT for this one."
            ) from None
        _write(lock.fileno(), f"{os.getpid()}\n")
        try:
            yield _ORPHANS_END_S if holder else 0.0
        finally:
            _write(lock.fileno(), "")


def _filesystem_of(path: Path, mountinfo: str) -> str:
    """Name the type of the filesystem that `path` is on; see proc_pid_mountinfo(5). Of equal mounts the last counts."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split()[4].replace("\\040", " "))
        if path.is_relative_to(mount_point) and len(mount_point.parts) >= best:
            best, found = len(mount_point.parts), after.split()[0]
    return found


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise StartRefused(
            f"the data dir {folder} cannot be written ({error.strerror}). Choose another with POSTLUDE_DATA_DIR."
        ) from error


async def _unless_away(server: str, refusing: Coroutine[Any, Any, None]) -> None:
    from service.queue import UNREACHABLE

    try:
        async with asyncio.timeout(_ANSWERED_WITHIN_S):
            await refusing
    except (LedgerUnavailable, *UNREACHABLE) as error:
        log.debug("server_not_judged", server=server, error=str(error.__cause__ or error))


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _resolve(settings: Settings) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartRefused(
            f"POSTLUDE_HOST {settings.host} is not an address of this machine ({error.strerror})."
        ) from error
    return [(family, address) for family, _, _, _, address in found]


def _are_reached(addresses: list[tuple[socket.AddressFamily, tuple[Any, ...]]]) -> bool:
    """Whether other machines can reach one of these."""
    return not all(ip_address(address[0]).is_loopback for _, address in addresses)


def _why_not_bound(addresses: list[tuple[socket.AddressFamily, tuple[Any, ...]]]) -> int:
    """Bind each address and let go; return the error number of what failed, else 0."""
    for family, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server will: else connections that have just ended count as the port's use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                return error.errno or errno.EIO
    return 0


def _cannot_listen(settings: Settings, reason: int) -> str:
    where = f"port {settings.port} on {settings.host}"
    if reason == errno.EADDRINUSE:
        return f"{where} is taken. Stop what listens there, or choose another port with POSTLUDE_PORT."
    return f"cannot listen to {where} ({os.strerror(reason)}). Set POSTLUDE_HOST and POSTLUDE_PORT."
