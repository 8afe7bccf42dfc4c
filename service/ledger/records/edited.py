"""A user replays a job with other args: both in one transaction, so that no worker starts it with the old args."""

from sqlalchemy import Connection

from service.ledger.records.changed import Change, record_changed
from service.ledger.records.replayed import Replay, Replayed, record_replayed


def record_replayed_edited(connection: Connection, replay: Replay, change: Change) -> Replayed:
    """Put a failed or cancelled job back, changed. Raises `IntegrityError` as `record_replayed` does."""
    [replayed] = record_replayed(connection, [replay])
    if replayed is Replayed.YES:
        record_changed(connection, [change])
    return replayed
