"""By which rules Postgres compares text. Those of a language cost Postlude, whose keys are text, much of its speed."""

import structlog
from sqlalchemy import Connection, inspect, text

from service.ledger.schema import VERSION_TABLE

log = structlog.get_logger(__name__)

_BUILT_IN = "b"
# The column of the provider is new in Postgres 15, and through JSON it may be missing.
_COLLATION = text(
    "SELECT to_jsonb(database) ->> 'datlocprovider', database.datcollate"
    " FROM pg_database AS database WHERE database.datname = current_database()"
)


def warn_of_slow_collation(connection: Connection) -> None:
    """Say how to make a faster database, while it is still empty: it cannot be changed later."""
    if connection.dialect.name != "postgresql" or inspect(connection).has_table(VERSION_TABLE):
        return
    if (collation := language_of(connection)) is not None:
        log.warning(
            "collation_slow",
            collation=collation,
            reason="comparing text by the rules of a language costs Postlude a good part of its speed",
            remedy="make the database with TEMPLATE template0 LC_COLLATE 'C' and migrate again, or leave it as it is",
        )


def language_of(connection: Connection) -> str | None:
    """Return the collation of the database; None if it compares characters by their numbers."""
    provider, collation = connection.execute(_COLLATION).one()
    if provider == _BUILT_IN or (provider != "i" and collation.partition(".")[0] in ("C", "POSIX")):
        return None
    return str(collation)
