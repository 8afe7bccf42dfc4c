"""The database's clock, by which leases are kept: the one clock that all processes share."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, func, literal, select

from service import agreed_time
from service.tables import Moment


def now_by(connection: Connection) -> datetime:
    """Read the database's clock. SQLite uses the clock of the process that runs it."""
    if connection.dialect.name == "sqlite":
        return agreed_time.now()
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def clock_of(dialect: str) -> ColumnElement[datetime]:
    """Return the same as an expression, for a statement that reads other things too."""
    if dialect == "sqlite":
        return literal(agreed_time.now(), Moment())
    return func.clock_timestamp(type_=Moment())
