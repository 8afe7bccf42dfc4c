"""This user's short folder for sockets whose path in the data dir would be too long."""

import contextlib
import stat
from os import getuid
from pathlib import Path

from service.errors import StartRefused
from service.settings import Settings


def prepare(settings: Settings, socket: Path) -> None:
    """Make the folder, if `socket` belongs in it. Raises `StartRefused`."""
    if socket.parent != settings.data_dir:
        _make_private(socket.parent)


def clean_up(settings: Settings, socket: Path) -> None:
    """Remove the folder, if it exists and is empty."""
    if socket.parent != settings.data_dir:
        with contextlib.suppress(OSError):
            socket.parent.rmdir()


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # In a world-writable folder, somebody else may have made it first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StartRefused(
            f"{folder} is not a private folder of yours. Remove it, or choose a shorter POSTLUDE_DATA_DIR."
        )
