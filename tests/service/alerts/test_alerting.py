"""The people in the settings hear of a trouble once, and of its end; directly if jobs themselves do not go out."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from structlog.testing import capture_logs

import jobs
from service.alert_tables import alerts
from service.alerts.alerting import Alerting, open_alerting
from service.insight.troubles import Trouble
from service.ledger.ledger import Ledger
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources, open_resources
from service.settings import Settings
from tests.support.processes import free_port
from tests.support.receiver import Receiver, receiving
from tests.support.running import eventually, running_worker

LANE = Trouble(
    "lane:host:hooks.example.com",
    "wrong",
    "lanes",
    "Webhooks to hooks.example.com are not going out.",
    ("4 jobs wait.",),
    facts=[("Answer", ("connection refused",))],
    steps=[("Tell whoever runs it.",)],
)
NO_WORKER = Trouble("workers", "wrong", "workers", "No worker is alive, so no job runs.")


class Found:
    """Stands in for what looks for troubles: each sort has tests of its own."""

    def __init__(self) -> None:
        self.troubles: list[Trouble] = []

    async def now(self) -> list[Trouble]:
        return self.troubles

    async def close(self) -> None:
        pass


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    found = Found()
    monkeypatch.setattr("service.alerts.alerting.Troubles", lambda _resources: found)
    return found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def resources(settings: Settings, receiver: Receiver) -> AsyncIterator[Resources]:
    update = {"alert_to": (SecretStr(receiver.url),), "alert_after_s": 0.0}
    async with open_resources(settings.model_copy(update=update), jobs.load()) as opened:
        yield opened


@pytest.fixture
async def alerting(resources: Resources, found: Found) -> AsyncIterator[Alerting]:
    lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="test")
    async with open_alerting(resources, lifecycle) as opened:
        assert opened is not None
        yield opened


async def look(alerting: Alerting) -> None:
    await alerting.look_if(lambda: True)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    bodies = [json.loads(request.body) for request in receiver.requests]
    return [body | body["data"] for body in bodies]


async def posted(receiver: Receiver, count: int) -> None:
    async def there() -> bool:
        return len(receiver.requests) == count

    await eventually(there)


async def let_time_pass(ledger: Ledger, by: timedelta) -> None:
    """Move what alerts remember back in time."""

    def move(connection: Any) -> None:
        for row in connection.execute(alerts.select()).mappings().all():
            earlier = {name: value - by for name, value in row.items() if isinstance(value, datetime)}
            connection.execute(update(alerts).where(alerts.c.key == row["key"]).values(earlier))

    await ledger.database.run(move)


async def test_a_trouble_is_told_once_by_a_job_and_so_is_its_end(
    alerting: Alerting, found: Found, resources: Resources, receiver: Receiver, settings: Settings
) -> None:
    found.troubles = [LANE]
    for _ in range(3):
        await look(alerting)
    async with running_worker(settings, jobs.load()):
        await posted(receiver, 1)
        found.troubles = []
        await look(alerting)
        await let_time_pass(resources.ledger, timedelta(minutes=1))
        for _ in range(3):
            await look(alerting)
        await posted(receiver, 2)
    began, over = told(receiver)
    assert (began["type"], began["headline"]) == ("postlude.alert", LANE.headline)
    assert began["facts"] == {"Answer": "connection refused"}
    assert began["steps"] == ["Tell whoever runs it."]
    assert began["told_directly"] is None
    assert (over["type"], over["key"]) == ("postlude.alert_over", LANE.key)
    assert over["over_at"] is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_does_not_last_or_is_not_wanted_is_not_told(
    resources: Resources, found: Found, receiver: Receiver
) -> None:
    patient = resources.settings.model_copy(update={"alert_after_s": 60.0})
    object.__setattr__(resources, "settings", patient)
    lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="test")
    async with open_alerting(resources, lifecycle) as alerting:
        assert alerting is not None
        found.troubles = [LANE, Trouble("paused:x", "note", "lanes", "x is paused.")]
        await look(alerting)
        assert await resources.queue.redis.zcard("arq:queue") == 0
        await let_time_pass(resources.ledger, timedelta(seconds=70))
        await look(alerting)
        assert await resources.queue.redis.zcard("arq:queue") + await _in_lanes(resources) == 1


async def _in_lanes(resources: Resources) -> int:
    keys = [key async for key in resources.queue.redis.scan_iter("*lane*127.0.0.1*")]
    return 1 if keys else 0


async def test_without_workers_one_of_two_processes_tells_directly_and_says_why(
    alerting: Alerting, found: Found, resources: Resources, receiver: Receiver
) -> None:
    found.troubles = [NO_WORKER, LANE]
    lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="other")
    async with open_alerting(resources, lifecycle) as other:
        assert other is not None
        for one in (alerting, other, alerting):
            await one.look_where_no_worker_does()
    assert sorted(one["key"] for one in told(receiver)) == [LANE.key, NO_WORKER.key]
    assert all(NO_WORKER.headline in one["told_directly"] for one in told(receiver))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_job_that_does_not_get_there_is_told_of_directly(
    alerting: Alerting, found: Found, resources: Resources, receiver: Receiver
) -> None:
    found.troubles = [LANE]
    await look(alerting)
    await let_time_pass(resources.ledger, timedelta(minutes=3))
    await look(alerting)
    await look(alerting)
    [one] = told(receiver)
    assert "the job that should have reported it is queued" in one["told_directly"]


async def test_what_nobody_could_be_told_of_is_told_later_and_once(
    alerting: Alerting, found: Found, resources: Resources, receiver: Receiver
) -> None:
    receiver.respond("500 No")
    found.troubles = [NO_WORKER]
    await look(alerting)
    receiver.respond("200 OK")
    for _ in range(3):
        await look(alerting)
    found.troubles = []
    await let_time_pass(resources.ledger, timedelta(minutes=1))
    await look(alerting)
    assert [one["type"] for one in told(receiver)] == ["postlude.alert", "postlude.alert"]
    assert await resources.queue.redis.zcard("arq:queue") + await _in_lanes(resources) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_ledger_that_cannot_be_read_does_not_end_other_troubles(
    alerting: Alerting, found: Found, resources: Resources
) -> None:
    found.troubles = [LANE]
    await look(alerting)
    found.troubles = [Trouble("ledger", "wrong", "overview", "The ledger's database does not answer.")]
    for _ in range(2):
        await let_time_pass(resources.ledger, timedelta(minutes=1))
        await look(alerting)
    async with resources.ledger.read() as connection:
        over = (await connection.execute(select(alerts.c.key).where(alerts.c.over_at.is_not(None)))).scalars().all()
    assert over == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_ledger_that_is_away_is_told_directly_and_once(settings: Settings, receiver: Receiver) -> None:
    nobody = f"postgresql+asyncpg://me@127.0.0.1:{free_port()}/nothing"
    update = {"alert_to": (SecretStr(receiver.url),), "alert_after_s": 0.0, "database_url": nobody}
    async with open_resources(settings.model_copy(update=update), jobs.load()) as resources:
        lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="test")
        async with open_alerting(resources, lifecycle) as alerting:
            assert alerting is not None
            for _ in range(3):
                await alerting.look_where_no_worker_does()
    [one] = told(receiver)
    assert (one["key"], one["severity"], "no ledger" in one["told_directly"]) == ("ledger", "wrong", True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_log_does_not_have_what_may_be_a_secret_in_a_receivers_address(
    settings: Settings, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9/services/T0123456/a-token-of-ours?key=another-token"
    update = {"alert_to": (SecretStr(url),), "alert_after_s": 0.0}

    async def fails(*_args: object) -> None:
        raise ValueError(f"no answer from {url}; a-token-of-ours is not known")

    monkeypatch.setattr("service.alerts.alerting.perform_directly", fails)
    async with open_resources(settings.model_copy(update=update), jobs.load()) as resources:
        lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="test")
        async with open_alerting(resources, lifecycle) as alerting:
            assert alerting is not None
            found.troubles = [NO_WORKER]
            with capture_logs() as lines:
                await alerting.look_where_no_worker_does()
    [told] = [line for line in lines if line["event"] == "alert_not_sent"]
    assert "no answer from http://127.0.0.1:9" in told["error"]
    assert not any(secret in str(lines) for secret in ("a-token-of-ours", "another-token", "T0123456"))
