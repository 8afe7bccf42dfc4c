"""How Postgres compares text. Postlude's keys are text, so the rules of a language make it slower."""

import structlog
from sqlalchemy import Connection, inspect, text

from service.ledger.schema import VERSION_TABLE

log = structlog.get_logger(__name__)

# By the bytes, all capital letters come before all small ones. To ask for the collation's name needs rights and, from
# Postgres 15 on, knowledge of its provider.
_GOES_BY_LANGUAGE = text("SELECT CAST('a' AS TEXT) < CAST('B' AS TEXT)")


def warn_of_slow_collation(connection: Connection) -> None:
    """Warn before the first migration, while moving is cheap: a database's default collation cannot be changed."""
    if connection.dialect.name != "postgresql" or inspect(connection).has_table(VERSION_TABLE):
        return
    if connection.execute(_GOES_BY_LANGUAGE).scalar_one():
        log.warning(
            "collation_slow",
            reason="this database compares text by the rules of a language, which makes Postlude slower",
            remedy="nothing breaks if you keep it. For full speed, give Postlude a database of its own with"
            " LC_COLLATE 'C', before it holds jobs: see docs/production.md",
        )
