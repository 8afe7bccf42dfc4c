"""Pauses on the pages of lanes, kinds and queues."""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from service.dashboard.shell import Page
from service.lanes.lane_view import said_of, target_of
from service.lanes.lanes import Change
from service.ledger.deadline import in_time
from service.web.forms import read_fields

# In seconds; "" is until it is resumed.
SPANS = (("", "until it is resumed"), ("300", "5 min"), ("900", "15 min"), ("3600", "1 h"), ("28800", "8 h"))
NOT_HEARD = "Redis does not answer. It takes effect once a worker has passed it on."


async def pause(page: Page, key: str) -> Change:
    """Pause what `key` names, as long as the form says."""
    asked = (await read_fields(page.request)).get("for", "")
    span = timedelta(seconds=int(asked)) if asked and asked in dict(SPANS) else None
    return await _act(page, "pause", key, page.lanes.pause(key, span))


async def resume(page: Page, key: str) -> Change:
    return await _act(page, "resume", key, page.lanes.resume(key))


async def _act(page: Page, action: str, key: str, change: Coroutine[Any, Any, Change]) -> Change:
    before = said_of(await in_time(page.lanes.view(key)))
    async with page.operator.action(action, *target_of(key), before=before) as entry:
        done = await in_time(change, writes=True)
        entry.after = said_of(done.lane)
    return done


def span_words(change: Change) -> str:
    """Say until when something is paused."""
    until = None if change.lane.pause is None else change.lane.pause.paused_until
    return "until it is resumed" if until is None else f"until {until:%H:%M:%S} UTC"
