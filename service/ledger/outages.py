"""Tells apart the errors of databases (away, full, not migrated, wrong data) and names them for callers."""

from typing import Self

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
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

_StaleStatement = AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError
_ClientError = AsyncAdapt_asyncpg_dbapi.InternalClientError
# Postgres: connection lost, out of resources, operator intervention, disk or system failure, no such login or database,
# read-only, and errors that another try may heal. Then errors that only an operator can heal: no right to a table,
# tables of another version.
_UNAVAILABLE_SQLSTATES = (
    "08", "53", "57", "58", "28", "3D", "25006", "25P03", "40", "55", "42501", "42703", "42883", "3F000", "42P05",
    "26000",
)  # fmt: skip
# A serialization failure or a deadlock: the transaction was rolled back to let another go on.
_CONFLICT_SQLSTATES = ("40001", "40P01")
_LOCK_NOT_AVAILABLE = "55P03"
# A connection that failed, a statement whose completion is unknown, an administrator's intervention.
_FATE_UNKNOWN_SQLSTATES = ("08", "40003", "57P")
_DISK_FULL_SQLSTATE = "53100"
_READ_ONLY_SQLSTATE = "25006"
_UNDEFINED_TABLE = "42P01"
# Values, constraints, and what is too large for Postgres itself: a row of an index has 2,704 bytes at most.
_DATA_SQLSTATES = ("22", "23", "54")

NO_TABLES = "The ledger's tables are missing: run `postlude migrate`"
_OTHER_TABLES = "The ledger's tables are not those of this version: run `postlude migrate`"
POOLED = (
    "Between Postlude and Postgres stands a pooler that changes connections between transactions"
    " (pool_mode=transaction): connect to Postgres itself, or use pool_mode=session"
)
_STALE = "The ledger's tables have just been changed by a migration"
# By the beginning of Postgres' SQLSTATE; the first match counts.
_BY_SQLSTATE = {
    _READ_ONLY_SQLSTATE: "The ledger's database is read-only: a standby, or default_transaction_read_only is on",
    "28": "The ledger's database refuses the user or the password in POSTLUDE_DATABASE_URL",
    "3D": "The database that POSTLUDE_DATABASE_URL names does not exist",
    "42501": "The user in POSTLUDE_DATABASE_URL may not read and write the ledger's tables: grant SELECT, INSERT,"
    " UPDATE and DELETE on all of them, and USAGE on its sequence",
    _UNDEFINED_TABLE: NO_TABLES,
    "42703": _OTHER_TABLES,
    "42883": _OTHER_TABLES,
    "3F000": _OTHER_TABLES,
    "42P05": POOLED,
    "26000": POOLED,
    "53300": "The ledger's database has no connection left: raise max_connections, or run fewer processes",
    "57P03": "The ledger's database is starting or stopping",
    "58": "The disk or the system of the ledger's database fails: see its own log",
}
# By the words of a driver: SQLite and poolers send nothing else.
_BY_WORDS = {
    "statement pooling": POOLED,
    "no such table": NO_TABLES,
    "no such column": _OTHER_TABLES,
    "readonly database": "The ledger's file cannot be written: look at the rights of the file, its folder and its disk",
    "unable to open database file": "The ledger's file cannot be opened: look at POSTLUDE_DATA_DIR, and at its rights",
    "malformed": "The ledger's file is damaged: restore it from a backup",
    "not a database": "The ledger's file is no SQLite database: restore it from a backup, or name another",
    "disk I/O error": "The disk of the ledger's file fails",
    "database is locked": "Another process keeps the ledger's file locked",
}
_SILENT = "The ledger's database does not answer"


class translate_db_errors:  # noqa: N801 - reads as a statement in `with`
    """Turns the many errors of a lost database into `LedgerUnavailable` and its subclasses.

    Set `committing` once a commit is sent: a write that fails after that may have been recorded all the same, unless
    Postgres itself refused it.
    """

    committing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if lacks_tables(error):
            raise LedgerUnavailable(f"{NO_TABLES}.") from error
        if is_full(error):
            raise LedgerFull(
                "The disk of the ledger's database is full. Nothing was recorded; free some space, then send the"
                " request again."
            ) from error
        if is_unavailable(error):
            if self.committing and not was_refused(error):
                raise FateUnknown("The ledger's database went away before it confirmed the write") from error
            raise LedgerUnavailable(f"{reason_of(error)}. Nothing was recorded; send the request again.") from error


def reason_of(error: BaseException | None) -> str:
    """Say what is wrong with the database and, if known, what to do: a sentence without its full stop."""
    return known_reason_of(error) or _SILENT


def known_reason_of(error: BaseException | None) -> str | None:
    """Say the same, or return None if all that is known is that the database does not answer."""
    if not isinstance(error, DBAPIError):
        return None
    return _STALE if is_stale(error) else _known(error)


def is_stale(error: BaseException | None) -> bool:
    """Whether a statement was prepared before a migration and no longer fits. It is prepared again at its next use."""
    return isinstance(error, DBAPIError) and isinstance(error.orig, _StaleStatement)


def is_pooled(error: BaseException | None) -> bool:
    """Whether a pooler in between has lost a session's statements, or takes no transactions."""
    return isinstance(error, DBAPIError) and _known(error) == POOLED


def is_read_only(error: BaseException | None) -> bool:
    """Whether Postgres takes no writes on this connection, perhaps because its server is no longer the primary."""
    return _sqlstate_of(error) == _READ_ONLY_SQLSTATE


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
        # A `_ClientError` says that none of several hosts takes writes.
        away = isinstance(error, OperationalError | InterfaceError) or isinstance(error.orig, _ClientError)
        return error.connection_invalidated or away or is_stale(error) or _known(error) is not None
    return isinstance(error, OSError | TimeoutError | PoolTimeoutError)


def is_data_error(error: BaseException) -> bool:
    """Whether `error` comes from the rows of one write, so that the rest of its group can be saved without it."""
    if isinstance(error, LedgerUnavailable) or is_unavailable(error):
        return False
    if isinstance(error, DBAPIError) and (sqlstate := _sqlstate(error)):
        return sqlstate.startswith(_DATA_SQLSTATES)
    return isinstance(error, DataError | IntegrityError | StatementError | ValueError | TypeError)


def is_lock_timeout(error: BaseException | None) -> bool:
    """Whether a statement has waited for a lock for as long as `lock_timeout` says."""
    return isinstance(error, DBAPIError) and _sqlstate(error) == _LOCK_NOT_AVAILABLE


def is_conflict(error: BaseException | None) -> bool:
    """Whether Postgres broke a deadlock, or the like, by rolling this transaction back."""
    return isinstance(error, DBAPIError) and _sqlstate(error) in _CONFLICT_SQLSTATES


def was_refused(error: BaseException) -> bool:
    """Whether Postgres has answered a statement with an error, by which it has rolled back what was to be committed.

    One that ends the session (FATAL) is no answer: it may follow a commit whose confirmation did not arrive.
    """
    answer = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else None
    is_answer = isinstance(answer, asyncpg.PostgresError) and getattr(answer, "severity_en", None) == "ERROR"
    return is_answer and not str(getattr(answer, "sqlstate", "")).startswith(_FATE_UNKNOWN_SQLSTATES)


def may_be_repeated_at_once(error: BaseException | None) -> bool:
    """Whether a pooled connection had died."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _known(error: DBAPIError) -> str | None:
    sqlstate, words = _sqlstate(error) or "", str(error.orig)
    by_code = (reason for code, reason in _BY_SQLSTATE.items() if sqlstate.startswith(code))
    by_words = (reason for known, reason in _BY_WORDS.items() if known in words)
    return next(by_code, None) or next(by_words, None)


def _sqlstate(error: DBAPIError) -> str | None:
    return _sqlstate_of(error.orig)


def _sqlstate_of(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)
