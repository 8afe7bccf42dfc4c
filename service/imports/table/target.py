"""A target that is a table."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from jobs.csv.columns import Column
from jobs.csv.records import BadRow
from jobs.csv.targets import Batch, Import, Standing, TargetRefused, Tried
from service import agreed_time
from service.import_targets import TableSettings
from service.imports.place import Place
from service.imports.reads import bad_rows, has_tables
from service.imports.refusals import TargetAway
from service.imports.table.putting import put_batch, put_rows
from service.imports.table.records import Statements
from service.imports.table.shape import Shape, key_for, shape_of
from service.imports.table.turns import wait_for_turn
from service.imports.tables import metadata
from service.ledger.outages import is_conflict

T = TypeVar("T")


class _RolledBack(Exception):
    """Ends a rehearsal."""

    def __init__(self, tried: Tried) -> None:
        self.tried = tried


class TableTarget:
    """See `jobs.csv.targets.Target`."""

    batch_size = None

    def __init__(self, place: Place, settings: TableSettings, wanted: Import, shape: Shape) -> None:
        self._place = place
        self._settings = settings
        self._import = wanted
        self._shape = shape
        self._key = key_for(shape, wanted.on_conflict, wanted.key, settings)
        self._statements: Statements | None = None
        self._is_alone = False
        self.columns: Sequence[Column] = shape.columns

    @classmethod
    async def open(cls, place: Place, settings: TableSettings, wanted: Import) -> "TableTarget":
        """Look at the table. Raises `TargetRefused`."""
        return cls(place, settings, wanted, await place.read(partial(shape_of, settings=settings)))

    async def take_over(self) -> Standing | None:
        await make_tables(self._place)
        return await self._place.take_over(self._import)

    async def begin(self, form: str) -> Standing:
        return await self._place.begin(self._import, form)

    async def write(self, batch: Batch, standing: Standing) -> Standing:
        wanted, now = self._import, agreed_time.now()

        def write(connection: Connection) -> Standing:
            statements = self._statements_for(connection, batch)
            return put_batch(connection, statements, batch, wanted.job_id, wanted.attempt, standing, now)

        return await self._in_turn(write)

    async def rehearse(self, batch: Batch) -> Tried:
        def write(connection: Connection) -> None:
            raise _RolledBack(put_rows(connection, self._statements_for(connection, batch), batch))

        try:
            await self._in_turn(write)
        except _RolledBack as rehearsed:
            return rehearsed.tried
        raise AssertionError("a rehearsal is rolled back")

    def bad_rows(self) -> AsyncIterator[BadRow]:
        return noted_bad_rows(self._place, self._import.job_id)

    async def _in_turn(self, write: Callable[[Connection], T]) -> T:
        """Write beside other imports into the table, and without them once one has met this one in a deadlock."""

        met = False

        def write_in_turn(connection: Connection) -> T:
            nonlocal met
            met = False
            wait_for_turn(connection, self._settings, alone=self._is_alone)
            try:
                return write(connection)
            except DBAPIError as error:
                met = is_conflict(error)
                self._is_alone = self._is_alone or met
                raise

        was_alone = self._is_alone
        try:
            return await self._place.write(write_in_turn)
        except TargetAway:
            if was_alone or not met:  # written again after a commit whose answer was lost, it would seem taken over
                raise
            return await self._place.write(write_in_turn)

    def _statements_for(self, connection: Connection, batch: Batch) -> Statements:
        if self._statements is None:
            names = {one.name for one in batch.columns}
            wanted, key = self._import, self._key
            if wanted.on_conflict == "skip" and not wanted.key and not names.issuperset(key):
                key = ()  # any unique columns will do
            self._statements = Statements(
                connection.dialect, self._settings, self._shape, batch.columns, wanted.on_conflict, key
            )
        return self._statements


async def noted_bad_rows(place: Place, job_id: str) -> AsyncIterator[BadRow]:
    """Yield the bad rows of an import, page by page."""
    after = 0
    while page := await place.read(partial(bad_rows, job_id=job_id, after=after)):
        for row in page:
            yield row
        after = page[-1].line


async def make_tables(place: Place) -> None:
    """Create the tables that record how far imports are, unless they exist. Raises `TargetRefused`."""
    if await place.read(has_tables):
        return
    try:
        await place.write(partial(metadata.create_all, checkfirst=True))
    except TargetRefused as error:
        if await place.read(has_tables):  # another worker was quicker
            return
        raise TargetRefused(
            f"{error} It lacks the tables postlude_imports and postlude_import_errors, and this user may not create"
            " them: run there what `postlude imports ddl` prints."
        ) from error
