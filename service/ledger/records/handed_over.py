"""A worker goes on with what its finishes release: the attempts begin in the transaction that has released the jobs."""

from dataclasses import replace

from sqlalchemy import Connection

from service.ledger.models import Followed, HandOver, Started
from service.ledger.records.started import record_started


def record_handed_over(
    connection: Connection, wish: HandOver, followed: Followed
) -> tuple[Followed, tuple[Started, ...]]:
    """Begin released jobs that are in no lane and due, as many as the worker wishes; return what is left to follow, and
    the attempts.

    The start finds whatever else keeps a job from running here.
    """
    ready = [one for one in followed.released if not one.lanes and one.run_at <= wish.start.at]
    if sum(one.kind in wish.in_processes for one in ready) > wish.children:
        ready = [one for one in ready if one.kind not in wish.in_processes]
    if not ready:
        return followed, ()
    first = sorted(ready, key=lambda one: (-one.priority, one.run_at))[: wish.most]
    [started] = record_started(connection, [replace(wish.start, ids=tuple(one.id for one in first))])
    released = tuple(one for one in followed.released if one.id not in started)
    return followed._replace(released=released), tuple(started.values())
