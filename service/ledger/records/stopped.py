"""An operation stops with its job."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text, update

from service.ledger.operations import JOB_CANCELLED, OperationState
from service.operation_tables import LIVE_OPERATION_SQL, operations


def stop_operations_of(connection: Connection, job_ids: Sequence[str], at: datetime) -> None:
    """Stop the live operations of these jobs, which a user has cancelled."""
    stopped = update(operations).where(text(LIVE_OPERATION_SQL), operations.c.job_id.in_(job_ids))
    connection.execute(stopped.values(state=OperationState.STOPPED, error=JOB_CANCELLED, finished_at=at))
