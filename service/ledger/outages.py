"""Tells the errors of databases apart: away, full, not migrated, or wrong data; and names them for callers."""

from typing import Self

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import FateUnknown, LedgerFull, LedgerUnavailable

# Postgres: connection lost, out of resources, operator intervention, no such login or database, read-only; and what a
# repeat may heal.
_UNAVAILABLE_SQLSTATES = ("08", "53", "57", "28", "3D", "25006", "25P03", "40", "55")
_CONFLICT_SQLSTATE = "40"
_DISK_FULL_SQLSTATE = "53100"
_UNDEFINED_TABLE = "42P01"
_DATA_SQLSTATES = ("22", "23")


class outages_named:  # noqa: N801 - reads as a statement in `with`
    """Turns the many faces of a lost database into `LedgerUnavailable` and its subclasses.

    Set `committing` once a commit is sent: what fails from then on may have been recorded all the same.
    """

    committing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if lacks_tables(error):
            raise LedgerUnavailable("The ledger's tables are missing: run `postlude migrate`.") from error
        if is_full(error):
            raise LedgerFull(
                "The disk of the ledger's database is full. Nothing was recorded; free some space, then send the"
                " request again."
            ) from error
        if is_unavailable(error):
            if self.committing:
                raise FateUnknown("The ledger's database went away before it confirmed the write") from error
            raise LedgerUnavailable(
                "The ledger's database does not answer. Nothing was recorded; send the request again."
            ) from error


def lacks_tables(error: BaseException) -> bool:
    """Whether `error` says that the migrations were not applied."""
    return isinstance(error, DBAPIError) and (
        _sqlstate(error) == _UNDEFINED_TABLE or "no such table" in str(error.orig)
    )


def is_full(error: BaseException) -> bool:
    """Whether `error` says that the database's disk has no room."""
    return isinstance(error, DBAPIError) and (
        _sqlstate(error) == _DISK_FULL_SQLSTATE or "database or disk is full" in str(error.orig)
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database is away, full or read-only, not that the data is wrong."""
    if isinstance(error, DBAPIError):
        sqlstate = _sqlstate(error)
        if sqlstate:
            return sqlstate.startswith(_UNAVAILABLE_SQLSTATES)
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return isinstance(error, OSError | TimeoutError | PoolTimeoutError)


def is_data_error(error: BaseException) -> bool:
    """Whether `error` comes from the rows of one write, so that its neighbours can be saved without it."""
    if isinstance(error, LedgerUnavailable) or is_unavailable(error):
        return False
    if isinstance(error, DBAPIError) and (sqlstate := _sqlstate(error)):
        return sqlstate.startswith(_DATA_SQLSTATES)
    return isinstance(error, DataError | IntegrityError | StatementError | ValueError | TypeError)


def may_be_repeated_at_once(error: BaseException | None) -> bool:
    """Whether a pooled connection had died, or Postgres broke a deadlock (class 40) at our cost."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or (_sqlstate(error) or "").startswith(_CONFLICT_SQLSTATE)
    )


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
