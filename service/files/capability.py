"""What kinds have as `ctx.files`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.kit.context import Files
from service.feature import Capabilities
from service.files.local_files import LocalFiles
from service.ledger.ledger import Ledger
from service.settings import Settings


@asynccontextmanager
async def open_files(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the files below the data directory."""
    yield {Files: LocalFiles(settings.files_dir)}
