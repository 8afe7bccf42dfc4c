"""Whether anybody may call: only on this machine, with no keys in the settings and no keys or users in the ledger."""

import structlog

from service.access.reads import is_anybody_known
from service.access.remembered import Remembered
from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.deadline import in_time

log = structlog.get_logger(__name__)

LOOKED_UP_WITHIN_S = 3.0


class Opening:
    """A service that is closed stays closed: revoking the last key must not let everybody in."""

    def __init__(self, database: Database, *, may_open: bool) -> None:
        self._database = database
        self._is_closed = not may_open
        self._was_open = False
        self._known = Remembered(self._read)

    @property
    def is_closed(self) -> bool:
        """Whether the service is known to be closed."""
        return self._is_closed

    @property
    def is_known_open(self) -> bool:
        """Whether anybody may call, as far as is known without a look."""
        return not self._is_closed and self._known.recall("") is True

    async def is_open(self) -> bool:
        """Raises `LedgerUnavailable` if it was never known. While the ledger is away, the last answer stands."""
        if self._is_closed:
            return False
        known = self._known.recall("")
        if known is None:
            try:
                known = await in_time(self._known.of(""), within_s=LOOKED_UP_WITHIN_S)
            except LedgerUnavailable:
                if not self._was_open:
                    raise
                return True
        return bool(known)

    def forget(self) -> None:
        """Look again next time: a key or a user was made here."""
        self._known.forget("")

    async def close(self) -> None:
        await self._known.close()

    async def _read(self, _name: str) -> bool:
        async with self._database.connect() as connection:
            self._is_closed = await is_anybody_known(connection)
        if not self._is_closed and not self._was_open:
            log.warning(
                "open_to_everybody", reason="there are no keys and no users: anyone on this machine may do everything"
            )
        elif self._is_closed and self._was_open:
            log.info("asks_for_keys", reason="a key or a user was made")
        self._was_open = not self._is_closed
        return self._was_open
