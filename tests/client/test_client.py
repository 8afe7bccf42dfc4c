"""The client for threads does all that the client for asyncio does, and is shared by threads and forked processes."""

import asyncio
import inspect
import multiprocessing
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from postlude import AsyncClient, Client, Job, NewJob, WaitTimedOut
from postlude.models import Event
from postlude.problems import ArgsInvalid

from tests.client.conftest import InThreads

LONG_S = 60.0


def public(of: type) -> dict[str, Any]:
    return {name: one for name, one in vars(of).items() if not name.startswith("_") or name == "__init__"}


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    mine, other = public(Client), public(AsyncClient)
    assert list(mine) == list(other)
    for name in mine:
        a, b = inspect.signature(mine[name]), inspect.signature(other[name])
        assert str(a).replace("Iterator", "").partition(" -> ")[0] == str(b).partition(" -> ")[0].replace(
            "AsyncBaseTransport", "BaseTransport"
        )
        if name != "close":
            assert mine[name].__doc__ == other[name].__doc__


async def test_a_job_from_its_enqueue_to_its_end(threaded: InThreads, working: None) -> None:
    def journey(client: Client) -> None:
        job = client.enqueue("note", {"text": "x"}, tags=["mine"])
        assert client.wait(job, timeout=LONG_S).result == "x"
        assert [one.id for one in client.list(tag="mine")] == [job.id] == [client.get(job).id]
        late = client.enqueue("note", {"text": "y"}, delay=3600)
        assert client.change(late, priority=1).priority == 1
        with pytest.raises(WaitTimedOut):
            client.wait(late, timeout=0.2)
        assert client.run_now(late).state in ("queued", "running", "succeeded")
        assert client.wait(late, timeout=LONG_S).state == "succeeded"
        failed = client.wait(client.enqueue("fail"), timeout=LONG_S)
        assert client.replay(failed).id == failed.id
        assert client.wait(failed, timeout=LONG_S).attempt == 2
        assert client.replay_many(kind="fail").replayed == 1
        cancelled = client.cancel(client.enqueue("note", {"text": "z"}, delay=3600))
        assert cancelled.state == "cancelled"

    await threaded(journey)


async def test_many_jobs_a_flow_and_events(threaded: InThreads, working: None) -> None:
    def journey(client: Client) -> list[Event]:
        assert len(client.enqueue_many(NewJob("note", {"text": str(number)}) for number in range(3))) == 3
        with pytest.raises(ArgsInvalid) as refused:
            client.enqueue_many([NewJob("note")])
        assert refused.value.accepted == 0
        flow = client.flow({"a": NewJob("note", {"text": "a"}), "b": NewJob("note", {"text": "b"}, after=["a"])})
        assert client.wait(flow.jobs["b"], timeout=LONG_S).state == "succeeded"
        return list(client.events(client.enqueue("hold", {"seconds": 0.2}, delay=0.3)))

    states = [getattr(event, "state", "progress") for event in await threaded(journey)]
    assert states[-3:] == ["running", "progress", "succeeded"]


async def test_one_client_serves_many_threads_at_once(url: str) -> None:
    client = Client(url)
    barrier = threading.Barrier(16)

    def enqueue(number: int) -> list[str]:
        barrier.wait()  # all of them open the first connection
        return [client.enqueue("note", {"text": f"{number} {one}"}).id for one in range(10)]

    with ThreadPoolExecutor(16) as threads:
        loop = asyncio.get_running_loop()
        ids = await asyncio.gather(*(loop.run_in_executor(threads, enqueue, number) for number in range(16)))
        listed = await loop.run_in_executor(threads, lambda: {job.id for job in client.list()})
    assert listed == {one for some in ids for one in some}
    assert len(listed) == 160


def in_child(client: Client, ids: Any) -> None:
    ids.put([client.enqueue("note", {"text": "child"}).id for _ in range(20)])


# Python warns of a fork beside threads, which servers such as gunicorn do all the same.
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
async def test_forked_processes_use_connections_and_ids_of_their_own(url: str) -> None:
    client = Client(url)
    context = multiprocessing.get_context("fork")
    ids = context.Queue()

    def enqueue() -> list[list[str]]:
        mine = [client.enqueue("note", {"text": "parent"}).id]
        children = [context.Process(target=in_child, args=(client, ids)) for _ in range(3)]
        for child in children:
            child.start()
        mine += [client.enqueue("note", {"text": "parent"}).id for _ in range(20)]
        theirs = [ids.get(timeout=LONG_S) for _ in children]
        for child in children:
            child.join()
        assert [job.state for job in client.list()], "the parent's connections are as they were"
        return [mine, *theirs]

    enqueued = [one for some in await asyncio.to_thread(enqueue) for one in some]
    assert len(set(enqueued)) == 81
    client.close()


async def test_a_closed_client_opens_anew(url: str) -> None:
    async def twice(use: Callable[[], Coroutine[Any, Any, Job]], close: Callable[[], Any]) -> None:
        for _ in range(2):
            assert (await use()).kind == "note"
            closed = close()
            if inspect.isawaitable(closed):
                await closed

    client, other = Client(url), AsyncClient(url)
    await twice(lambda: asyncio.to_thread(client.enqueue, "note", {"text": "x"}), client.close)
    await twice(lambda: other.enqueue("note", {"text": "x"}), other.close)
