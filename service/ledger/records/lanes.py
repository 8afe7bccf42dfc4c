"""What users and breakers set for lanes, kinds and queues; and the start of a rebuild of Redis' lanes.

Every `at` is the database's (see `clock.py`). A rule that no longer sets anything is deleted.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import Connection, delete, select, update

from service.lane_rules import BreakerState, Forced, Rule
from service.ledger.reads.lanes import (
    InLanes,
    is_untried,
    pause_is_over,
    rule_of,
    select_running,
    select_running_among,
)
from service.ledger.records.lane_figures import record_held, record_hold_over
from service.ledger.rows import insert_for
from service.tables import lanes, lanes_epoch


class Said(TypedDict, total=False):
    """What a user sets for a lane. Whatever is left out stays as it was."""

    concurrency: int | None
    rate_limit: int | None
    rate_per_s: float | None
    strict: bool
    paused: bool
    paused_until: datetime | None
    breaker_forced: Forced | None


class Breaker(NamedTuple):
    """The state of a lane's breaker."""

    key: str
    state: BreakerState
    until: datetime | None = None
    step: int = 0
    reason: str | None = None


class Rebuild(NamedTuple):
    """The data from which Redis' lanes are rebuilt."""

    rules: list[Rule]
    running: list[InLanes]


_CLOSED = {"breaker_state": "closed", "breaker_until": None, "breaker_step": 0, "breaker_reason": None}
# `Rule.says_nothing`, as a condition on a row.
_SAYS_NOTHING = (
    lanes.c.concurrency.is_(None),
    lanes.c.rate_limit.is_(None),
    lanes.c.strict == 0,
    lanes.c.paused == 0,
    lanes.c.breaker_state == "closed",
    lanes.c.breaker_forced.is_(None),
)


def record_rule(connection: Connection, key: str, said: Said, at: datetime) -> Rule:
    """Record what was set for a lane, a pattern, `kind:<name>` or `queue:<name>`; return everything set for it."""
    _upsert(connection, key, {**said, "updated_at": at}, at)
    rule = rule_of(connection.execute(select(lanes).where(lanes.c.key == key)).one())
    if rule.says_nothing(at):
        record_rule_deleted(connection, key)
    return rule


def record_rule_deleted(connection: Connection, key: str) -> bool:
    """Forget everything set for a lane; return False if there was nothing."""
    deleted = delete(lanes).where(lanes.c.key == key).returning(lanes.c.key)
    return connection.execute(deleted).first() is not None


def record_breakers(connection: Connection, breakers: Sequence[Breaker], at: datetime) -> None:
    """Record the states of breakers. This does not count as a change of the rules; see `reads.lanes.rules_version`."""
    for breaker in sorted(breakers, key=lambda one: one.key):  # in one order, so that no two writers deadlock
        _note_hold(connection, breaker, at)
        values = {f"breaker_{name}": value for name, value in breaker._asdict().items() if name != "key"}
        _upsert(connection, breaker.key, values, at)
        rule = rule_of(connection.execute(select(lanes).where(lanes.c.key == breaker.key)).one())
        if rule.says_nothing(at):
            record_rule_deleted(connection, breaker.key)


def _note_hold(connection: Connection, breaker: Breaker, at: datetime) -> None:
    if breaker.state == "open":
        record_held(connection, breaker.key, breaker.reason, at)
    elif breaker.state == "closed":
        record_hold_over(connection, [breaker.key], at)


def record_forgotten(connection: Connection, before: datetime) -> None:
    """Forget pauses that were over then, and breakers that could have let a probe through before then but still have
    not.

    Nobody sends anything to such a destination any more, so its row would stay for ever.
    """
    record_hold_over(connection, select(lanes.c.key).where(is_untried(before)), before)
    connection.execute(update(lanes).where(is_untried(before)).values(_CLOSED))
    connection.execute(update(lanes).where(pause_is_over(before)).values(paused=0, paused_until=None))
    connection.execute(delete(lanes).where(*_SAYS_NOTHING))


def record_rebuild(connection: Connection, epoch: str) -> Rebuild:
    """Refuse starts of other epochs from now on; return the rules of lanes, and the jobs that run in them."""
    row = insert_for(connection.dialect.name)(lanes_epoch).values(id=1, epoch=epoch)
    connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"epoch": epoch}))
    rules = [rule_of(row) for row in connection.execute(select(lanes))]
    return Rebuild(rules, [InLanes.of(row) for row in connection.execute(select_running())])


def running_behind_fence(connection: Connection, members: Collection[str]) -> set[str]:
    """Return the queue members whose jobs run, after every start under way has been committed or given up."""
    connection.execute(select(lanes_epoch.c.id).with_for_update())
    found = connection.execute(select_running_among(members))
    return {member for row in found for member in row if member in members}


def _upsert(connection: Connection, key: str, values: dict[str, Any], at: datetime) -> None:
    row = insert_for(connection.dialect.name)(lanes).values({"key": key, "updated_at": at} | values)
    connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=values))
