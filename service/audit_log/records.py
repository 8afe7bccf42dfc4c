"""Writes of the audit log: entries that wait at the same time are chained in one transaction."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from jobs.audit.kind import OWN_ACTIONS, written
from jobs.audit.log import Entry, Receipt
from service.audit_log.chain import Kept, Keys
from service.audit_log.tables import audit_log, audit_log_head
from service.ledger.clock import now_by
from service.ledger.rows import ids_parameter, is_one_of
from service.tables import moment_text, storable

PRUNED = f"{OWN_ACTIONS}pruned"
"""The action that is noted before entries are pruned. No job can write an action of this name."""
_IS_THE_HEAD = audit_log_head.c.id == 1


class HeadGone(RuntimeError):
    """Nothing says any longer where the log ends, so nothing is appended to it."""


class Head(NamedTuple):
    """Where the log ends."""

    seq: int
    hash: str


def record_entries(connection: Connection, entries: Sequence[Entry], *, keys: Keys) -> Sequence[Receipt]:
    """Append entries, one for each job; return where they are. Safe to repeat. Raises `HeadGone`."""
    head = _locked_head(connection)
    receipts = _receipts(connection, [entry.job_id for entry in entries])
    now = moment_text(now_by(connection))
    new: list[Kept] = []
    for entry in entries:
        if entry.job_id not in receipts:
            new.append(_entry(entry, head, now, keys))
            head = head._replace(seq=new[-1].seq, hash=new[-1].hash)
            receipts[entry.job_id] = Receipt(head.seq, head.hash)
    _append(connection, new)
    return [receipts[entry.job_id] for entry in entries]


def record_pruned(connection: Connection, through: int, actor: str, *, keys: Keys) -> bool:
    """Note that entries are pruned up to this one, and let them be deleted; False if they already were.

    The note holds the hash of the last entry to go, because the next entry is linked to it and checked against it.
    """
    head = _locked_head(connection)
    last = connection.execute(select(audit_log.c.hash).where(audit_log.c.seq == through)).first()
    if last is None or through <= _pruned_through(connection):
        return False
    data = written({"through": through, "hash": last.hash})
    now = moment_text(now_by(connection))
    note = Kept(
        seq=head.seq + 1,
        at=now,
        recorded_at=now,
        actor=actor,
        action=PRUNED,
        data=data,
        key_id=keys.key_id,
        previous_hash=head.hash,
    )
    _append(connection, [keys.sealed(note)])
    connection.execute(update(audit_log_head).where(_IS_THE_HEAD).values(pruned_through=through))
    return True


def record_deleted(connection: Connection, limit: int) -> int:
    """Delete some of the pruned entries, oldest first; return how many."""
    # Read from the log itself: a number in `audit_log_head` is easily changed.
    pruned = audit_log.c.seq <= _pruned_through(connection)
    oldest = select(audit_log.c.seq).where(pruned).order_by(audit_log.c.seq).limit(limit)
    return connection.execute(delete(audit_log).where(audit_log.c.seq.in_(oldest))).rowcount


def _pruned_through(connection: Connection) -> int:
    """Return the entry up to which the log says it was pruned; 0 if it never was."""
    its = audit_log.c
    notes = select(its.data).where(its.action == PRUNED)
    latest = connection.scalar(notes.order_by(its.at.desc(), its.seq.desc()).limit(1))
    return 0 if latest is None else int(json.loads(latest)["through"])


def _entry(entry: Entry, head: Head, now: str, keys: Keys) -> Kept:
    """Return the entry that comes after the head."""
    return keys.sealed(
        Kept(
            seq=head.seq + 1,
            at=moment_text(storable(entry.at)),
            recorded_at=now,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            origin=entry.origin,
            data=entry.data,
            job_id=entry.job_id,
            key_id=keys.key_id,
            previous_hash=head.hash,
        )
    )


def _locked_head(connection: Connection) -> Head:
    """Keep others from appending until this transaction ends; return where the log ends."""
    wanted = select(*(audit_log_head.c[name] for name in Head._fields)).where(_IS_THE_HEAD).with_for_update()
    row = connection.execute(wanted).first()
    if row is None:
        raise HeadGone("The row of audit_log_head is gone: run `postlude audit-log verify`, and see docs/audit-log.md.")
    return Head(*row)


def _receipts(connection: Connection, job_ids: Sequence[str]) -> dict[str, Receipt]:
    dialect = connection.dialect.name
    found = connection.execute(_of_jobs(dialect), ids_parameter(dialect, job_ids))
    return {row.job_id: Receipt(row.seq, row.hash) for row in found}


@cache
def _of_jobs(dialect: str) -> Any:
    its = audit_log.c
    return select(its.job_id, its.seq, its.hash).where(is_one_of(dialect, its.job_id))


def _append(connection: Connection, new: Sequence[Kept]) -> None:
    if new:
        connection.execute(insert(audit_log), [_row(entry) for entry in new])
        connection.execute(update(audit_log_head).where(_IS_THE_HEAD).values(seq=new[-1].seq, hash=new[-1].hash))


def _row(entry: Kept) -> dict[str, Any]:
    moments = {name: datetime.fromisoformat(getattr(entry, name)) for name in ("at", "recorded_at")}
    return entry._asdict() | moments
