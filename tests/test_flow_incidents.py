"""What broke elsewhere about callbacks, flows and actions on many jobs, each as what must hold here."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import select

from jobs import Context, job
from service.flow_tables import callback_jobs
from service.ledger.callbacks import Template
from service.ledger.ledger import Ledger
from service.ledger.models import Callback, Event, NewJob
from service.ledger.operations import NewOperation
from service.ledger.records import decided
from service.ledger.records.followups import record_followups
from service.ledger.records.operations import record_operation
from service.lifecycle.following import Following
from service.lifecycle.new_job import new_job
from service.lifecycle.operations.deeds import ReplayMembers
from service.options import Options
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import SECRET, on_sqlite, webhook
from tests.service.worker.desk import Desk, open_desk
from tests.support.many_jobs import make_jobs, states_of
from tests.support.operating import done_by, running_operator, told
from tests.support.running import catalogue_of, eventually, running_api, running_worker
from tests.support.worker_process import registered, worker_process

EVENTS: tuple[Event, ...] = ("success", "failure", "end")
CALLED = Template("fall", "default", "{}", 1)


TOLD = replace(CALLED, told="data")


class Args(BaseModel):
    how: str = "stand"
    event: str = ""
    data: Any = None


class Unspeakable(Exception):
    """An error whose text cannot even be read."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@job("fall", max_attempts=1)
async def fall(_ctx: Context, args: Args) -> Any:
    if args.how == "unspeakable":
        raise Unspeakable
    if args.how == "unwritable":
        return object()
    if args.how.startswith("nest"):
        return json.loads("[" * int(args.how[5:]) + "]" * int(args.how[5:]))
    if args.how != "stand":
        raise ValueError(args.how)
    return None


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, fall) as opened:
        yield opened


def made(*after: NewJob, how: str = "stand", **fields: Any) -> NewJob:
    one = new_job(fall, Args(how=how), Options(), datetime.now(UTC))
    return replace(one, after=tuple(parent.id for parent in after), **fields)


def all_events(template: str) -> tuple[Callback, ...]:
    return tuple(Callback(event, template) for event in EVENTS)


async def called(desk: Desk, *owners: NewJob) -> Counter[tuple[str, str, str]]:
    """Count callbacks by owner, event and the state of their job."""
    found = select(callback_jobs.c.owner, callback_jobs.c.event, jobs.c.state).join(
        jobs, jobs.c.id == callback_jobs.c.job_id
    )
    async with desk.ledger.read() as connection:
        rows = await connection.execute(found.where(callback_jobs.c.owner.in_([one.id for one in owners])))
        return Counter((row.owner, row.event, row.state) for row in rows)


async def test_incident_callbacks_were_lost_or_late_and_were_reconciled_by_hand(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch, swept_at_once: None
) -> None:
    """knowhere 24: each end has its callbacks as soon as it can be seen, and they run though their writer is dead."""
    monkeypatch.setattr(Following, "carry_on", lambda *_args: None)
    owners = [made(how=how, callbacks=all_events(CALLED.to_json())) for how in ("stand", "fail") * 20]
    async with running_worker(settings, catalogue_of(fall)):
        await desk.lifecycle.enqueue(owners)
        expected = Counter[tuple[str, str]]()
        for owner in owners:
            state = (await desk.ended(owner.id))["state"]
            recorded = {(one, event) for one, event, _ in await called(desk, owner)}
            expected.update([(owner.id, "end"), (owner.id, _event_of(state))])
            assert len(recorded) == 2, "an end was seen before its callbacks"

        async def all_have_run() -> bool:
            found = await called(desk, *owners)
            return {state for _, _, state in found} == {"succeeded"}

        await eventually(all_have_run, 60)
    assert Counter((one, event) for one, event, _ in (await called(desk, *owners)).elements()) == expected


@pytest.mark.parametrize("how", ["unspeakable", "unwritable", "a zero: \0", "a lone surrogate: \ud800"])
async def test_incident_attempts_went_on_past_their_limit_after_an_error_in_the_failure_path(
    desk: Desk, settings: Settings, how: str
) -> None:
    """postal 1307: whatever fails while a failure is handled, the job ends, once, and calls back."""
    owner = made(callbacks=all_events(TOLD.to_json()), args=json.dumps({"how": how}))
    async with running_worker(settings, catalogue_of(fall)):
        await desk.lifecycle.enqueue([owner])
        row = await desk.ended(owner.id)
    assert (row["state"], row["attempt"]) == ("failed", 1)
    assert {event for _, event, _ in await called(desk, owner)} == {"failure", "end"}


@pytest.mark.parametrize("depth", [100, 199, 250])
async def test_incident_a_job_never_ended_whose_result_its_callback_could_not_read(
    desk: Desk, settings: Settings, depth: int
) -> None:
    """postal 1307: what is nested too deep to be read again is told as null."""
    owner = made(how=f"nest {depth}", callbacks=all_events(TOLD.to_json()))
    async with running_worker(settings, catalogue_of(fall)):
        await desk.lifecycle.enqueue([owner])
        state = (await desk.ended(owner.id))["state"]
    assert {event for _, event, _ in await called(desk, owner)} == {_event_of(state), "end"}


def _event_of(state: str) -> str:
    return "success" if state == "succeeded" else "failure"


async def test_incident_a_job_never_ended_whose_callback_a_newer_version_had_written(
    desk: Desk, settings: Settings
) -> None:
    """postal 1307, and any rolling deploy: what an older worker does not know of a callback does not keep jobs."""
    newer = json.dumps(json.loads(CALLED.to_json()) | {"colour": "red"})
    owner = made(callbacks=all_events(newer))
    async with running_worker(settings, catalogue_of(fall)):
        await desk.lifecycle.enqueue([owner])
        assert (await desk.ended(owner.id))["state"] == "succeeded"
    assert {event for _, event, _ in await called(desk, owner)} == {"success", "end"}


@on_sqlite
async def test_incident_bulk_retry_took_only_the_first_page(
    api: httpx.AsyncClient, ledger: Ledger, settings: Settings
) -> None:
    """convoy 260, riverui 54: an operation takes all that its filter matches."""
    members = await make_jobs(ledger, 3_210, state="scheduled")
    async with running_operator(settings):
        assert await done_by(api, "change", {"state": "scheduled"}, change={"priority": 3}) == told(3_210)
        assert await done_by(api, "cancel", {"state": "scheduled"}) == told(3_210)
    assert await states_of(ledger, members) == {"cancelled": 3_210}


@pytest.mark.parametrize("first_step", ["works", "fails"])
async def test_incident_settings_changed_before_a_resume_skipped_rows_and_a_first_step_that_failed_lost_the_cursor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, first_step: str
) -> None:
    """maintenance_tasks 796, 1033: whatever is changed between crash and resume, each member is dealt with once."""
    members = await make_jobs(desk.ledger, 97, kind="fall", args="{}", max_attempts=1)
    filter_ = '{"kind":"fall","state":["failed"]}'
    new = NewOperation("op", "replay", filter_, datetime.now(UTC) + timedelta(seconds=1))
    await desk.ledger.database.run(partial(record_operation, new=new, job=None, writer="w"))
    changed = iter([(7, None), (1, 1e6), (13, 1e3), (2, None), (40, 5e3), (5, 1e5), (1_000, None)])
    dealt: list[int] = []
    while (operation := await desk.lifecycle.operations.find("op")).is_live:
        page, rate = next(changed, (1_000, None))
        runner = desk.lifecycle.operations.runner(replace(operation, rate=rate), page=page)
        if first_step == "fails":
            with monkeypatch.context() as patch:
                patch.setattr(ReplayMembers, "prepare", _fail)
                with contextlib.suppress(RuntimeError):
                    await runner.run(operation, until=time.monotonic())
            operation = await desk.lifecycle.operations.find("op")
        before = operation.done
        dealt.append((await runner.run(operation, until=time.monotonic())).done - before)
    assert (operation.state, operation.done, operation.failed) == ("succeeded", 97, 0)
    assert len([one for one in dealt if one]) > 4
    assert await states_of(desk.ledger, members) == {"queued": 97}


def _fail(*_args: Any) -> None:
    raise RuntimeError("at the first step")


async def test_incident_two_that_followed_up_at_once_released_jobs_twice(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch, swept_at_once: None
) -> None:
    """dbos-py 742: however many processes follow up at once, each job is released once and calls back once."""
    monkeypatch.setattr(decided, "MOST_EDGES", 5)
    first = made()
    children = [made(first, run_when="ended", callbacks=all_events(CALLED.to_json())) for _ in range(60)]
    await desk.lifecycle.enqueue([first, *children])
    ended = await desk.ledger.cancel(first.id, "w", datetime.now(UTC))
    assert ended is not None
    released = [one.id for one in ended.followed.released]

    async def follow_up(writer: str) -> None:
        left = True
        while left:
            followed = await desk.ledger.database.run(partial(record_followups, at=datetime.now(UTC), writer=writer))
            released.extend(one.id for one in followed.released)
            left = followed.left

    await asyncio.gather(*(follow_up(f"w{number}") for number in range(4)))
    assert sorted(released) == sorted(child.id for child in children)
    assert {(await desk.row(child.id))["state"] for child in children} == {"queued"}
    async with running_worker(settings, catalogue_of(fall)):
        for child in children:
            await desk.ended(child.id)
    recorded = await called(desk, *children)
    assert Counter((owner, event) for owner, event, _ in recorded.elements()) == Counter(
        (child.id, event) for child in children for event in ("success", "end")
    )


@pytest.mark.short("postgres")
async def test_incident_a_rolling_restart_stranded_what_old_and_new_workers_shared(
    settings: Settings, tmp_path: Path
) -> None:
    """dbos-py 804: old and new workers end jobs that each other's wait for, while one stops; none stays blocked."""
    settings = settings.model_copy(update={"jobs": ("tests.support.step_kinds",), "grace_s": 2.0, "log_level": "INFO"})
    flow = {"jobs": [_link(tmp_path, number) for number in range(40)]}
    async with running_api(settings) as api:
        ids: list[str] = []
        worker_folder = iter(range(100))

        async def follow(workers: int) -> None:
            async with worker_process(settings, _folder(tmp_path, next(worker_folder))) as worker:
                await registered(worker)
                ids.append((await api.post("/v1/flows", json=flow)).raise_for_status().json()["id"])
                if workers:
                    await follow(workers - 1)  # both run, until the older one is told to stop
                worker.send(Signals.SIGTERM)
                assert await worker.ended(30) == 0

        await follow(2)
        async with worker_process(settings, _folder(tmp_path, next(worker_folder))):

            async def all_have_ended() -> bool:
                states = [(await api.get(f"/v1/flows/{flow_id}")).json()["state"] for flow_id in ids]
                return states == ["succeeded"] * 3

            await eventually(all_have_ended, 60)
        jobs_ = (await api.get(f"/v1/flows/{ids[0]}")).json()["jobs"]
        attempts = [(await api.get(f"/v1/jobs/{one['id']}")).json() for one in jobs_]
    assert {(one["failures"], one["crashes"]) for one in attempts} == {(0, 0)}


def _folder(tmp_path: Path, number: int) -> Path:
    folder = tmp_path / f"worker{number}"
    folder.mkdir()
    return folder


def _link(tmp_path: Path, number: int) -> dict[str, Any]:
    link = {"name": f"{number}", "kind": "three_steps", "args": {"diary": str(tmp_path / "diary")}}
    return link | ({"after": [f"{number - 1}"]} if number else {})


@on_sqlite
async def test_incident_hidden_args_were_read_through_callbacks_and_flows(api: httpx.AsyncClient) -> None:
    """Hatchet GHSA-hf2m-86fv-rjw5: nothing shows the secret of a flow's job, or of a callback."""
    secret = webhook(secret=SECRET)
    url = {"url": "http://127.0.0.1:9/", "secret": SECRET}
    named = {"name": "a", **secret, "on_end": url, "on_failure": secret}
    flow = (await api.post("/v1/flows", json={"jobs": [named], "on_end": url})).raise_for_status().json()
    job_id = flow["jobs"]["a"]
    told = [await api.post(f"/v1/jobs/{job_id}/cancel")]
    callbacks = (await api.get(f"/v1/jobs/{job_id}")).json()["callbacks"]
    paths = ["/v1/flows", f"/v1/flows/{flow['id']}", f"/v1/jobs/{job_id}", "/v1/jobs", "/", "/metrics"]
    paths += [f"/v1/jobs/{called_back}" for one in callbacks for called_back in one["jobs"]]
    told += [await api.get(path) for path in paths]
    assert [len(one["jobs"]) for one in callbacks] == [1, 1]
    assert all(answer.is_success for answer in told)
    assert not [answer.text for answer in told if SECRET in answer.text]
