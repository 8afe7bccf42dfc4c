"""What kinds get as `ctx.files`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.kit.files import FilesOfJobs
from service.feature import Capabilities
from service.files.of_jobs import LibraryOfJobs
from service.files.opening import library_of
from service.ledger.ledger import Ledger
from service.settings import Settings


@asynccontextmanager
async def open_files(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the files of the settings' storage."""
    yield {FilesOfJobs: LibraryOfJobs(library_of(settings, ledger))}
