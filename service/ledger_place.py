"""Where the ledger is, in words that show no password."""

from pathlib import Path

from sqlalchemy import make_url

from service.errors import StartRefused
from service.settings import Settings


def sqlite_path(settings: Settings) -> Path | None:
    """Return the ledger's file; None if the ledger is another database."""
    url = make_url(settings.sqlalchemy_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).resolve()


def ledger_place(settings: Settings) -> str:
    """Name the ledger's file, or its server and database."""
    url = make_url(settings.sqlalchemy_url)
    return str(sqlite_path(settings) or f"{url.database} on {url.host or 'a socket'}")


def refuse_missing_ledger(settings: Settings) -> None:
    """Raise `StartRefused` if the ledger's file is not there: SQLite would make an empty one."""
    path = sqlite_path(settings)
    if path is not None and not path.exists():
        setting = "POSTLUDE_DATA_DIR" if settings.database_url is None else "POSTLUDE_DATABASE_URL"
        raise StartRefused(
            f"there is no ledger at {path}. Run this where Postlude runs, or set {setting}; `postlude dev` and"
            " `postlude migrate` make a new ledger."
        )
