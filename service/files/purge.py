"""Files that no job has changed for the time of retention are deleted."""

from datetime import timedelta

from service.feature import Purge
from service.files.local_files import LocalFiles
from service.ledger.ledger import Ledger
from service.settings import Settings


async def purge_files(settings: Settings, ledger: Ledger, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
    """Delete old files; return their number."""
    return {"files": await LocalFiles(settings.files_dir).purge(older_than, dry_run=dry_run)}


PURGE = Purge(by_age=purge_files)
