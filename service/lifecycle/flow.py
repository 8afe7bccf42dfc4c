"""Actions on a whole flow: its live jobs are cancelled, or its failed ones are replayed."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from service import agreed_time
from service.lane_rules import in_order
from service.ledger.ledger import Ledger
from service.ledger.models import Followed
from service.ledger.reads.flows import live_in_flow, replayable_in_flow
from service.ledger.reads.jobs import states_of
from service.ledger.reads.members import Member
from service.ledger.records.replayed import Replayed
from service.ledger.states import WAITING
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.lifecycle.runnable import Runnable
from service.queue import NO_CLAIM_MS, Entry, Release

# Jobs in one transaction: each takes the database a moment.
_PAGE = 500


class Acted(NamedTuple):
    """How many jobs of a flow an action changed, and whether none is left to change."""

    changed: int
    is_all: bool


async def cancel_flow(
    ledger: Ledger, dispatcher: Dispatcher, following: Following, flow_id: str, *, writer: str, within_s: float
) -> Acted:
    """Cancel the live jobs of a flow, for `within_s`.

    Last jobs first: otherwise, cancelling parents would release a job that runs however they end.
    """
    deadline, before, left, changed = time.monotonic() + within_s, None, False, 0
    try:
        while True:
            async with ledger.read() as connection:
                page = await live_in_flow(connection, flow_id, before, _PAGE)
            if not page:
                return Acted(changed, is_all=True)
            now = agreed_time.now()
            became = await asyncio.gather(*(ledger.cancel(job.id, writer, now) for job in page))
            cancelled = [one for one in became if one is not None]
            changed += len(cancelled)
            left |= any(one.followed.left for one in cancelled)
            for one in cancelled:
                following.carry_on(one.followed._replace(left=False))
            await dispatcher.release(
                [Release(one.member, one.lanes, claim_ms=NO_CLAIM_MS) for one in cancelled if one.lanes]
            )
            if time.monotonic() > deadline:
                return Acted(changed, is_all=len(page) < _PAGE)
            before = (page[-1].listed_at, page[-1].id)
    finally:
        # Not page by page: the edges left to follow up lead to jobs that are cancelled by then.
        following.carry_on(Followed(left=left))


async def replay_flow(
    ledger: Ledger, dispatcher: Dispatcher, following: Following, runnable: Runnable, flow_id: str, *, within_s: float
) -> Acted:
    """Replay the jobs of a flow that failed or that a user cancelled, for `within_s`.

    First jobs first: jobs that were cancelled because these had failed follow them. Jobs that could not run today stay
    as they are.
    """
    deadline, after, changed = time.monotonic() + within_s, None, 0
    # First the followups that a cancel may have left, because they would lock the same jobs; but others' followups must
    # not use up the time.
    await following.follow_up_for(within_s / 2)
    try:
        while True:
            async with ledger.read() as connection:
                page = await replayable_in_flow(connection, flow_id, after, _PAGE)
            if not page:
                return Acted(changed, is_all=True)
            reasons = await runnable.reasons_against(page)
            some = [job for job in page if job.id not in reasons]
            changed += await _replay(ledger, dispatcher, some, agreed_time.now())
            if time.monotonic() > deadline:
                return Acted(changed, is_all=len(page) < _PAGE)
            after = (page[-1].listed_at, page[-1].id)
    finally:
        following.carry_on(Followed(left=True))


async def _replay(ledger: Ledger, dispatcher: Dispatcher, some: Sequence[Member], at: datetime) -> int:
    """Replay jobs; return how many could be."""
    became = await asyncio.gather(*(ledger.try_replay(job.id, at) for job in some))
    replayed = [job for job, one in zip(some, became, strict=True) if one is Replayed.YES]
    async with ledger.read() as connection:
        states = await states_of(connection, [job.id for job in replayed])
    await dispatcher.put_anew([_entry(job, at) for job in replayed if states[job.id][0] in WAITING])
    return len(replayed)


def _entry(job: Member, at: datetime) -> Entry:
    return Entry(job.id, job.kind, job.queue, at, job.priority, in_order(job.lane, job.kind_lane), job.lane_limits)
