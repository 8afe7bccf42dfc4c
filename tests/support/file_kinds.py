"""Kinds that read a file and make another, on the loop, in a thread and in a process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from jobs import Context, ThreadContext, job
from jobs.kit.files import FileId


async def _lines(text: bytes) -> AsyncIterator[bytes]:
    for line in text.splitlines(keepends=True):
        yield line


@job("shout", max_attempts=1)
async def shout(ctx: Context, file: FileId) -> dict[str, str]:
    """Write a file in capitals, three times in three ways."""
    return await _shout(ctx, file)


@job("shout_in_process", runs="process", max_attempts=1)
async def shout_in_process(ctx: Context, file: FileId) -> dict[str, str]:
    """Do the same in another process."""
    return await _shout(ctx, file)


async def _shout(ctx: Context, file: str) -> dict[str, str]:
    known = await ctx.files.get(file)
    async with ctx.files.local(file) as path:
        text = path.read_bytes()
    assert b"".join([chunk async for chunk in ctx.files.stream(file, start=2)]) == text[2:]
    loud = await ctx.files.store(text.upper(), name=f"loud {known.name}")
    again = await ctx.files.store(_lines(text.upper()), name="again.txt", content_type="text/x-loud", expires_in=60)
    async with ctx.files.local(loud.id) as path:
        copy = await ctx.files.store(path, name="copy.txt")
    await ctx.files.delete(copy.id)
    return {"loud": loud.id, "again": again.id, "gone": copy.id}


@job("shout_in_thread", max_attempts=1)
def shout_in_thread(ctx: ThreadContext, file: FileId) -> dict[str, str]:
    """Do the same in a thread."""
    return _shout_at_once(ctx, file)


@job("shout_at_once_in_process", runs="process", max_attempts=1)
def shout_at_once_in_process(ctx: ThreadContext, file: FileId) -> dict[str, str]:
    """Do the same in another process, without a loop."""
    return _shout_at_once(ctx, file)


def _shout_at_once(ctx: ThreadContext, file: str) -> dict[str, str]:
    known = ctx.files.get(file)
    with ctx.files.local(file) as path:
        text = path.read_bytes()
    assert b"".join(ctx.files.stream(file, start=2)) == text[2:]
    loud = ctx.files.store(text.upper(), name=f"loud {known.name}")
    again = ctx.files.store(_generated(text), name="again.txt", content_type="text/x-loud", expires_in=60)
    with ctx.files.local(loud.id) as path:
        copy = ctx.files.store(path, name="copy.txt")
    ctx.files.delete(copy.id)
    return {"loud": loud.id, "again": again.id, "gone": copy.id}


def _generated(text: bytes) -> Iterator[bytes]:
    yield from text.upper().splitlines(keepends=True)


@job("report", max_attempts=2, timeout=60)
async def report(ctx: Context, path: str) -> str:
    """Store a report, and fail after it the first time."""
    stored = await ctx.files.store(f"attempt {ctx.attempt}".encode(), name="report.txt")
    Path(path).write_text(stored.id)
    if ctx.attempt == 1:
        raise RuntimeError("after the report")
    return stored.id


@job("keep_reading", timeout=600)
async def keep_reading(ctx: Context, file: FileId) -> None:
    """Hold on to a file."""
    await ctx.files.get(file)
    await asyncio.Event().wait()
