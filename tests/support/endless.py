"""Answers that go on until their reader leaves."""

import httpx


async def beginning_of(answer: httpx.Response) -> bytes:
    """Read an answer; of a stream of events, the first one."""
    is_endless = answer.headers.get("content-type", "").startswith("text/event-stream")
    read = b""
    async for part in answer.aiter_bytes():
        read += part
        if is_endless and b"\n\n" in read.partition(b"data:")[2]:  # before it come comments, while nothing happens
            break
    return read
