"""Imports into one table at the same moment, which may have the same keys in another order."""

from sqlalchemy import Connection, func, select, types
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import cast

from service.import_targets import TableSettings
from service.imports.refusals import TargetAway
from service.imports.table.shape import reference_to
from service.ledger.outages import is_lock_timeout

# Less than a statement may take: its end would seem to be that of a database that does not answer.
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
    within = func.set_config("lock_timeout", f"{_WAITS_S}s", True)
    try:
        connection.execute(select(within, take(func.hashtext("postlude imports"), func.hashtext(table))))
    except DBAPIError as error:
        if not is_lock_timeout(error):
            raise
        raise TargetAway(
            f"Other imports into the same table went on for {_WAITS_S} s, and this one waits for its turn."
            " It goes on where it was."
        ) from error
