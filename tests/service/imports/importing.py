"""Imports into real databases, with files that are at hand."""

import csv
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from jobs.csv import ImportCsvArgs, import_csv
from jobs.csv.result import ImportCsvResult
from jobs.csv.targets import ImportTargets
from jobs.kit.files import StoredFile
from service.imports.capability import TargetsOfSettings
from service.ledger.database import Database
from service.settings import Settings
from tests.support.fakes import fake_context

JOB = "018f0000-0000-7000-8000-000000000001"


class FilesAtHand:
    """One file to import, and what was stored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: dict[str, bytes] = {}

    async def get(self, file_id: str) -> StoredFile:
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _stored(file_id, "people.csv", self.path.stat().st_size, digest)

    @asynccontextmanager
    async def local(self, _file_id: str) -> AsyncIterator[Path]:
        yield self.path

    async def store(self, source: Any, *, name: str, **_options: Any) -> StoredFile:
        content = b"".join([chunk async for chunk in source])
        self.stored[name] = content
        return _stored(name, name, len(content), hashlib.sha256(content).hexdigest())


def _stored(file_id: str, name: str, size: int, digest: str) -> StoredFile:
    return StoredFile(file_id, name, size, "text/csv", digest, datetime(2026, 1, 1, tzinfo=UTC), None)


class Importer:
    """Imports files into targets over the ledger's own database."""

    def __init__(self, settings: Settings, database: Database, stack: AsyncExitStack, folder: Path) -> None:
        self.settings = settings
        self.database = database
        self.files = FilesAtHand(folder / "import.csv")
        self._stack = stack
        self.enqueued: dict[str, tuple[str, Any]] = {}
        self.refuse: Any = lambda args: None

    async def execute(self, *statements: str) -> None:
        for statement in statements:
            await self.database.run(lambda connection, sql=statement: connection.exec_driver_sql(sql))  # type: ignore[misc]

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.database.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]

    async def enqueue(self, kind: str, args: Any, *, id: str, **_options: Any) -> str:  # noqa: A002 - its name
        self.refuse(args)
        self.enqueued.setdefault(id, (kind, args))
        return id

    async def run(
        self, content: str | bytes | None = None, *, attempt: int = 1, job_id: str = JOB, **args: Any
    ) -> ImportCsvResult:
        """Run one attempt of a job over a file; without `content` over the one from before."""
        if content is not None:
            self.files.path.write_bytes(content.encode() if isinstance(content, str) else content)
        targets = TargetsOfSettings(self.settings, self.database, self._stack)
        ctx = fake_context(
            files=self.files,  # type: ignore[arg-type]
            capabilities={ImportTargets: targets},
            enqueue=self.enqueue,
            attempt=attempt,
            job_id=job_id,
            timeout=timedelta(hours=1),
        )
        return await import_csv.function(ctx, ImportCsvArgs(**{"file": "f1", "target": "people"} | args))

    @property
    def errors(self) -> list[list[str]]:
        """The rows of the errors' file, below its header."""
        content = self.files.stored["people-errors.csv"].decode("utf-8-sig")
        return list(csv.reader(io.StringIO(content, newline="")))[1:]


@asynccontextmanager
async def importer(database_url: str, folder: Path, targets: str) -> AsyncIterator[Importer]:
    settings = Settings(database_url=database_url, data_dir=folder, import_targets=targets)
    database = Database.open(settings.sqlalchemy_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        yield Importer(settings, database, stack, folder)
