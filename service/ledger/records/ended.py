"""Jobs have ended: their edges are decided, and the callbacks of the jobs and their flows are recorded."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from service.flow_tables import followups
from service.ledger.models import Ended, Followed, NewJob, Released
from service.ledger.records.callbacks import call_back_jobs
from service.ledger.records.decided import Decided, decide
from service.ledger.records.edges import Parent
from service.ledger.records.flows import count_again, count_empty, count_over
from service.ledger.records.tallied import tally
from service.ledger.rows import insert_for
from service.ledger.states import TERMINAL
from service.ledger.traits import Trait

_CHILDREN, _CALLBACKS, _FLOW_CALLBACKS = Trait.CHILDREN.value, Trait.CALLBACKS.value, Trait.FLOW_CALLBACKS.value


def record_ended(
    connection: Connection, ended: Sequence[Ended], at: datetime, writer: str, *, empty_flows: Collection[str] = ()
) -> Followed:
    """Follow up the ends of jobs, and of new flows without jobs, in the transaction that recorded them.

    Call it with the jobs that have any trait of `FOLLOWED`, after their rows have been changed. Work beyond what one
    transaction should do is left to `record_followups`.
    """
    parents = [Parent(one.id, one.kind, one.state, one.has_attempted) for one in ended if one.traits & _CHILDREN]
    decided = decide(connection, parents, at) if parents else Decided()
    over = [one for one in ended if one.state in TERMINAL]
    return record_decided(connection, decided, at, writer, ended=over, empty_flows=empty_flows)


def record_decided(
    connection: Connection,
    decided: Decided,
    at: datetime,
    writer: str,
    *,
    ended: Sequence[Ended] = (),
    empty_flows: Collection[str] = (),
) -> Followed:
    """Record what follows from ended jobs and flows, and from the decisions about other jobs."""
    over = [*ended, *decided.cancelled]
    called = call_back_jobs(connection, [one.id for one in over if one.traits & _CALLBACKS], at)
    record_live_again(connection, decided.taken_back, at)
    called += count_over(connection, [one.id for one in over if one.traits & _FLOW_CALLBACKS], at)
    called += count_empty(connection, empty_flows, at)
    undecided = {one.id for one in decided.cancelled if one.traits & _CHILDREN} - decided.deeper
    left = decided.left | undecided
    leave(connection, left, at)
    tally(connection, _events(writer, decided, called), at)
    return Followed((*decided.released, *map(_released, called)), bool(left or decided.taken_back))


def record_live_again(connection: Connection, jobs: Sequence[Ended], at: datetime) -> None:
    """Note jobs that had ended and are live again: their children are taken back after the commit."""
    count_again(connection, [one.id for one in jobs if one.traits & _FLOW_CALLBACKS])
    leave(connection, [one.id for one in jobs if one.traits & _CHILDREN], at)


def leave(connection: Connection, ids: Iterable[str], at: datetime) -> None:
    """Have jobs followed up after the commit; their rows are locked."""
    rows = [{"job_id": job_id, "since": at} for job_id in sorted(ids)]
    if rows:
        connection.execute(insert_for(connection.dialect.name)(followups).on_conflict_do_nothing(), rows)


def _events(writer: str, decided: Decided, called: Sequence[NewJob]) -> list[tuple[str, str, str]]:
    cancelled = [(writer, one.kind, str(one.state)) for one in decided.cancelled]
    return cancelled + [(writer, job.counted_as, "enqueued") for job in called]


def _released(job: NewJob) -> Released:
    return Released(job.id, job.kind, job.queue, job.run_at, job.priority, job.lane, job.kind_lane, job.lane_limits)
