"""`ctx.files` in a kind that is a `def`: each call returns when it is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.kit.files import Files, StoredFile
from jobs.kit.outcomes import Seconds


class ThreadFiles:
    """The same as `Files`, for a thread; `run` runs a coroutine on the loop, `run_call` one that needs none."""

    def __init__(
        self,
        files: Files,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        run_call: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self._files = files
        self._run = run
        self._run_call = run_call

    def get(self, file_id: str) -> StoredFile:
        """Return what is known about a file. Raises `FileGone`."""
        return self._run_call(self._files.get(file_id))  # type: ignore[no-any-return]

    def stream(self, file_id: str, *, start: int = 0) -> Iterator[bytes]:
        """Read a file in chunks, from the byte `start` on. Raises `FileGone`."""
        chunks = self._files.stream(file_id, start=start)
        while (chunk := self._run(_next(chunks))) is not None:
            yield chunk

    @contextmanager
    def local(self, file_id: str) -> Iterator[Path]:
        """Provide a file on this machine's disk, read-only, as long as the context is open. Raises `FileGone`."""
        lent = self._files.local(file_id)
        path = self._run_call(lent.__aenter__())
        try:
            yield path
        finally:
            self._run_call(lent.__aexit__(None, None, None))

    def store(
        self,
        source: Path | bytes | Iterable[bytes],
        *,
        name: str,
        content_type: str | None = None,
        expires_in: Seconds | None = None,
    ) -> StoredFile:
        """Store a file, whole or not at all, as `Files.store` does."""
        run, given = (self._run_call, source) if isinstance(source, Path | bytes) else (self._run, _awaited(source))
        storing = self._files.store(given, name=name, content_type=content_type, expires_in=expires_in)
        return run(storing)  # type: ignore[no-any-return]

    def delete(self, file_id: str) -> None:
        """Delete a file; nothing happens if it is gone. Raises `FileInUse` while a job that may still run names it."""
        self._run_call(self._files.delete(file_id))


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _awaited(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Read chunks from a kind's iterable in a thread: it may read a slow file."""
    iterator = iter(chunks)
    while (chunk := await asyncio.to_thread(next, iterator, None)) is not None:
        yield chunk
