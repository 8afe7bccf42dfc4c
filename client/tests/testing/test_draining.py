import asyncio
import threading
from collections.abc import Iterator

import pytest
from client.tests.testing.adding import add

from postlude.testing import drain, enqueued

pytestmark = pytest.mark.postlude("held")
ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    yield
    ran.clear()


def add_step(step: str) -> None:
    async def run() -> None:
        await asyncio.sleep(0)
        ran.append(step)

    add("app.step", run, step=step)


def test_held_tasks_run_in_order_when_drained_and_once() -> None:
    for step in ("one", "two", "three"):
        add_step(step)
    assert ran == []
    for _ in range(2):
        drain()
        assert ran == ["one", "two", "three"]
    assert len(enqueued()) == 3


async def test_drain_is_awaited_on_a_loop() -> None:
    add_step("one")
    draining = drain()
    assert ran == []
    await draining
    assert ran == ["one"]


def test_what_a_task_adds_is_run_too() -> None:
    async def run() -> None:
        add_step("two")

    add("app.one", run)
    drain()
    assert ran == ["two"]


def test_first_error_is_raised_once_the_others_have_run() -> None:
    async def fail(reason: str) -> None:
        raise ValueError(reason)

    add("app.fail", lambda: fail("first"))
    add_step("between")
    add("app.fail", lambda: fail("second"))
    with pytest.raises(ValueError, match="first"):
        drain()
    assert ran == ["between"]
    drain()


@pytest.mark.postlude("inline")
def test_nothing_is_held_inline() -> None:
    add_step("one")
    drain()
    assert ran == []


def test_task_runs_on_the_loop_of_its_request_while_that_runs() -> None:
    """As `with TestClient(app)` keeps one running in a thread, to which the app's connections belong."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def request() -> None:
        async def run() -> None:
            loops.append(asyncio.get_running_loop())

        add("app.step", run)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(request(), loop).result()
    drain()
    asyncio.run_coroutine_threadsafe(request(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    drain()
    loop.close()
    assert loops[0] is loop
    assert loops[1] is not loop
