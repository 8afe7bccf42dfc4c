"""Functions that run in the background, for tests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from postlude.fastapi import BackgroundTasks

ran: list[Any] = []
release = threading.Event()
context: ContextVar[str] = ContextVar("context", default="none")


async def send(to: str, subject: str = "hello") -> str:
    ran.append(("send", to, subject))
    return f"sent to {to}"


def write(line: str) -> None:
    ran.append(("write", line, threading.current_thread() is threading.main_thread()))


async def fail(why: str = "broken") -> None:
    ran.append(("fail", why))
    raise ValueError(why)


def exit_process() -> None:
    raise SystemExit(3)


async def never_offered() -> None:
    ran.append("never_offered")


async def wait_long(name: str = "slept") -> None:
    ran.append(f"{name} began")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)  # what cleans up may take its time
        ran.append(f"{name} was cancelled")
        raise


async def succeed_all_the_same() -> str:
    ran.append("began")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "done"
    return "slept"


def block() -> None:
    ran.append("block began")
    release.wait(20)
    ran.append("block ended")


def session(request: Request) -> Iterator[str]:
    ran.append("session opened")
    try:
        yield f"session of {request.app.title}"
        ran.append("committed")
    except ValueError:
        ran.append("rolled back")
        raise


async def current_user(session: Annotated[str, Depends(session)]) -> AsyncIterator[str]:
    yield f"user of {session}"


async def with_session(to: str, user: str = Depends(current_user), *, fails: bool = False) -> str:
    ran.append((to, user))
    if fails:
        raise ValueError("no")
    return user


def with_session_in_thread(user: Annotated[str, Depends(current_user)], to: str = "x") -> str:
    return f"{user} {threading.current_thread() is threading.main_thread()}"


async def needs_header(token: Annotated[str, Depends(lambda x_token: x_token)] = "") -> str:
    return token


def token_of(x_token: Annotated[str, Header()]) -> str:
    return x_token


async def needs_token(token: Annotated[str, Depends(token_of)]) -> str:
    return token


async def adds_more(tasks: BackgroundTasks, to: str) -> None:
    tasks.add_task(send, to, "more")


def result_of(value: Any) -> Any:
    return value
