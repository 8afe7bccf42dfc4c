"""What `add_task` takes, and what its options become."""

import asyncio
from typing import Any

import fastapi
import pytest
from client.tests.fastapi import functions
from client.tests.fastapi.functions import fail, ran, send, write
from client.tests.fastapi.service import Service, connected
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from postlude import mode
from postlude.errors import PostludeError
from postlude.fastapi import BackgroundTasks, CannotTravel, Postlude, Tasks
from postlude.mode import Added, Mode
from postlude.policy import task

pytestmark = pytest.mark.postlude("send")


@task(timeout=30, max_attempts=2, retry={"base": 1}, lane={"key": "mail", "concurrency": 1})
async def patient(to: str) -> None: ...


@task(unique=True)
def once(to: str, how: str = "mail") -> None: ...


@task(unique=lambda to, how="mail": f"{to} by {how}")
def once_each(to: str, how: str = "mail") -> None: ...


@task(name="shop.letters")
def renamed() -> None: ...


@pytest.fixture
def home(service: Service) -> Postlude:
    ran.clear()
    postlude = Postlude(FastAPI())
    connected(postlude).serves({"server": ("127.0.0.1", 8000)})
    return postlude


def test_alias_makes_tasks_by_hand() -> None:
    mode.force(Mode.LOCAL)
    tasks = BackgroundTasks()
    assert isinstance(tasks, Tasks)
    assert isinstance(tasks, BackgroundTask)


async def test_policy_becomes_options_of_the_job(home: Postlude, service: Service) -> None:
    for function in (patient, once, once_each):
        tasks = BackgroundTasks()
        tasks.add_task(function, "ann")
        await tasks()
    first, second, third = service.jobs
    options = {name: value for name, value in first.items() if name not in ("id", "kind", "args")}
    assert options == {
        "timeout": 30,
        "max_attempts": 2,
        "retry": {"base": 1},
        "lane": {"key": "mail", "concurrency": 1},
    }
    here = "fastapi.client.tests.fastapi.test_tasks"
    assert second["unique_key"].startswith(f"{here}.once:")
    assert third["unique_key"] == f"{here}.once_each:ann by mail"


async def test_unique_tasks_are_the_same_for_the_same_arguments(home: Postlude, service: Service) -> None:
    tasks = BackgroundTasks()
    tasks.add_task(once, "ann")
    tasks.add_task(once, to="ann")
    tasks.add_task(once, "bob")
    await tasks()
    keys = [job["unique_key"] for job in service.jobs]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("text", ["ann", "a" * 1000], ids=["short", "long"])
async def test_unique_task_is_not_that_of_another_app(service: Service, text: str) -> None:
    for name in ("shop", "other"):
        Postlude(FastAPI(), name=name, url=f"http://{name}.internal")
        tasks = BackgroundTasks()
        tasks.add_task(once_each, text)
        await tasks()
    first, second = (job["unique_key"] for job in service.jobs)
    assert first != second
    assert len(first) <= 255


async def test_task_travels_by_the_name_that_it_was_given(home: Postlude, service: Service) -> None:
    tasks = BackgroundTasks()
    tasks.add_task(renamed)
    await tasks()
    assert service.jobs[0]["args"]["function"] == "shop.letters"


async def test_handle_has_the_id_of_the_job_that_stands_for_it(home: Postlude, service: Service) -> None:
    held = {"id": "of the job that holds the key", "kind": "call_app", "args": {}, "state": "queued"}
    service.answers["/v1/jobs"] = JSONResponse(held)
    tasks = BackgroundTasks()
    handle = tasks.add_task(once, "ann")
    await tasks()
    assert handle.id == "of the job that holds the key"


def test_what_cannot_travel_is_refused_at_the_call(home: Postlude) -> None:
    tasks = BackgroundTasks()
    with pytest.raises(CannotTravel, match="a lambda or a local function"):
        tasks.add_task(lambda: None)
    with pytest.raises(TypeError, match=r"send\(\) missing a required argument: 'to'"):
        tasks.add_task(send)  # type: ignore[call-arg]
    assert tasks.tasks == []


def test_tasks_are_listed_as_by_the_class_of_fastapi(home: Postlude) -> None:
    tasks = BackgroundTasks()
    tasks.add_task(send, "ann", subject="x")
    [added] = tasks.tasks
    assert (added.func, added.args, added.kwargs) == (send, ("ann",), {"subject": "x"})


async def test_without_a_service_anything_is_taken() -> None:
    mode.force(Mode.LOCAL)
    ran.clear()
    tasks = BackgroundTasks([BackgroundTask(write, "x")])
    assert tasks.add_task(lambda: ran.append("lambda")).id is None
    await tasks()
    assert ran == [("write", "x", False), "lambda"]


async def test_inline_all_run_and_the_first_error_is_raised() -> None:
    mode.force(Mode.INLINE)
    ran.clear()
    tasks = BackgroundTasks()
    tasks.add_task(fail, "first")
    tasks.add_task(fail, "second")
    tasks.add_task(send, "ann")
    with pytest.raises(ValueError, match="first"):
        await tasks()
    assert ran == [("fail", "first"), ("fail", "second"), ("send", "ann", "hello")]


async def test_held_tasks_are_told_with_their_values_and_run_later() -> None:
    told: list[Added] = []
    mode.force(Mode.HELD, told.append)
    ran.clear()
    tasks = BackgroundTasks()
    handle = tasks.add_task(send, "ann", subject="x")
    await tasks()
    [added] = told
    assert (added.id, added.function, added.arguments) == (
        handle.id,
        f"{functions.__name__}.send",
        {"to": "ann", "subject": "x"},
    )
    assert ran == []
    assert await added.run() == "sent to ann"


async def test_tasks_that_were_not_enqueued_are_enqueued_when_awaited_again(home: Postlude, service: Service) -> None:
    service.answers["/v1/jobs"] = Response(status_code=404)
    tasks = BackgroundTasks()
    tasks.add_task(send, "ann")
    with pytest.raises(PostludeError):
        await tasks()
    service.answers.clear()
    await tasks()
    await tasks()
    assert service.called == ["send"]


async def test_tasks_are_added_from_many_threads(home: Postlude, service: Service) -> None:
    tasks = BackgroundTasks()
    await asyncio.gather(*(asyncio.to_thread(tasks.add_task, send, str(n)) for n in range(100)))
    await tasks()
    assert {job["args"]["arguments"]["to"] for job in service.jobs} == {str(n) for n in range(100)}


async def test_values_are_those_of_the_call(home: Postlude, service: Service) -> None:
    values: list[Any] = ["before"]
    tasks = BackgroundTasks()
    tasks.add_task(functions.result_of, values)
    values.append("after")
    await tasks()
    assert service.jobs[0]["args"]["arguments"] == {"value": ["before"]}


def test_are_taken_by_packages_that_know_fastapi_only() -> None:
    assert isinstance(BackgroundTasks(), fastapi.BackgroundTasks)
    assert isinstance(fastapi.BackgroundTasks(), BackgroundTasks)
    assert isinstance(BackgroundTasks(), Tasks)
