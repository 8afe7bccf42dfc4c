"""What `import_csv` needs: the targets of the settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from jobs.csv.targets import Import, ImportTargets, Target, TargetUnknown
from service.feature import Capabilities
from service.import_targets import KindSettings, TableSettings
from service.imports.kind_target import KindTarget
from service.imports.place import STATEMENT_LIMIT_S, Place
from service.imports.table.target import TableTarget
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.settings import Settings


class TargetsOfSettings:
    """See `jobs.csv.targets.ImportTargets`. Databases are opened on first use, and stay open."""

    def __init__(self, settings: Settings, ledger: Database, stack: AsyncExitStack) -> None:
        self._targets = settings.targets
        self._ledger_url = settings.sqlalchemy_url
        self._ledger = Place(ledger, is_ledger=True)
        self._places: dict[str, Place] = {}
        self._stack = stack

    async def open(self, wanted: Import) -> Target:
        target = self._targets.get(wanted.target)
        if target is None:
            known = (
                f"There are: {', '.join(sorted(self._targets))}." if self._targets else "Set POSTLUDE_IMPORT_TARGETS."
            )
            raise TargetUnknown(f"There is no target {wanted.target!r}. {known}")
        if isinstance(target, KindSettings):
            return KindTarget(self._ledger, target, wanted)
        return await TableTarget.open(self.place_of(target), target, wanted)

    def place_of(self, target: TableSettings) -> Place:
        """Return the database that a table is in."""
        url = None if target.url is None else target.url.get_secret_value()
        if url is None or url == self._ledger_url:
            return self._ledger
        if url not in self._places:
            database = Database.open_guest(url, limit_s=STATEMENT_LIMIT_S)
            self._stack.push_async_callback(database.close)
            self._places[url] = Place(database, is_ledger=False)
        return self._places[url]


@asynccontextmanager
async def open_targets(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the targets of the settings."""
    async with AsyncExitStack() as stack:
        yield {ImportTargets: TargetsOfSettings(settings, ledger.database, stack)}
