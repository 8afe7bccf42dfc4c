"""What the leader of the sweep does for files: deletes expired ones, and bytes that no row knows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import func, select

from service import agreed_time
from service.chore import Chore
from service.feature import ChoreTools
from service.file_tables import files
from service.files.library import FileLibrary
from service.files.opening import library_of
from service.files.reads import known_ids
from service.files.records import record_expired
from service.files.storage import StorageUnavailable
from service.ledger.ledger import Ledger
from service.ledger.reads.file_ids import is_used
from service.settings import Settings

log = structlog.get_logger(__name__)

_EXPIRE_EVERY_S = 30.0
_SWEEP_EVERY_S = 3600.0
_AT_ONCE = 200


@asynccontextmanager
async def open_keeping(tools: ChoreTools) -> AsyncIterator[Sequence[Chore]]:
    """Open the chores."""
    library = library_of(tools.settings, tools.ledger)

    async def expire() -> bool:
        return tools.leads() and await expire_some(library) == _AT_ONCE

    async def sweep_bytes() -> None:
        if tools.leads():
            await sweep(library)

    yield [Chore("files-expire", _EXPIRE_EVERY_S, expire), Chore("files-sweep", _SWEEP_EVERY_S, sweep_bytes)]


async def expire_some(library: FileLibrary) -> int:
    """Delete expired files that no job needs any more; return their number."""
    gone = await library.ledger.database.run(partial(record_expired, now=agreed_time.now(), at_most=_AT_ONCE))
    await library.delete_bytes(gone)
    return len(gone)


async def sweep(library: FileLibrary) -> int:
    """Delete bytes without a row, which a crash has left; return the number of files."""
    count = 0
    try:
        async for keys in library.storage.written_before(agreed_time.now() - library.storage.rowless_for):
            async with library.ledger.read() as connection:
                known = await known_ids(connection, keys)
            rowless = [key for key in keys if key not in known]
            await library.storage.delete(rowless)
            count += len(rowless)
    except StorageUnavailable as error:
        log.warning("files_not_swept", reason=str(error))
    if count:
        log.info("files_swept", count=count)
    return count


async def purge_files(settings: Settings, ledger: Ledger, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
    """Delete expired files in `cleanup`; return how many. Each file has its own expiry."""
    if dry_run:
        async with ledger.read() as connection:
            expired = select(func.count()).where(files.c.expires_at <= agreed_time.now(), ~is_used())
            return {"files": (await connection.execute(expired.select_from(files))).scalar_one()}
    library, count = library_of(settings, ledger), 0
    while some := await expire_some(library):
        count += some
    return {"files": count}
