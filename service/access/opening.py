"""Whether anybody may call: on this machine, without keys in the settings, keys and users in the ledger."""

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
        """Whether it is known to be closed."""
        return self._is_closed

    async def is_open(self) -> bool:
        """Raises `LedgerUnavailable` if that has never been known. While the ledger is away, all is as it was."""
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
        """Look anew: a key or a user was made here."""
        self._known.forget("")

    async def close(self) -> None:
        await self._known.close()

    async def _read(self, _name: str) -> bool:
        async with self._database.connect() as connection:
            self._is_closed = await is_anybody_known(connection)
        if not self._is_closed and not self._was_open:
            log.warning(
                "open_to_everybody", reason="there are no keys and no users: whoever reaches this machine may do all"
            )
        elif self._is_closed and self._was_open:
            log.info("asks_for_keys", reason="a key or a user was made")
        self._was_open = not self._is_closed
        return self._was_open
