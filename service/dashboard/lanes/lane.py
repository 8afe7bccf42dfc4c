"""One lane, or a pattern of lanes: its state, its limits, what it runs, and what was done to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping

from service.dashboard.lanes.rows import Held, LaneRow, held_of, rows_of
from service.lane_rules import Rule, is_pattern, rules_of
from service.lanes.lanes import Lanes
from service.ledger.ledger import Ledger
from service.ledger.reads import lanes as reads
from service.ledger.reads.jobs import get_jobs
from service.ledger.reads.lane_ages import first_waiting
from service.ledger.reads.lane_figures import Hold, last_hold
from service.trail.entries import Noted, TrailFilter
from service.trail.reads import list_actions

_MOST_JOBS = 10
_MOST_ACTIONS = 10


@dataclass(frozen=True, slots=True)
class LanePage:
    """`rules` are the ones that apply to it, most specific first. `waiting` are the jobs whose turns come first.

    `hold` is when its breaker last held it.
    """

    row: LaneRow
    figures: Held
    rules: Sequence[Rule]
    own: Rule | None
    is_pattern: bool
    waiting: Sequence[RowMapping]
    actions: Sequence[Noted]
    hold: Hold | None
    now: datetime


async def read_lane(ledger: Ledger, lanes: Lanes, key: str) -> LanePage:
    """Read a lane. Raises `LaneNotFound` if nothing is known about it."""
    view = await lanes.find(key)
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        [row] = await rows_of(connection, [view], now)
        rules = await reads.rules_for(connection, [key])
        waiting = [] if is_pattern(key) else await first_waiting(connection, key, _MOST_JOBS)
        found = {job["id"]: job for job in await get_jobs(connection, waiting)} if waiting else {}
        return LanePage(
            row=row,
            figures=await held_of(connection, row, now),
            rules=rules_of(rules, key) if not is_pattern(key) else [rule for rule in rules if rule.key == key],
            own=next((rule for rule in rules if rule.key == key), None),
            is_pattern=is_pattern(key),
            waiting=[found[job_id] for job_id in waiting if job_id in found],
            actions=await list_actions(connection, TrailFilter(target_type="lane", target=key), _MOST_ACTIONS),
            hold=await last_hold(connection, key),
            now=now,
        )
