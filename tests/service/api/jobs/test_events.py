"""A job's events: every change, in order, once, also over a lost connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import update

from service.api.jobs import events as events_module
from service.api.jobs import watchtower as watchtower_module
from service.attempt_lines import KeptLine, KeptLines
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.records.log_lines import record_log_lines
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import assert_problem, begin, but_for_waiting, end, get, job_in, on_sqlite, post
from tests.service.ledger.makers import NOW
from tests.support.proxy import proxying
from tests.support.running import eventually, running_api
from tests.support.servers import PostgresServer
from tests.support.writing import writing

FAR_S = 20


class Event(NamedTuple):
    id: str
    name: str
    data: dict[str, Any]


class Stream:
    """Reads events off a response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments: list[str] = []

    async def next(self) -> Event | None:
        """Return the next event, None at the end; not being told anything for long is a failure."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(FAR_S):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    return Event(fields["id"], fields["event"], json.loads(fields["data"]))
        assert not fields
        return None

    async def tell(self) -> Event:
        """Return the next event; there must be one."""
        event = await self.next()
        assert event is not None
        return event

    async def rest(self) -> list[Event]:
        found = []
        while event := await self.next():
            found.append(event)
        return found


@asynccontextmanager
async def watching(
    api: httpx.AsyncClient, job: dict[str, Any], last: str | None = None, **query: str
) -> AsyncIterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with api.stream("GET", f"/v1/jobs/{job['id']}/events", headers=headers, params=query) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


def shown(event: Event) -> str:
    return str(event.data["state"]) if event.name == "state" else f"{event.data['done']}/{event.data['total']}"


async def begin_early(ledger: Ledger, job: dict[str, Any]) -> Started:
    """Begin an attempt of a job that was to wait, as if its time had come."""
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(run_at=jobs.c.created_at))
    return await begin(ledger, job)


async def test_stream_shows_the_state_and_every_change_to_the_end(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await post(api, delay=3600)
    async with watching(api, job) as stream:
        assert shown(await stream.tell()) == "scheduled"
        started = await begin_early(ledger, job)
        assert shown(await stream.tell()) == "running"
        for done in (1, 2):
            await ledger.progress(job["id"], 1, done, 9)
            assert shown(await stream.tell()) == f"{done}/9"
        await end(ledger, started, Outcome.FAILED, State.RETRYING)
        waits = await stream.tell()
        assert shown(waits) == "retrying"
        assert waits.data["outcome"] == "failed"
        assert waits.data["error"] == {"type": "ValueError", "message": "no luck"}
        await end(ledger, await begin_early(ledger, job), Outcome.SUCCEEDED, State.SUCCEEDED)
        last = await stream.rest()
    assert [shown(event) for event in last] == ["running", "succeeded"]  # both, though they fell between two looks
    assert last[-1].data["result"] == {"counted": True}


async def test_a_reader_that_was_cut_off_gets_what_it_missed_and_nothing_twice(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await post(api)
    started = await begin(ledger, job)
    async with watching(api, job) as stream:
        running = await stream.tell()
        await ledger.progress(job["id"], 1, 5, None)
        progress = await stream.tell()
    assert (shown(running), shown(progress)) == ("running", "5/None")
    await end(ledger, started, Outcome.FAILED, State.RETRYING)
    await end(ledger, await begin_early(ledger, job), Outcome.SUCCEEDED, State.SUCCEEDED)
    async with watching(api, job, last=running.id) as stream:
        missed = await stream.rest()
    async with watching(api, job, last=missed[0].id) as stream:
        assert await stream.rest() == missed[1:]
    assert [shown(event) for event in missed] == ["retrying", "running", "succeeded"]
    async with watching(api, job) as stream:  # a new reader gets the present state
        assert await stream.rest() == missed[-1:]


async def test_progress_that_was_seen_is_not_sent_again(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await post(api)
    started = await begin(ledger, job)
    await ledger.progress(job["id"], 1, 5, 10)
    async with watching(api, job) as stream:
        events = [await stream.tell(), await stream.tell()]
    assert [shown(event) for event in events] == ["running", "5/10"]
    async with watching(api, job, last=events[1].id) as stream:
        await ledger.progress(job["id"], 1, 10, 10)
        assert shown(await stream.tell()) == "10/10"
        await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
        assert [shown(event) for event in await stream.rest()] == ["succeeded"]


@on_sqlite
async def test_a_reader_that_has_seen_the_end_gets_204_until_the_job_is_replayed(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await job_in(api, ledger, State.FAILED)
    async with watching(api, job) as stream:
        (ended,) = await stream.rest()
    again = await api.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": ended.id})
    assert (again.status_code, again.content) == (204, b"")
    await api.post(f"/v1/jobs/{job['id']}/replay")
    async with watching(api, job, last=ended.id) as stream:
        assert shown(await stream.tell()) == "queued"
        await api.post(f"/v1/jobs/{job['id']}/cancel")
        (ended,) = await stream.rest()
    assert shown(ended) == "cancelled"


@on_sqlite
async def test_what_cannot_be_watched_is_refused_before_it_streams(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get("/v1/jobs/none/events"), 404)
    job = await post(api)
    for strange in ("x", "1", "1.2", "1.2.3.4.5.6", "-1.0.0", "1..2", "9" * 40 + ".0.0"):
        answer = await api.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": strange})
        assert_problem(answer, 422)


@on_sqlite
async def test_a_comment_keeps_an_idle_stream_alive(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_HEARTBEAT_S", 0.05)
    job = await post(api)
    async with watching(api, job) as stream:
        await stream.tell()

        async def beats() -> bool:
            return len(stream.comments) >= 3

        reading = asyncio.create_task(stream.tell())
        await eventually(beats)
        await api.post(f"/v1/jobs/{job['id']}/cancel")
        assert shown(await reading) == "cancelled"


@on_sqlite
async def test_watchers_are_bounded_and_one_that_goes_makes_room(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchtower_module.Watchtower.__init__, "__kwdefaults__", {"max_watches": 3})
    async with running_api(settings) as api:
        job = await post(api)
        waiting = asyncio.create_task(api.get(f"/v1/jobs/{job['id']}", params={"wait": 30}))
        async with watching(api, job) as one, watching(api, job) as other:
            await one.tell()
            await other.tell()

            async def refused() -> httpx.Response | None:
                answer = await api.get(f"/v1/jobs/{job['id']}", params={"wait": 0.01})
                return answer if answer.status_code == 503 else None

            full = await eventually(refused)
            assert full is not None
            assert_problem(full, 503)
            assert full.headers["retry-after"]
            assert_problem(await api.get(f"/v1/jobs/{job['id']}/events"), 503)
            assert but_for_waiting(await get(api, job["id"])) == but_for_waiting(job)  # who does not wait is answered

        async def room() -> bool:
            return (await api.get(f"/v1/jobs/{job['id']}", params={"wait": 0.01})).status_code == 200

        await eventually(room)
        await api.post(f"/v1/jobs/{job['id']}/cancel")
        assert (await waiting).json()["state"] == "cancelled"


@on_sqlite
async def test_everybody_who_waits_is_told(api: httpx.AsyncClient, ledger: Ledger) -> None:
    posted = await asyncio.gather(*(post(api, tags=[str(number)]) for number in range(50)))
    wait: dict[str, Any] = {"params": {"wait": 60}, "timeout": 90}
    waiting = [asyncio.create_task(api.get(f"/v1/jobs/{job['id']}", **wait)) for job in posted]
    await asyncio.gather(*(api.post(f"/v1/jobs/{job['id']}/cancel") for job in posted))
    async with asyncio.timeout(FAR_S):
        ended = await asyncio.gather(*waiting)
    assert {answer.json()["state"] for answer in ended} == {"cancelled"}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_stream_outlives_a_database_that_goes_away_and_comes_back(
    settings: Settings, postgres: PostgresServer, ledger: Ledger
) -> None:
    name = settings.sqlalchemy_url.partition("@/")[2].partition("?")[0]
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}"
        async with running_api(settings.model_copy(update={"database_url": url})) as api:
            job = await post(api)
            async with watching(api, job) as stream:
                assert shown(await stream.tell()) == "queued"
                waiting = asyncio.create_task(api.get(f"/v1/jobs/{job['id']}", params={"wait": 30}))
                await asyncio.sleep(0.1)
                proxy.refuse()
                proxy.reset()
                assert_problem(await waiting, 503)
                await begin(ledger, job)
                await proxy.start()
                assert shown(await stream.tell()) == "running"


async def test_who_asks_for_the_log_gets_each_line_once_and_before_the_end(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    async def logs(job_id: str, *numbers: int) -> None:
        lines = [KeptLine(n, NOW, "info", f"line {n}", None) for n in numbers]
        await ledger.database.run(partial(record_log_lines, kept=[KeptLines(job_id, 1, lines)]))

    job = await post(api)
    started = await begin(ledger, job)
    await logs(started.id, 1, 2)
    async with watching(api, job, log="true") as stream:
        assert (await stream.tell()).data["state"] == "running"
        assert [(await stream.tell()).data["text"] for _ in range(2)] == ["line 1", "line 2"]
        await logs(started.id, 3, 104)
        three, late = await stream.tell(), await stream.tell()
        assert (three.name, three.data["left_out"], late.data["left_out"]) == ("log", 0, 100)
    await logs(started.id, 105)
    async with watching(api, job, three.id, log="true") as stream:
        assert [(await stream.tell()).data["number"] for _ in range(2)] == [104, 105]
        await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
        await logs(started.id, 106)
        assert [(one.name, one.data.get("number")) for one in await stream.rest()] == [("log", 106), ("state", None)]
    async with watching(api, job, log="true") as stream:
        names = [one.name for one in await stream.rest()]
    assert names == ["log"] * 6 + ["state"]
    async with watching(api, job) as stream:
        assert [one.name for one in await stream.rest()] == ["state"], "nobody gets lines unasked"
