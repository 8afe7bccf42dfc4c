"""A job was put on the queue: noted with the queue's epoch, so that the sweep need not put it again."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, String, bindparam, update

from service.ledger.guards import state_is
from service.ledger.rows import found_by, parameter, unfold
from service.ledger.states import WAITING
from service.tables import jobs


def record_dispatched(connection: Connection, put: Sequence[tuple[str, int]], epoch: str) -> None:
    """Note that jobs, given as (id, attempt), were put on the queue of this `epoch`.

    Jobs that have been started since are left alone: a later attempt may have ended, and nobody has put the job since.
    """
    rows = parameter([{"id": job_id, "attempt": attempt} for job_id, attempt in put])
    connection.execute(_note(connection.dialect.name), {**rows, "epoch": epoch})


@cache
def _note(dialect: str) -> Any:
    put = unfold(dialect, "put", {"id": String(255), "attempt": Integer()})
    still = (found_by(dialect, jobs.c.id, put.c.id), jobs.c.attempt == put.c.attempt, state_is(*WAITING))
    return update(jobs).where(*still).values(dispatch_epoch=bindparam("epoch"))
