"""Records what operators do: first the action, then how it ended. A crash in between leaves the ending unknown."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import structlog
import uuid_utils

from service import agreed_time
from service.errors import LedgerUnavailable, PostludeError, type_of
from service.ledger.database import Database
from service.ledger.group_commit import GroupCommit
from service.ledger.outages import is_data_error
from service.trail.entries import Begun, Ended, Ending
from service.trail.records import record_begun, record_ended
from service.trail.snapshots import differences, snapshot

log = structlog.get_logger(__name__)

_LONGEST_TARGET = 255


class Actor(Protocol):
    """Who acts: a principal."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(slots=True)
class Entry:
    """An action's target, `before` and `after`: as a GET would show it, never with a secret."""

    target: str
    before: object = None
    after: object = None


class Trail:
    def __init__(self, database: Database) -> None:
        self._group_commit = GroupCommit(database.transact, is_data_error=is_data_error)

    @asynccontextmanager
    async def action(
        self,
        principal: Actor,
        action: str,
        target_type: str,
        target: str = "",
        *,
        address: str | None = None,
        before: object = None,
        **said: object,
    ) -> AsyncIterator[Entry]:
        """Record that `principal` begins `action` on the `target` and, at the end of the block, how it ended.

        The caller fills in `before` and `after`, and the target if it is made only within. `said` goes to the log.
        Raises `LedgerUnavailable` if the beginning cannot be recorded: then nothing is done.
        """
        begun = Begun(
            id=str(uuid_utils.uuid7()),
            at=agreed_time.now(),
            principal=principal.id,
            principal_name=principal.name,
            address=address,
            action=action,
            target_type=target_type,
            target=target[:_LONGEST_TARGET],
            before=snapshot(before),
        )
        await self._group_commit.write(record_begun, [begun])
        entry = Entry(target, before)
        names = {"action": action, "principal": principal.id, "target_type": target_type, "target": target, **said}
        try:
            yield entry
        except PostludeError as error:
            if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                log.info("action_refused", reason=type_of(type(error).__name__), **names)
                await self._end(begun.id, entry, Ending.REFUSED, f"{error.title}: {error.detail}")
            raise
        log.info("action_taken", **names)
        await self._end(begun.id, entry, Ending.DONE)

    async def _end(self, entry_id: str, entry: Entry, ending: Ending, refused: str | None = None) -> None:
        before, after = differences(entry.before, entry.after)
        ended = Ended(entry_id, entry.target[:_LONGEST_TARGET], ending, snapshot(before), snapshot(after), refused)
        try:
            await self._group_commit.write(record_ended, [ended])
        except LedgerUnavailable as error:
            # The action is done, and answered as done: only the trail does not know how it ended.
            log.warning("trail_end_not_recorded", entry=entry_id, reason=error.detail)


@dataclass(frozen=True, slots=True)
class Operator:
    """A principal who acts from an address."""

    trail: Trail
    principal: Actor
    address: str | None = None

    def action(
        self, action: str, target_type: str, target: str = "", *, before: object = None, **said: object
    ) -> AbstractAsyncContextManager[Entry]:
        """See `Trail.action`."""
        return self.trail.action(
            self.principal, action, target_type, target, address=self.address, before=before, **said
        )
