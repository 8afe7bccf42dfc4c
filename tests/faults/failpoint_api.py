"""A `postlude api` that dies as if by `kill -9` when its first job reaches the point that FAILPOINT names."""

import os
from collections.abc import Awaitable, Callable
from signal import SIGKILL
from typing import Any

from service.cli import main
from service.ledger import ledger
from service.ledger.ledger import Ledger
from service.lifecycle.lifecycle import Lifecycle
from service.queue import Queue

FAILPOINT = "FAULTS_FAILPOINT"
Coroutine = Callable[..., Awaitable[Any]]


def _dies_before(_real: Coroutine) -> Coroutine:
    async def died(*_args: Any, **_options: Any) -> None:
        os.kill(os.getpid(), SIGKILL)

    return died


def _dies_within(real: Callable[..., Any]) -> Callable[..., Any]:
    def died(*args: Any, **options: Any) -> None:
        real(*args, **options)
        os.kill(os.getpid(), SIGKILL)

    return died


def _dies_after(real: Coroutine) -> Coroutine:
    async def died(*args: Any, **options: Any) -> None:
        await real(*args, **options)
        os.kill(os.getpid(), SIGKILL)

    return died


def before_the_transaction() -> None:
    Ledger.enqueue = _dies_before(Ledger.enqueue)  # type: ignore[method-assign,assignment]


def before_its_commit() -> None:
    vars(ledger)["record_enqueued"] = _dies_within(vars(ledger)["record_enqueued"])


def between_commit_and_dispatch() -> None:
    Queue.put = _dies_before(Queue.put)  # type: ignore[method-assign,assignment]


def after_dispatch_before_the_answer() -> None:
    Lifecycle.enqueue = _dies_after(Lifecycle.enqueue)  # type: ignore[method-assign,assignment]


FAILPOINTS = (
    before_the_transaction,
    before_its_commit,
    between_commit_and_dispatch,
    after_dispatch_before_the_answer,
)

if __name__ == "__main__":
    {failpoint.__name__: failpoint for failpoint in FAILPOINTS}[os.environ[FAILPOINT]]()
    main()
