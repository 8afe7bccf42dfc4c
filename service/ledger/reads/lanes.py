"""The rules that apply to lanes, and the jobs that run and wait in them."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.lane import RESERVED_PREFIXES
from service.lane_rules import STRICT_LIMITS, Rule, in_order
from service.ledger.guards import IN_LANES, found_by_state, state_is
from service.ledger.rows import parameter, unfold
from service.ledger.states import IN_TURN, State
from service.tables import Moment, job_listing, jobs, lanes, lanes_epoch


class InLanes(NamedTuple):
    """A job in its lanes; `member` is its id on the queue."""

    id: str
    member: str
    kind: str
    queue: str
    state: State
    run_at: datetime
    priority: int
    lanes: tuple[str, ...]
    lane_limits: str | None

    @classmethod
    def of(cls, row: Any) -> "InLanes":
        return cls(
            id=row.id,
            member=row.arq_id or row.id,
            kind=row.kind,
            queue=row.queue,
            state=State(row.state),
            run_at=row.run_at,
            priority=row.priority,
            lanes=in_order(row.lane, row.kind_lane),
            lane_limits=row.lane_limits,
        )


class LaneCounts(NamedTuple):
    waiting: int
    running: int


_LANES_OF_A_PAGE = 500
# Sorts after any text, in byte order.
_LAST = "\U0010ffff"
_STANDS = (jobs.c.id, jobs.c.arq_id, jobs.c.kind, jobs.c.queue, jobs.c.state, jobs.c.run_at, jobs.c.priority, *IN_LANES)

# Every worker, or the leader, runs these each second. Building a statement costs twice as much as executing it.
_RECORDED_EPOCH = select(lanes_epoch.c.epoch)
_RULES_VERSION = select(func.count(), func.max(lanes.c.updated_at)).where(
    or_(
        lanes.c.concurrency.is_not(None),
        lanes.c.rate_limit.is_not(None),
        lanes.c.strict == 1,
        lanes.c.paused == 1,
        lanes.c.breaker_forced.is_not(None),
    )
)
_PAUSED = select(lanes).where(
    lanes.c.paused == 1, or_(lanes.c.paused_until.is_(None), lanes.c.paused_until > bindparam("now", type_=Moment))
)


def is_untried(before: datetime) -> ColumnElement[bool]:
    """Ask for breakers that could have let a probe through before then, but still have not."""
    return and_(lanes.c.breaker_state != "closed", lanes.c.breaker_until < before)


def pause_is_over(before: datetime) -> ColumnElement[bool]:
    return and_(lanes.c.paused == 1, lanes.c.paused_until < before)


async def has_forgettable(connection: AsyncConnection, before: datetime) -> bool:
    """Whether there is anything for `record_forgotten` to forget."""
    found = select(exists().where(or_(is_untried(before), pause_is_over(before))))
    return bool((await connection.execute(found)).scalar_one())


async def rules(connection: AsyncConnection) -> list[Rule]:
    """Return all rules, by key."""
    return [rule_of(row) for row in await connection.execute(select(lanes).order_by(lanes.c.key))]


async def find_rule(connection: AsyncConnection, key: str) -> Rule | None:
    row = (await connection.execute(select(lanes).where(lanes.c.key == key))).first()
    return None if row is None else rule_of(row)


async def rules_for(connection: AsyncConnection, keys: Sequence[str]) -> list[Rule]:
    """Return the rules that may apply to these lanes: their own, and all patterns."""
    found = select(lanes).where(or_(lanes.c.key.in_(keys), lanes.c.key.contains("*")))
    return [rule_of(row) for row in await connection.execute(found)]


async def is_known(connection: AsyncConnection, key: str) -> bool:
    """Whether anything was set for a lane or pattern, or a job that is still kept was in the lane."""
    columns = (job_listing.c.lane, job_listing.c.kind_lane)
    listed = (exists().where(column == key, column.is_not(None)) for column in columns)
    known = select(or_(exists().where(lanes.c.key == key), *listed))
    return bool((await connection.execute(known)).scalar_one())


async def rules_version(connection: AsyncConnection) -> str:
    """Return a value that changes whenever a user changes a rule, and not when breakers write their state."""
    count, latest = (await connection.execute(_RULES_VERSION)).one()
    return f"{count} {latest}"


async def recorded_epoch(connection: AsyncConnection) -> str | None:
    """Return the epoch for which lanes were last rebuilt; None if never."""
    epoch: str | None = (await connection.execute(_RECORDED_EPOCH)).scalar_one_or_none()
    return epoch


async def paused(connection: AsyncConnection, now: datetime) -> list[Rule]:
    """Return the rules that pause anything now: lanes, patterns, kinds and queues."""
    return [rule_of(row) for row in await connection.execute(_PAUSED, {"now": now})]


async def running_in_lanes(connection: AsyncConnection) -> list[InLanes]:
    """Return the jobs that run in any lane."""
    return [InLanes.of(row) for row in await connection.execute(select_running())]


async def running_among(connection: AsyncConnection, members: Collection[str]) -> set[str]:
    """Return the queue members whose jobs run."""
    found = await connection.execute(select_running_among(members))
    return {member for row in found for member in row if member in members}


async def standing_in_lanes(connection: AsyncConnection, ids: Collection[str]) -> list[InLanes]:
    """Return the jobs, as they are in their lanes; jobs without lanes are left out."""
    found = select(*_STANDS).where(jobs.c.id.in_(ids), jobs.c.lane_seq.is_not(None))
    return [InLanes.of(row) for row in await connection.execute(found)]


async def strict_head(connection: AsyncConnection, key: str) -> InLanes | None:
    """Return the first live job of a lane: in strict order, the one that runs or may run next."""
    firsts = [
        select(*_STANDS, jobs.c.lane_seq).where(lives_in(column, key)).order_by(jobs.c.lane_seq).limit(1)
        for column in (jobs.c.lane, jobs.c.kind_lane)
    ]
    found = union_all(*(select(first.subquery()) for first in firsts)).subquery()
    row = (await connection.execute(select(found).order_by(found.c.lane_seq).limit(1))).first()
    return None if row is None else InLanes.of(row)


async def first_in_lanes(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, str]:
    """Return the id of the first live job of each lane that has any."""
    named = unfold(connection.dialect.name, "named", {"key": String(255)})
    firsts = [
        select(jobs.c.id, jobs.c.lane_seq)
        .where(lives_in(column, named.c.key))
        .order_by(jobs.c.lane_seq)
        .limit(1)
        .correlate(named)
        .subquery()
        for column in (jobs.c.lane, jobs.c.kind_lane)
    ]
    both = union_all(*(select(first) for first in firsts)).subquery()
    first = select(both.c.id).order_by(both.c.lane_seq).limit(1).correlate(named).scalar_subquery()
    rows = await connection.execute(select(named.c.key, first), parameter([{"key": key} for key in keys]))
    return {key: job_id for key, job_id in rows if job_id is not None}


async def heads_of(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, InLanes]:
    """Return the first live job of each lane that has one; see `strict_head`."""
    firsts = await first_in_lanes(connection, keys)
    found = {one.id: one for one in await standing_in_lanes(connection, set(firsts.values()))}
    return {key: found[job_id] for key, job_id in firsts.items() if job_id in found}


async def bring_order(connection: AsyncConnection, *, after: str) -> tuple[list[InLanes], str | None]:
    """Return jobs that bring a strict order to a page of lanes beyond `after`, and the page's last lane, if more are
    left.

    Looks at the first 100 jobs of each lane: if none of these brought limits, later ones will.
    """
    keys = [
        key
        for column in (jobs.c.lane, jobs.c.kind_lane)
        for key in (await connection.execute(_live_keys(column, "", after, _LANES_OF_A_PAGE))).scalars()
    ]
    page = sorted(set(keys))[:_LANES_OF_A_PAGE]
    dialect = connection.dialect.name
    named = unfold(dialect, "named", {"key": String(255)})
    found = select(named.c.key, *(_brings_order(dialect, column, named) for column in (jobs.c.lane, jobs.c.kind_lane)))
    rows = await connection.execute(found, parameter([{"key": key} for key in page]))
    ids = {job_id for _, *found_in in rows for job_id in found_in if job_id is not None}
    more = len(page) == _LANES_OF_A_PAGE
    return await standing_in_lanes(connection, ids) if ids else [], page[-1] if more else None


def _brings_order(dialect: str, column: ColumnElement[str], named: Any) -> Any:
    live = select(jobs.c.id, jobs.c.lane_seq, jobs.c.lane_limits).where(lives_in(column, named.c.key))
    first = live.order_by(jobs.c.lane_seq).limit(100).correlate(named).subquery()
    # Few jobs bring an order at all, so only their limits are read as JSON. The order may be for their other lane.
    order = case((first.c.lane_limits.contains(STRICT_LIMITS), _order_of(dialect, first, named)))
    found = select(first.c.id).where(order == "strict").order_by(first.c.lane_seq.desc())
    return found.limit(1).correlate(named).scalar_subquery()


def _order_of(dialect: str, job: Any, named: Any) -> Any:
    """Return the order that a job's limits give the lane that is named."""
    if dialect == "postgresql":
        return cast(job.c.lane_limits, JSONB).op("->")(named.c.key).op("->>")("order")
    each = func.json_each(job.c.lane_limits).table_valued("key", "value")
    order = select(func.json_extract(each.c.value, "$.order")).where(each.c.key == named.c.key)
    return order.correlate(job, named).scalar_subquery()


async def count_in_lanes(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, LaneCounts]:
    """Count the waiting and running jobs in lanes. Reads the index of these lanes' live jobs, and all running jobs.

    The index of a lane's live jobs does not have their states: reading each row takes twenty times as long.
    """
    running = await _count_running(connection)
    live = dict.fromkeys(keys, 0)
    for column in (jobs.c.lane, jobs.c.kind_lane):
        lives = (column.in_(keys), column.is_not(None), found_by_state(*IN_TURN))
        for key, count in await connection.execute(select(column, func.count()).where(*lives).group_by(column)):
            live[key] += count
    return {key: LaneCounts(max(0, count - running[key]), running[key]) for key, count in live.items()}


async def _count_running(connection: AsyncConnection) -> Counter[str]:
    lanes_of = (jobs.c.lane, jobs.c.kind_lane)
    runs = select(*lanes_of, func.count()).where(found_by_state(State.RUNNING), jobs.c.lane_seq.is_not(None))
    running = Counter[str]()
    for lane, kind_lane, count in await connection.execute(runs.group_by(*lanes_of)):
        for key in (lane, kind_lane):
            if key is not None:
                running[key] += count
    return running


async def lane_keys(connection: AsyncConnection, now: datetime, *, prefix: str, after: str, limit: int) -> list[str]:
    """Return a page of keys, in order, of lanes and patterns with a rule and of lanes with a live job."""
    said = [func.substr(lanes.c.key, 1, len(reserved)) != reserved for reserved in RESERVED_PREFIXES]
    said.append(_says_anything(now))
    ruled = select(lanes.c.key).where(lanes.c.key > after, *said, *_begins(lanes.c.key, prefix))
    parts = [
        ruled.order_by(lanes.c.key).limit(limit),
        *(_live_keys(column, prefix, after, limit) for column in (jobs.c.lane, jobs.c.kind_lane)),
    ]
    keys = [key for part in parts for key in (await connection.execute(part)).scalars()]
    return sorted(set(keys))[:limit]


async def has_lanes(connection: AsyncConnection, now: datetime) -> bool:
    """Whether anything is set for lanes, kinds or queues, or a live job's request names a lane."""
    ruled = select(literal(1)).select_from(lanes).where(_says_anything(now)).limit(1).scalar_subquery()
    lives = found_by_state(*IN_TURN)
    named = select(literal(1)).select_from(jobs).where(jobs.c.lane.is_not(None), lives).limit(1).scalar_subquery()
    return (await connection.execute(select(func.coalesce(ruled, named)))).scalar_one() is not None


def select_running() -> Select[Any]:
    """Select the jobs that run in any lane."""
    return select(*_STANDS).where(found_by_state(State.RUNNING), jobs.c.lane_seq.is_not(None))


def select_running_among(members: Collection[str]) -> Select[Any]:
    """Select the ids, and arq's ids, of the queue members whose jobs run."""
    return select(jobs.c.id, jobs.c.arq_id).where(
        or_(jobs.c.id.in_(members), and_(jobs.c.arq_id.is_not(None), jobs.c.arq_id.in_(members))),
        state_is(State.RUNNING),
    )


def rule_of(row: Any) -> Rule:
    """Read a row of `lanes`."""
    return Rule(**row._asdict() | {"strict": bool(row.strict), "paused": bool(row.paused)})


def _says_anything(now: datetime) -> ColumnElement[bool]:
    """Match the rules that set anything. Unlike `Rule.says_nothing`, it ignores a pause that has ended by itself."""
    given = lanes.c.concurrency.is_not(None) | lanes.c.rate_limit.is_not(None) | (lanes.c.strict == 1)
    broken = (lanes.c.breaker_state != "closed") | lanes.c.breaker_forced.is_not(None)
    paused = (lanes.c.paused == 1) & (lanes.c.paused_until.is_(None) | (lanes.c.paused_until > now))
    return given | broken | paused


def lives_in(column: ColumnElement[str], key: str | ColumnElement[str]) -> ColumnElement[bool]:
    """Ask for the live jobs of a lane, in the words of the lane's index."""
    return and_(column == key, column.is_not(None), found_by_state(*IN_TURN))


def _begins(column: ColumnElement[str], prefix: str) -> list[ColumnElement[bool]]:
    """Ask for keys that begin with `prefix`, as a range of the index."""
    return [column >= prefix, column < prefix + _LAST] if prefix else []


def _live_keys(column: ColumnElement[Any], prefix: str, after: str, limit: int) -> Any:
    """Select the keys of lanes with live jobs, by seeking from each key to the next one."""

    def next_key(beyond: Any) -> Any:
        found = select(func.min(column).label("key")).where(
            column > beyond, column.is_not(None), found_by_state(*IN_TURN)
        )
        return found.where(*_begins(column, prefix))

    keys = next_key(after).cte("keys", recursive=True)
    following = next_key(keys.c.key).correlate(keys).scalar_subquery()
    keys = keys.union_all(select(following).where(keys.c.key.is_not(None)))
    return select(keys.c.key).where(keys.c.key.is_not(None)).limit(limit)
