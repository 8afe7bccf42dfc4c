"""Files that jobs make, below one folder; names cannot lead out of it."""

import asyncio
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path


class LocalFiles:
    """Keeps files in `folder`; see `jobs.kit.context.Files`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all. Raises ValueError for a name that leads out of the folder."""
        await asyncio.to_thread(_write, self._path(name), data)

    async def read(self, name: str) -> bytes:
        """Read a file. Raises FileNotFoundError and ValueError."""
        return await asyncio.to_thread(self._path(name).read_bytes)

    async def purge(self, older_than: timedelta, *, dry_run: bool) -> int:
        """Delete files last changed longer ago than `older_than`; return their number."""
        return await asyncio.to_thread(_purge, self._folder, time.time() - older_than.total_seconds(), dry_run)

    def _path(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()) or path == self._folder.resolve():
            raise ValueError(f"{name!r} is not a name for a file of a job")
        return path


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _purge(folder: Path, before: float, dry_run: bool) -> int:
    old = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime < before]
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return len(old)
