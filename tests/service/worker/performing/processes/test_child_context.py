"""The context of a `def` in a child process."""

import asyncio
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from jobs.kit.files import StoredFile
from jobs.kit.steps import NOTHING
from jobs.kit.thread_context import AttemptOver, ThreadContext
from service.ledger.models import Started
from service.worker.performing.processes.child_context import Calls, context_in_child
from service.worker.performing.processes.link import Link
from service.worker.performing.processes.messages import Handed
from tests.support.process_kinds import tell_pid

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FILE = StoredFile("f", "a.txt", 1, "text/plain", "00", NOW, NOW)


class Worker:
    """Answers at once, and keeps what was asked, and in which thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()
        self.answers: dict[str, Any] = {"lend_file": (Path("there"), FILE), "get_file": FILE}

    def ask(self, _attempt: Handed, name: str, args: tuple[Any, ...], _options: dict[str, Any]) -> Any:
        self.asked.append((name, *args))
        self.threads.add(threading.get_ident())
        if isinstance(answer := self.answers.get(name), BaseException):
            raise answer
        return answer


def context_over(worker: Worker) -> ThreadContext:
    started = Started("j", "process_pid", 1, 0, 0, 3, "{}", None, "default", None, NOW, "w", NOW)
    handed = Handed(started, NOTHING, NOW)
    calls = Calls(handed, cast(Link, worker))
    return ThreadContext.over(context_in_child(handed, tell_pid, calls), no_loop, calls.run_here)


def no_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    coroutine.close()
    raise AssertionError("it went by way of the loop")


@pytest.mark.parametrize("has_loop", [False, True])
def test_plain_kind_waits_for_its_calls_in_its_own_thread(*, has_loop: bool) -> None:
    worker = Worker()
    ctx = context_over(worker)

    def call() -> None:
        ctx.progress(1, 2)
        ctx.enqueue("mail")
        ctx.checkpoint({"at": 1})
        ctx.files.get("f")
        with ctx.files.local("f"):
            ctx.files.store(b"small", name="a")
        ctx.files.store(bytes(2 << 20), name="b")
        ctx.files.store(Path("c"), name="c")
        ctx.files.delete("f")

    async def within_a_loop() -> None:
        call()

    if has_loop:  # of the kind's own
        asyncio.run(within_a_loop())
    else:
        call()
    names = [one[0] for one in worker.asked]
    assert names == [
        "progress",
        "enqueue",
        "keep_checkpoint",
        "get_file",
        "lend_file",
        *["store_file"] * 3,
        "delete_file",
    ]
    assert worker.threads == {threading.get_ident()}


def test_lent_file_is_known_and_returned_with_the_next_call_for_one() -> None:
    worker = Worker()
    files = context_over(worker).files
    with files.local("f") as path:
        assert (path, files.get("f")) == (Path("there"), FILE)
    with files.local("g"):
        assert files.get("f") == FILE
    assert worker.asked == [("lend_file", 0, "f", []), ("lend_file", 1, "g", [0]), ("get_file", "f")]


def test_attempt_that_was_taken_away_meanwhile_ends_its_thread() -> None:
    worker = Worker()
    worker.answers["get_file"] = asyncio.CancelledError("the attempt was taken away")
    with pytest.raises(AttemptOver):
        context_over(worker).files.get("f")
