"""Hooks: entered in the order of the features, left in reverse, and free where there are none."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs import Context
from service.hooks import AttemptHook, EnqueueHook, Hooks, RequestHook
from service.ledger.models import NewJob, Started
from tests.service.ledger.makers import new_job
from tests.support.fakes import fake_context

STARTED = cast(Started, None)  # hooks hand it on as it is


@pytest.fixture
def told() -> list[str]:
    return []


@contextmanager
def noted(told: list[str], name: str) -> Iterator[None]:
    told.append(f"{name} enters")
    yield
    told.append(f"{name} leaves")


def attempt_hook(told: list[str], name: str) -> AttemptHook:
    @asynccontextmanager
    async def hook(_started: Started, _context: Context) -> AsyncIterator[None]:
        with noted(told, name):
            yield

    return hook


def tagging(told: list[str], name: str) -> EnqueueHook:
    """Make a hook that gives each job a tag."""

    @asynccontextmanager
    async def hook(jobs: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
        with noted(told, name):
            yield [replace(job, tags=(*job.tags, name)) for job in jobs]

    return hook


def request_hook(told: list[str], name: str) -> RequestHook:
    def wrap(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            with noted(told, name):
                await app(scope, receive, send)

        return wrapped

    return wrap


IN_ORDER = ["a enters", "b enters", "b leaves", "a leaves"]


async def test_hooks_of_attempts_are_entered_in_order_and_left_in_reverse(told: list[str]) -> None:
    hooks = Hooks.joined([Hooks(attempts=(attempt_hook(told, "a"),)), Hooks(attempts=(attempt_hook(told, "b"),))])
    async with hooks.around_attempt(STARTED, fake_context()):
        pass
    assert told == IN_ORDER


async def test_what_a_kind_raises_passes_through_its_hooks(told: list[str]) -> None:
    hooks = Hooks(attempts=(attempt_hook(told, "a"), attempt_hook(told, "b")))
    with pytest.raises(LookupError, match="from the kind"):
        async with hooks.around_attempt(STARTED, fake_context()):
            raise LookupError("from the kind")
    assert told == ["a enters", "b enters"]


async def test_each_hook_of_an_enqueue_is_given_what_the_one_before_it_made_of_the_jobs(told: list[str]) -> None:
    hooks = Hooks(enqueues=(tagging(told, "a"), tagging(told, "b")))
    async with hooks.around_enqueue([new_job()]) as jobs:
        assert [job.tags for job in jobs] == [("a", "b")]
    assert told == IN_ORDER


async def test_the_first_hook_of_requests_is_outermost(told: list[str]) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None: ...

    hooks = Hooks(requests=(request_hook(told, "a"), request_hook(told, "b")))
    nothing: Any = None
    await hooks.around_requests(app)({}, nothing, nothing)
    assert told == IN_ORDER


async def test_without_hooks_everything_is_handed_on_as_it_is() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None: ...

    jobs = [new_job()]
    assert Hooks().around_requests(app) is app
    async with Hooks().around_enqueue(jobs) as recorded:
        assert recorded is jobs
