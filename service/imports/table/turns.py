"""Imports into one table at the same moment, which may have the same keys in another order."""

from sqlalchemy import Connection, func, select, types
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import cast

from service.import_targets import TableSettings
from service.imports.refusals import TargetAway
from service.imports.table.shape import reference_to
from service.ledger.outages import is_lock_timeout

# Shorter than a statement's time limit: an import that waits until that limit would report that the database is away.
_WAITS_S = 20


def wait_for_turn(connection: Connection, settings: TableSettings, *, alone: bool) -> None:
    """Wait until the transaction may write to the table: together with other imports, or `alone`.

    Imports whose rows have the same keys in another order wait for one another, and Postgres ends one of them. SQLite
    has one writer anyway. Raises `TargetAway` if others take too long.
    """
    if connection.dialect.name != "postgresql":
        return
    take = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
    table = cast(cast(reference_to(connection, settings), OID), types.Text)
    # Columns are computed from left to right. The limit is for the turn alone, not for rows and triggers.
    before = select(func.current_setting("lock_timeout").label("value")).cte("before").prefix_with("MATERIALIZED")
    turn = select(
        func.set_config("lock_timeout", f"{_WAITS_S}s", True),
        take(func.hashtext("postlude imports"), func.hashtext(table)),
        func.set_config("lock_timeout", before.c.value, True),
    )
    try:
        connection.execute(turn)
    except DBAPIError as error:
        if not is_lock_timeout(error):
            raise
        raise TargetAway(
            f"Other imports into the same table went on for {_WAITS_S} s, and this one still waits for its turn."
            " It will be tried again."
        ) from error
