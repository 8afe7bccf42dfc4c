"""What must hold before a process starts. Each check raises `StartRefused` with a sentence that says what to do."""

import errno
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from service.errors import StartRefused
from service.settings import Settings

# What a killed supervisor leaves behind ends by itself, and frees the port within this time.
_ORPHANS_END_S = 8.0


@contextmanager
def only_one(settings: Settings) -> Iterator[float]:
    """Hold the data dir for this process alone. Gives how long to wait for what a killed predecessor leaves behind."""
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


def check_address(settings: Settings, *, patience_s: float = 0.0) -> None:
    """Check that the API can listen where the settings say, and is not open to everybody there."""
    addresses = _resolve(settings)
    if not settings.api_keys and not all(ip_address(address[0]).is_loopback for _, address in addresses):
        raise StartRefused(
            f"POSTLUDE_HOST {settings.host} can be reached from other machines, so callers need a key: "
            "set POSTLUDE_API_KEYS (comma-separated), or use POSTLUDE_HOST=127.0.0.1."
        )
    deadline = time.monotonic() + patience_s
    while reason := _why_not_bound(addresses):
        if time.monotonic() >= deadline:
            raise StartRefused(_cannot_listen(settings, reason))
        time.sleep(0.1)


def check_inbox() -> None:
    """Check that the packages of the mail inbox are installed."""
    if find_spec("aiosmtpd") is None:
        raise StartRefused(
            "the mail inbox needs the package aiosmtpd. "
            "Run `pip install aiosmtpd`, or set POSTLUDE_SMTP_URL to a mail server."
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise StartRefused(
            f"the data dir {folder} cannot be written ({error.strerror}). Choose another with POSTLUDE_DATA_DIR."
        ) from error


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


def _why_not_bound(addresses: list[tuple[socket.AddressFamily, tuple[Any, ...]]]) -> int:
    """Bind each address and let go. Gives the error number of what failed, else 0."""
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
