"""A worker goes on with what its finishes release: the attempts begin in the transaction that has released the jobs."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from service.ledger.models import Followed, HandOver, Released, Started
from service.ledger.records.started import record_started


def record_handed_over(
    connection: Connection, wish: HandOver, followed: Followed
) -> tuple[Followed, tuple[Started, ...]]:
    """Begin released jobs that are in no lane and due; return what is left to follow, and the attempts.

    The start finds whatever else keeps a job from running here.
    """
    first = _first(followed.released, wish)
    if not first:
        return followed, ()
    [started] = record_started(connection, [replace(wish.start, ids=tuple(one.id for one in first))])
    released = tuple(one for one in followed.released if one.id not in started)
    return followed._replace(released=released), tuple(started.values())


def _first(released: Sequence[Released], wish: HandOver) -> Sequence[Released]:
    """Choose as many jobs as the worker has slots for, and children for kinds in processes."""
    start = wish.start
    ready = [
        one
        for one in sorted(released, key=lambda one: (-one.priority, one.run_at))
        if not one.lanes and one.run_at <= start.at and one.kind in start.kinds and one.queue in start.queues
    ]
    in_processes = [one.id for one in ready if one.kind in wish.in_processes]
    without_child = set(in_processes[wish.children :])
    return [one for one in ready if one.id not in without_child][: wish.most]
