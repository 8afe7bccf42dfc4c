"""The pulse: one look for all viewers, while there are any; it reports changes, and an absent ledger."""

import asyncio
import json

import pytest

from service.dashboard import pulse as pulse_module
from service.dashboard.pulse import Pulse, Viewer
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from tests.service.ledger.makers import enqueue, new_job


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse_module, "_LOOK_EVERY_S", 0.01)


async def next_of(viewer: Viewer) -> tuple[str, list[str]]:
    tick = await asyncio.wait_for(viewer.next(), 5)
    assert tick is not None
    lines = dict(line.split(": ", 1) for line in tick.decode().splitlines() if line)
    return lines["event"], json.loads(lines["data"])["changed"]


async def test_all_viewers_are_told_what_changed_by_one_look(ledger: Ledger) -> None:
    pulse = Pulse(ledger)
    with pulse.viewing("ann") as one, pulse.viewing("bob") as other:
        assert await next_of(one) == await next_of(other) == ("tick", [])
        await enqueue(ledger, new_job(), new_job())
        for viewer in (one, other):
            while (await next_of(viewer))[1] != ["enqueued"]:
                pass
        rates = pulse.rates()
        assert rates is None or rates["enqueued"] >= 0
    await asyncio.wait_for(_ended(pulse), 5)
    assert pulse.rates() is None, "nobody looks on"


async def _ended(pulse: Pulse) -> None:
    while pulse._looking is not None:
        await asyncio.sleep(0.01)


def test_rates_are_those_of_the_last_looks(ledger: Ledger) -> None:
    pulse = Pulse(ledger)
    for second in range(3):
        pulse._looks.append((float(second), {"enqueued": 10 * second}))
    assert pulse.rates() is None, "too early to tell"
    for second in range(3, 30):
        pulse._looks.append((float(second), {"enqueued": 40, "failed": second - 19}))
    assert pulse.rates() == {"enqueued": 0.0, "failed": 1.0}


async def test_viewers_are_told_that_the_ledger_is_away(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(ledger)

    async def away() -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(pulse, "_read", away)
    with pulse.viewing("ann") as viewer:
        assert (await next_of(viewer))[0] == "away"


async def test_when_the_service_stops_viewers_are_sent_away(ledger: Ledger) -> None:
    pulse = Pulse(ledger)
    with pulse.viewing("ann") as viewer:
        await next_of(viewer)
        await pulse.close()
        assert await asyncio.wait_for(viewer.next(), 5) is None
    assert pulse.closing
