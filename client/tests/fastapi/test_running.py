"""Functions run as the app would run them."""

from collections.abc import Iterator
from typing import Any

import pytest
from client.tests.fastapi import functions
from client.tests.fastapi.functions import context, ran
from client.tests.fastapi.service import Service, connected
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from postlude import mode
from postlude.calling.arguments import ArgumentsUnfit
from postlude.calling.call import Call
from postlude.fastapi import Postlude
from postlude.fastapi.running import FunctionUnknown, run_task
from postlude.mode import Mode

HERE = "client.tests.fastapi.functions"


@pytest.fixture(autouse=True)
def app() -> FastAPI:
    ran.clear()
    mode.force(Mode.INLINE)
    return FastAPI(title="shop")


async def run(app: Any, name: str, **arguments: Any) -> Any:
    return await run_task(app, Call(f"{HERE}.{name}", arguments))


async def test_async_function_runs_on_the_loop_and_def_in_a_thread(app: FastAPI) -> None:
    assert await run(app, "send", to="ann") == "sent to ann"
    await run(app, "write", line="x")
    assert ran == [("send", "ann", "hello"), ("write", "x", False)]


async def test_thread_sees_the_context(app: FastAPI) -> None:
    context.set("of the caller")
    seen: list[str] = []
    function = lambda: seen.append(context.get())  # noqa: E731
    await run_task(app, Call("x", {}), function=function)
    assert seen == ["of the caller"]


async def test_dependencies_are_solved_afresh(app: FastAPI) -> None:
    assert await run(app, "with_session", to="ann") == "user of session of shop"
    assert ran == ["session opened", ("ann", "user of session of shop"), "committed"]
    assert await run(app, "with_session_in_thread") == "user of session of shop False"


async def test_dependencies_that_yield_see_the_error(app: FastAPI) -> None:
    with pytest.raises(ValueError, match="no"):
        await run(app, "with_session", to="ann", fails=True)
    assert ran[-1] == "rolled back"


async def test_error_of_a_commit_is_the_error_of_the_task(app: FastAPI) -> None:
    def broken() -> Iterator[str]:
        yield "broken"
        raise OSError("disk full")

    app.dependency_overrides[functions.session] = broken
    with pytest.raises(OSError, match="disk full"):
        await run(app, "with_session", to="ann")


async def test_overrides_of_the_app_hold(app: FastAPI) -> None:
    app.dependency_overrides[functions.session] = lambda: "a fake"
    assert await run(app, "with_session", to="ann") == "user of a fake"
    app.dependency_overrides[functions.current_user] = lambda: "nobody"
    assert await run(app, "with_session", to="ann") == "nobody"


async def test_what_the_caller_passed_is_not_solved(app: FastAPI) -> None:
    assert await run(app, "with_session", to="ann", user="bob") == "bob"
    assert ran == [("ann", "bob")]


async def test_dependency_on_the_request_that_is_over_fails_by_name(app: FastAPI) -> None:
    with pytest.raises(RequestValidationError) as raised:
        await run(app, "needs_token")
    assert "x-token" in str(raised.value.errors())


async def test_task_may_add_tasks(app: FastAPI) -> None:
    await run(app, "adds_more", to="ann")
    assert ran == [("send", "ann", "more")]


@pytest.mark.postlude("send")
async def test_tasks_of_a_task_are_enqueued(app: FastAPI, service: Service) -> None:
    mode.force(None)
    postlude = Postlude(app)
    connected(postlude).serves({"server": ("127.0.0.1", 8000)})
    await run(app, "adds_more", to="ann")
    assert service.called == ["send"]


async def test_function_that_is_gone_is_told(app: FastAPI) -> None:
    with pytest.raises(FunctionUnknown, match="there is no function"):
        await run(app, "gone")
    with pytest.raises(ArgumentsUnfit):
        await run(app, "send")


async def test_function_needs_no_app() -> None:
    assert await run(None, "send", to="ann") == "sent to ann"
