"""A worker that dies as if by `kill -9` when the operation that it carries out reaches the point FAILPOINT names.

It dies with the second page, so that there is something before it and something after it.
"""

import os
from collections.abc import Awaitable, Callable
from signal import SIGKILL
from typing import Any

from arq.cli import cli as arq

from service.lifecycle.operations import runner
from service.lifecycle.operations.deeds import ReplayMembers
from service.lifecycle.operations.operations import Operations
from service.lifecycle.operations.runner import Runner
from service.lifecycle.operations.walk import Walk

FAILPOINT = "OPERATIONS_FAILPOINT"
# With pages of the usual size, each kill would take a thousand jobs and more that are performed afterwards.
SMALL_PAGE = 100
_DIES_AT = 2
Coroutine = Callable[..., Awaitable[Any]]
_calls = 0


def _die_in_time() -> None:
    global _calls
    _calls += 1
    if _calls == _DIES_AT:
        os.kill(os.getpid(), SIGKILL)


def _dies_before(real: Coroutine) -> Coroutine:
    async def died(*args: Any, **options: Any) -> Any:
        _die_in_time()
        return await real(*args, **options)

    return died


def _dies_after(real: Coroutine) -> Coroutine:
    async def died(*args: Any, **options: Any) -> Any:
        told = await real(*args, **options)
        _die_in_time()
        return told

    return died


def _dies_within(real: Callable[..., Any]) -> Callable[..., Any]:
    def died(*args: Any, **options: Any) -> Any:
        told = real(*args, **options)
        _die_in_time()
        return told

    return died


def turn_small_pages() -> None:
    Operations.runner.__kwdefaults__ = {"page": SMALL_PAGE}


def while_it_counts() -> None:
    global _calls
    _calls = _DIES_AT - 1  # so few members are counted in one go
    Walk.count = _dies_before(Walk.count)  # type: ignore[method-assign,assignment]


def before_the_page_is_written() -> None:
    Runner._record = _dies_before(Runner._record)  # type: ignore[method-assign,assignment]


def before_its_commit() -> None:
    vars(runner)["record_page"] = _dies_within(vars(runner)["record_page"])


def between_commit_and_redis() -> None:
    ReplayMembers.tell = _dies_before(ReplayMembers.tell)  # type: ignore[method-assign,assignment]


def after_redis() -> None:
    ReplayMembers.tell = _dies_after(ReplayMembers.tell)  # type: ignore[method-assign,assignment]


FAILPOINTS = (
    while_it_counts,
    before_the_page_is_written,
    before_its_commit,
    between_commit_and_redis,
    after_redis,
)

if __name__ == "__main__":
    turn_small_pages()
    {failpoint.__name__: failpoint for failpoint in FAILPOINTS}[os.environ[FAILPOINT]]()
    arq.main(args=["worker_settings.WorkerSettings"], prog_name="arq")
