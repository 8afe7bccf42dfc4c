"""What docs/steps.md shows works as it says: its kinds run in a real worker."""

import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobs.kit import step_form, steps
from service.options import Options
from service.own_retry import OwnRetry
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import running_api, running_worker

GUIDE = (Path(__file__).parent.parent / "docs" / "steps.md").read_text()
MODULE = "steps_guide"
AT_ONCE = OwnRetry(base=0.01, cap=0.01)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class World:
    """What the guide's kinds work on."""

    def __init__(self) -> None:
        self.charged: list[str] = []
        self.mailed: list[str] = []
        self.copied: list[int] = []
        self.mail_fails = 0
        self.copy_fails_at = -1

    async def bank(self, *, key: str, order: str) -> dict[str, Any]:
        self.charged.append(key)
        return {"number": f"r-{order}", "paid_at": datetime(2026, 1, 2, tzinfo=UTC)}

    async def send_mail(self, order: str, receipt: Any, label: str) -> None:
        if self.mail_fails:
            self.mail_fails -= 1
            raise ConnectionError("the mail server is away")
        self.mailed.append(f"{order} {receipt.paid_at:%Y} {label}")

    async def copy_page(self, place: int) -> None:
        if self.copy_fails_at == place:
            self.copy_fails_at = -1
            raise ConnectionError("the database is away")
        self.copied.append(place)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def guide(world: World) -> Iterator[ModuleType]:
    """Load the guide's kinds, over the world."""
    module = sys.modules[MODULE] = ModuleType(MODULE)
    vars(module).update(bank=world.bank, send_mail=world.send_mail, copy_page=world.copy_page)
    source = "\n\n".join(re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S))
    exec(compile(source, MODULE, "exec"), vars(module))
    yield module
    del sys.modules[MODULE]


@pytest.fixture
def settings(settings: Settings, guide: ModuleType) -> Settings:
    return settings.model_copy(update={"jobs": (guide.__name__,)})


@pytest.fixture
async def desk(settings: Settings, guide: ModuleType) -> AsyncIterator[Desk]:
    async with open_desk(settings, guide.ship_order, guide.copy_rows, guide.make_report) as opened:
        yield opened


async def test_an_order_is_charged_once_however_often_the_mail_fails(
    desk: Desk, settings: Settings, guide: ModuleType, world: World
) -> None:
    world.mail_fails = 3
    async with running_worker(settings, desk.resources.catalogue):
        job_id = await desk.enqueue(guide.ship_order, {"order": "o1"}, retry=AT_ONCE)
        row = await desk.ended(job_id)
    assert (row["state"], row["result"], row["attempt"]) == ("succeeded", '"r-o1"', 4)
    assert world.charged == [f"{job_id}/charge"]
    assert world.mailed == ["o1 2026 label of o1"]


async def test_a_copy_goes_on_where_it_was(desk: Desk, settings: Settings, guide: ModuleType, world: World) -> None:
    world.copy_fails_at = 20
    async with running_worker(settings, desk.resources.catalogue):
        job_id = await desk.enqueue(guide.copy_rows, {"rows": 40}, retry=AT_ONCE)
        row = await desk.ended(job_id)
    assert (row["state"], row["result"], row["attempt"]) == ("succeeded", "40", 2)
    assert world.copied == [0, 10, 20, 30]


async def test_a_report_adds_up_what_came_before(desk: Desk, settings: Settings, guide: ModuleType) -> None:
    async with running_worker(settings, desk.resources.catalogue):
        parents = [await desk.enqueue(guide.copy_rows, {"rows": rows}) for rows in (10, 20)]
        fields = {"after": tuple(parents)}
        child = await desk.lifecycle.enqueue_one("make_report", {"title": "sum"}, Options(), **fields)
        row = await desk.ended(child)
    assert json.loads(row["result"]) == {"sum": 30}


@on_sqlite
async def test_the_command_starts_a_job_over(desk: Desk, settings: Settings, guide: ModuleType, world: World) -> None:
    [command] = map(shlex.split, re.findall(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S))
    assert command[:4] == ["curl", "-X", "POST", "http://127.0.0.1:8000/v1/jobs/$ID/replay"]
    header, _, value = command[5].partition(": ")
    world.mail_fails = 1
    async with running_worker(settings, desk.resources.catalogue), running_api(settings) as api:
        job_id = await desk.enqueue(guide.ship_order, {"order": "o1"}, max_attempts=1)
        assert (await desk.ended(job_id))["state"] == "failed"
        path = command[3].removeprefix("http://127.0.0.1:8000").replace("$ID", job_id)
        (await api.post(path, content=command[-1], headers={header: value})).raise_for_status()
        assert (await desk.ended(job_id))["state"] == "succeeded"
    assert world.charged == [f"{job_id}/charge"] * 2


def test_the_limits_are_those_of_the_code() -> None:
    for told in (
        f"| {steps.LONGEST_NAME} characters |",
        f"| {step_form.MOST_BYTES // 1024} KiB of JSON |",
        f"| {steps.MOST_STEPS:,} |",
        f"| {steps.MOST_BYTES_IN_ALL // 2**20} MiB |",
    ):
        assert told in GUIDE
