"""Imports into one table at the same moment, which may have the same keys in another order."""

from sqlalchemy import Connection, func, select, types
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql.expression import cast

from service.import_targets import TableSettings
from service.imports.table.shape import reference_to


def wait_for_turn(connection: Connection, settings: TableSettings, *, alone: bool) -> None:
    """Wait until the transaction may write to the table: together with other imports, or `alone`.

    Imports whose rows have the same keys in another order wait for one another, and Postgres ends one of them. SQLite
    has one writer anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    take = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
    table = cast(cast(reference_to(connection, settings), OID), types.Text)
    connection.execute(select(take(func.hashtext("postlude imports"), func.hashtext(table))))
