"""A worker that dies as if by `kill -9` at the point FAILPOINT names, around a finish that is followed up.

It follows up few edges at a time, so that a flow of a dozen jobs needs several followups.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from signal import SIGKILL
from typing import Any

from arq.cli import cli as arq

from service.ledger.records import decided, ended, finished
from service.lifecycle import following
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.worker.claiming.waiting import Waiting
from service.worker.performing.attempt import Performer

FAILPOINT = "FAULTS_FAILPOINT"
MOST_EDGES = 4
Coroutine = Callable[..., Awaitable[Any]]


def _die(*_args: Any, **_options: Any) -> None:
    os.kill(os.getpid(), SIGKILL)


def _dies_after(real: Callable[..., Any]) -> Callable[..., Any]:
    def died(*args: Any, **options: Any) -> None:
        real(*args, **options)
        _die()

    return died


def _dies_when_done(real: Coroutine) -> Coroutine:
    async def died(*args: Any, **options: Any) -> None:
        await real(*args, **options)
        _die()

    return died


def before_what_follows_is_recorded() -> None:
    vars(finished)["record_ended"] = _die


def between_children_and_callbacks() -> None:
    vars(ended)["call_back_jobs"] = _die


def before_the_commit() -> None:
    vars(finished)["record_ended"] = _dies_after(vars(finished)["record_ended"])


def between_commit_and_dispatch() -> None:
    Following.carry_on = _die  # type: ignore[method-assign]


def between_a_handover_and_its_attempts() -> None:
    Waiting.is_idle = property(lambda _waiting: True)  # type: ignore[method-assign,assignment]
    real = Performer.begin

    def begin(performer: Performer, started: Any, on_finished: Any, *, has_slot: bool = False) -> None:
        if has_slot:
            _die()
        real(performer, started, on_finished)

    Performer.begin = begin  # type: ignore[method-assign,assignment]


def before_the_first_followup() -> None:
    vars(following)["record_followups"] = _die


def within_a_followup() -> None:
    vars(following)["record_followups"] = _dies_after(vars(following)["record_followups"])


def between_a_followup_and_its_dispatch() -> None:
    put = Dispatcher.put_released

    async def put_what_came_with_the_end(dispatcher: Dispatcher, released: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if task.get_name() != "dispatch-released":
            _die()
        await put(dispatcher, released)

    Dispatcher.put_released = put_what_came_with_the_end  # type: ignore[method-assign,assignment]


def between_followups() -> None:
    real, calls = vars(following)["record_followups"], itertools.count(1)

    def followed(*args: Any, **options: Any) -> Any:
        if next(calls) == 2:
            _die()
        return real(*args, **options)

    vars(following)["record_followups"] = followed


def after_the_followups() -> None:
    Following.follow_up_for = _dies_when_done(Following.follow_up_for)  # type: ignore[method-assign,assignment]


FAILPOINTS = (
    before_what_follows_is_recorded,
    between_children_and_callbacks,
    before_the_commit,
    between_commit_and_dispatch,
    between_a_handover_and_its_attempts,
    before_the_first_followup,
    within_a_followup,
    between_a_followup_and_its_dispatch,
    between_followups,
    after_the_followups,
)

if __name__ == "__main__":
    vars(decided)["MOST_EDGES"] = MOST_EDGES
    {failpoint.__name__: failpoint for failpoint in FAILPOINTS}[os.environ[FAILPOINT]]()
    arq.main(args=["worker_settings.WorkerSettings"], prog_name="arq")
