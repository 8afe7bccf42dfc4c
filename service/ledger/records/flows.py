"""Flows with callbacks count their live jobs; whenever the last one ends, the flow has ended."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Integer, String, delete, func, select, update

from service.flow_tables import flows
from service.ledger.callbacks import Owner
from service.ledger.models import NewFlow, NewJob
from service.ledger.records.callbacks import call_back, delete_callbacks, insert_callbacks
from service.ledger.retention import is_over_and_empty
from service.ledger.rows import found_by, ids_parameter, insert_for, is_one_of, parameter, unfold
from service.ledger.states import State, flow_state
from service.ledger.traits import Trait
from service.tables import job_listing, jobs, moment_text

_CALLBACKS, _EMPTY = Trait.CALLBACKS.value, Trait.EMPTY.value


def insert_flows(connection: Connection, new: Sequence[NewFlow], with_jobs: Collection[str | None]) -> set[str]:
    """Insert missing flows with their callbacks. Return the ids of the flows that have callbacks.

    Jobs of the flows in `with_jobs` are inserted; all jobs of the other flows have existing jobs in their place.
    """
    rows = [
        {
            "id": flow.id,
            "name": flow.name,
            "traits": (_CALLBACKS if flow.callbacks else 0) | (0 if flow.id in with_jobs else _EMPTY),
            "created_at": flow.created_at,
            "request_hash": flow.request_hash,
        }
        for flow in new
    ]
    if not rows:
        return set()
    inserted = insert_for(connection.dialect.name)(flows).on_conflict_do_nothing().returning(flows.c.id, flows.c.traits)
    found = connection.execute(inserted, rows).all()
    insert_callbacks(connection, [(flow.id, callback) for flow in new for callback in flow.callbacks])
    return {row.id for row in found if row.traits & _CALLBACKS}


def note_joined(connection: Connection, traits: Mapping[str, int]) -> None:
    """Note that flows have jobs from now on, although they had none when they were made."""
    if empty := [flow for flow, bits in traits.items() if bits & _EMPTY]:
        joined = update(flows).where(flows.c.id.in_(empty))
        connection.execute(joined.values(traits=flows.c.traits.bitwise_and(~_EMPTY)))


def traits_of_flows(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return the traits of the flows that exist."""
    rows = connection.execute(select(flows.c.id, flows.c.traits).where(flows.c.id.in_(ids)))
    return {row.id: row.traits for row in rows}


def count_begun(connection: Connection, begun: Mapping[str, int]) -> None:
    """Count jobs that are live from now on, by flow."""
    _count(connection, begun)


def count_again(connection: Connection, ids: Sequence[str]) -> None:
    """Count jobs that had ended and are live again."""
    if ids:
        _count(connection, _by_flow(connection, ids))


def count_over(connection: Connection, ids: Sequence[str], at: datetime) -> list[NewJob]:
    """Count ended jobs; return the callback jobs of flows that have ended with them."""
    if not ids:
        return []
    return _call_back_over(connection, {flow: -count for flow, count in _by_flow(connection, ids).items()}, at)


def count_empty(connection: Connection, ids: Collection[str], at: datetime) -> list[NewJob]:
    """Return the callback jobs of new flows without jobs of their own, which have ended at once."""
    return _call_back_over(connection, dict.fromkeys(ids, 0), at)


def record_flows_purged(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` flows made before then that have no jobs left, with their callbacks."""
    chosen = select(flows.c.id).where(is_over_and_empty(before)).limit(limit)
    gone = connection.execute(delete(flows).where(flows.c.id.in_(chosen)).returning(flows.c.id)).scalars().all()
    if gone:
        delete_callbacks(connection, gone)
    return len(gone)


def _call_back_over(connection: Connection, counts: Mapping[str, int], at: datetime) -> list[NewJob]:
    over = [row for row in _count(connection, counts) if row.live == 0]
    return call_back(connection, [Owner(row.id, "flow", *_final(connection, row, at)) for row in over], at)


def _by_flow(connection: Connection, ids: Sequence[str]) -> Counter[str]:
    dialect = connection.dialect.name
    found = select(jobs.c.flow).where(is_one_of(dialect, jobs.c.id), jobs.c.flow.is_not(None))
    return Counter(connection.execute(found, ids_parameter(dialect, ids)).scalars())


def _count(connection: Connection, counts: Mapping[str, int]) -> Sequence[Any]:
    """Change the counts of flows, in the order of their ids; return their rows."""
    if not counts:
        return []
    ids = sorted(counts)
    if len(ids) > 1:
        locked = select(flows.c.id).where(flows.c.id.in_(ids)).order_by(flows.c.id).with_for_update(key_share=True)
        connection.execute(locked).all()
    rows = parameter([{"id": flow, "count": counts[flow]} for flow in ids])
    return connection.execute(_add(connection.dialect.name), rows).all()


def _final(connection: Connection, row: Any, at: datetime) -> tuple[State, str]:
    """Return the state in which a flow has ended, and its final JSON."""
    is_listed = found_by(connection.dialect.name, jobs.c.id, job_listing.c.job_id)
    latest = func.max(jobs.c.finished_at, type_=jobs.c.finished_at.type)
    counted = select(jobs.c.state, func.count(), latest).join_from(job_listing, jobs, is_listed).group_by(jobs.c.state)
    found = connection.execute(counted.where(job_listing.c.flow == row.id)).all()
    counts = {State(state): count for state, count, _ in found}
    state = flow_state(counts)
    finished_at = max((ended for *_, ended in found if ended is not None), default=at)
    times = {"created_at": moment_text(row.created_at), "finished_at": moment_text(finished_at)}
    return state, to_json({"id": row.id, "name": row.name, "state": state, "counts": counts, **times}).decode()


@cache
def _add(dialect: str) -> Any:
    flow = unfold(dialect, "flow", {"id": String(36), "count": Integer()})
    columns = (flows.c.id, flows.c.name, flows.c.live, flows.c.created_at)
    return (
        update(flows)
        .where(found_by(dialect, flows.c.id, flow.c.id))
        .values(live=flows.c.live + flow.c.count)
        .returning(*columns)
    )
