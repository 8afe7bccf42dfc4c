import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import (
    BaseModel,
)

from jobs import Context, ThreadContext, job
from tests.jobs.kit.declaring import GreetArgs, greet, plain, refusal


class Later(BaseModel):
    at: "NotDefinedAnywhere"  # type: ignore[name-defined]  # noqa: F821 - what is tested


async def of_later(ctx: Context, args: Later) -> None: ...


async def of_nowhere(ctx: Context, args: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def returns_nowhere(name: str) -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821 - what is tested


async def on_the_loop(name: str, ctx: ThreadContext | None = None) -> None: ...


async def gives_a_lock(ctx: Context, args: GreetArgs) -> threading.Lock:
    return threading.Lock()


async def yields(ctx: Context, args: GreetArgs) -> AsyncIterator[int]:
    yield 1


def yields_in_a_thread(name: str) -> Iterator[int]:
    yield 1


class AClass:
    async def __call__(self, ctx: Context, args: GreetArgs) -> None: ...


async def untyped(ctx, args): ...  # type: ignore[no-untyped-def]  # what is tested


async def untyped_beside(ctx: Context, name) -> None: ...  # type: ignore[no-untyped-def]  # what is tested


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (untyped, "parameter 'ctx' of untyped() has no annotation: write `ctx: Context`"),
        (untyped_beside, "parameter 'name' of untyped_beside() has no annotation: callers could not know what to send"),
    ],
)
def test_a_function_that_cannot_be_a_kind_is_refused_with_its_file_and_the_reason(function: Any, reason: str) -> None:
    message = refusal(function)
    assert message.startswith("tests/jobs/kit/test_signature.py: kind 'bad': ")
    assert reason in message


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (of_later, "args Later are not a complete model"),
        (
            of_nowhere,
            "its annotations cannot be read (NameError: name 'Nowhere' is not defined): parameter 'args' of"
            " of_nowhere(); what it names must be imported at run time",
        ),
        (returns_nowhere, ": the result of returns_nowhere(); what it names"),
        (on_the_loop, "on_the_loop() is an `async def`, which runs on the loop: annotate its context as `Context`"),
        (gives_a_lock, "what it returns cannot be written as JSON"),
        (yields, "the function has a `yield`"),
        (yields_in_a_thread, "the function has a `yield`"),
        (AClass, "it decorates a class"),
        (AClass(), "it decorates a AClass"),
        (functools.partial(plain), "it decorates a partial"),
        (staticmethod(plain), "it decorates a staticmethod"),
        (greet, "the function is already the kind 'greet'"),
        ("text", "it decorates a str"),
    ],
)
def test_a_function_that_no_job_could_run_is_refused_at_declaration(function: Any, reason: str) -> None:
    message = refusal(function)
    assert ": kind 'bad': " in message
    assert reason in message
    assert "\n" not in message


async def named_alike(ctx: Context, args: GreetArgs) -> None: ...


first = job("first")(named_alike)


def test_a_second_kind_on_a_function_of_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "named_alike", first)

    async def again(ctx: Context, args: GreetArgs) -> None: ...

    again.__name__ = again.__qualname__ = "named_alike"
    assert "the name of another kind's function, `named_alike` of 'first'" in refusal(again)


def test_a_module_that_is_read_again_may_declare_its_kinds_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "named_alike", first)
    assert job("first")(first.function).name == "first"
