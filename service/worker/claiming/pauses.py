"""Which queues and kinds are paused according to the ledger, for when Redis cannot tell."""

from jobs.kit.lane import RESERVED_PREFIXES
from service import agreed_time
from service.ledger.ledger import Ledger
from service.ledger.reads.lanes import paused


class Pauses:
    """Knows the paused `queue:<name>` and `kind:<name>` as of the last look."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names: tuple[str, ...] | None = None

    async def names(self) -> tuple[str, ...]:
        """Return the paused names. Looks first if it never has, so that a new worker claims no paused jobs."""
        if self._names is None:
            await self.look()
        return self._names or ()

    async def look(self) -> None:
        """Read them anew."""
        async with self._ledger.read() as connection:
            rules = await paused(connection, agreed_time.now())
        self._names = tuple(rule.key for rule in rules if rule.key.startswith(RESERVED_PREFIXES))
