"""What an error of a target's database is about: a row, the import, or the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs.csv.targets import TargetRefused
from jobs.kit.outcomes import Retry
from service.errors import LedgerUnavailable
from service.ledger.outages import is_data_error, is_unavailable, lacks_tables

# Syntax, rights, names and types: just as wrong for the next row.
_OF_ALL = ("42", "0A", "3F")
# A broken transaction, settings, the server behind a foreign table, the database's own faults: about no row.
_OF_DATABASE = ("25", "F0", "HV", "XX")
_LONGEST = 500


class TargetAway(Retry):
    """The target's database does not answer, or takes no writes."""


def reason_of_row(error: DBAPIError) -> str | None:
    """Say why the database refuses a row, if the row is at fault: a trigger may refuse it with any code."""
    code = _code_of(error)
    is_of_row = not (is_unavailable(error) or code.startswith(_OF_ALL + _OF_DATABASE)) if code else is_data_error(error)
    return words_of(error) if is_of_row else None


def words_of(error: BaseException) -> str:
    """Return what the driver says, in one line."""
    original = getattr(error, "orig", None) or error
    cause = original.__cause__ or original
    detail = getattr(cause, "detail", None)
    line = str(cause).partition("\n")[0]
    return f"{line} ({detail})"[:_LONGEST] if detail else line[:_LONGEST]


@contextmanager
def told_apart() -> Iterator[None]:
    """Raise `TargetRefused` for a permanent error, `TargetAway` for one that may pass."""
    try:
        yield
    except (LedgerUnavailable, SQLAlchemyError, OSError, TimeoutError) as error:
        cause = error.__cause__ if isinstance(error, LedgerUnavailable) and error.__cause__ else error
        if _is_for_good(cause):
            raise TargetRefused(f"The target's database refuses the import: {words_of(cause)}.") from error
        raise TargetAway(f"The target's database is away: {words_of(cause) or type(cause).__name__}.") from error


def _is_for_good(cause: BaseException) -> bool:
    if lacks_tables(cause):
        return True
    if code := _code_of(cause):
        return code.startswith(_OF_ALL)
    return _is_of_sqlite_statement(cause) or not is_unavailable(cause)


def _is_of_sqlite_statement(cause: BaseException) -> bool:
    """Whether SQLite cannot run the statement at all: its table does not exist, or takes no rows."""
    return getattr(getattr(cause, "orig", None), "sqlite_errorname", None) == "SQLITE_ERROR"


def _code_of(error: BaseException) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""
