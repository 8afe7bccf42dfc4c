"""Drives lanes from outside: fills them, waits for what a receiver or the API sees of them."""

from collections import Counter
from typing import Any

import httpx

from tests.faults.load import Load
from tests.faults.system import System
from tests.faults.verdict import verdict
from tests.support.lane_receiver import most_at_once
from tests.support.running import eventually


async def fill(
    system: System, load: Load, lane: str, count: int, *, first: int = 0, hold_s: float = 0, **limits: Any
) -> None:
    """Enqueue `count` jobs of a lane, numbered in their order."""
    await system.receiver.start()
    named = {"key": lane, **limits} if limits else lane
    for number in range(first, first + count):
        url = system.receiver.url(lane, number=number, hold_s=hold_s)
        await load.post(system.client, f"{lane}-{number}", {"url": url}, lane=named)


async def are_here(system: System, lane: str, count: int, within_s: float = 30) -> None:
    """Wait until this many requests of a lane are in flight."""

    async def check() -> bool:
        return len(system.receiver.here(lane)) == count

    await eventually(check, within_s)


async def shown(system: System, lane: str) -> dict[str, Any]:
    answer = await system.client.get(f"/v1/lanes/{lane}")
    return answer.json() if answer.status_code == httpx.codes.OK else {}


async def lanes_are_open(system: System, load: Load, within_s: float = 60) -> None:
    """Wait until a job in a lane of its own has run: lanes are closed until they are rebuilt."""
    lane = f"probe{len(load.accepted)}"
    await fill(system, load, lane, 1)

    async def has_run() -> bool:
        return bool(system.receiver.of(lane))

    await eventually(has_run, within_s)


async def shows(system: System, lane: str, *, waiting: int, running: int) -> None:
    """Wait until the API shows this many jobs of a lane."""
    now: dict[str, Any] = {}

    async def check() -> bool:
        now.update(await shown(system, lane))
        return (now.get("waiting"), now.get("running")) == (waiting, running)

    try:
        await eventually(check, 60)
    except TimeoutError:
        raise AssertionError(f"expected {waiting} waiting and {running} running, not {now}") from None


async def hold_three_of_eight(system: System, load: Load) -> None:
    """Let three jobs of the lane `held` run and not end, with five behind them."""
    system.receiver.silent.add("held")
    await fill(system, load, "held", 8, concurrency=3)
    await are_here(system, "held", 3)


async def three_still_run_and_all_end(system: System, load: Load) -> None:
    """Judge the lane `held` after a fault: three jobs ran through it, and the others only afterwards."""
    await lanes_are_open(system, load)
    await fill(system, load, "held", 3, first=8, concurrency=3)  # whatever Redis has lost, these wait there now
    await shows(system, "held", waiting=8, running=3)
    await lanes_are_open(system, load)
    assert len(system.receiver.of("held")) == 3
    system.receiver.speak("held")
    await verdict(system, load)
    visits = system.receiver.of("held")
    assert most_at_once(visits) <= 3
    assert Counter(visit.number for visit in visits) == Counter(range(11))
