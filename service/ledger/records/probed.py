"""A write whose only purpose is to show that writes are possible."""

from datetime import datetime

from sqlalchemy import Connection

from service.ledger.rows import insert_for
from service.tables import write_probe


def record_probe(connection: Connection, at: datetime) -> None:
    """Write the probe's one row."""
    row = insert_for(connection.dialect.name)(write_probe).values(id=1, written_at=at)
    connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"written_at": row.excluded.written_at}))
