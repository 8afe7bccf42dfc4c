"""Lanes as a person reads them."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.commands.text import aligned, moment, one_line

Lane = dict[str, Any]

_COLUMNS = ("KEY", "WAITING", "RUNNING", "LIMITS", "STATE")


def table(lanes: Sequence[Lane], *, heading: bool, width: int | None) -> Iterator[str]:
    """Write a line for each lane; cut at `width` if the output is a terminal."""
    return aligned(_COLUMNS, [_row(lane) for lane in lanes], heading=heading, width=width)


def details(lane: Lane) -> Iterator[str]:
    """Write everything known about a lane."""
    yield f"key          {one_line(lane['key'])}"
    yield f"state        {one_line(state(lane))}"
    yield f"limits       {one_line(limits(lane))}"
    if lane["waiting"] is not None:
        yield f"jobs         {lane['waiting']} wait, {lane['running']} run"
    if reason := lane["breaker"].get("reason"):
        yield f"breaker      {one_line(reason)}"


def state(lane: Lane) -> str:
    """Say what holds back a whole lane: a pause, or its breaker."""
    said = []
    if lane["paused"]:
        said.append(f"paused{_until(lane['paused_until'])}")
    breaker = lane.get("breaker") or {"state": "closed"}
    if breaker.get("forced"):
        said.append(f"breaker forced {breaker['forced']}")
    elif breaker["state"] != "closed":
        said.append(f"breaker {breaker['state'].replace('_', ' ')}{_until(breaker.get('until'))}")
    return ", ".join(said) or "ready"


def limits(lane: Lane) -> str:
    said = []
    if lane["order"]:
        said.append(f"{lane['order']} order")
    elif lane["concurrency"] is not None:
        said.append(f"{lane['concurrency']} at once")
    if rate := lane["rate"]:
        said.append(f"{rate['limit']} in {rate['per']:g} s")
    return ", ".join(said) or "no limits"


def _row(lane: Lane) -> tuple[str, ...]:
    counts = ("" if lane[name] is None else lane[name] for name in ("waiting", "running"))
    return tuple(one_line(cell) for cell in (lane["key"], *counts, limits(lane), state(lane)))


def _until(value: object) -> str:
    return f" until {moment(value)}" if value else ""
