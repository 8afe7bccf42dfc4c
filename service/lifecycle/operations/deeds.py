"""What each action of an operation does to a page of members, set by set."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from service.lane_rules import in_order
from service.ledger.ledger import Ledger
from service.ledger.models import NOTHING_FOLLOWED, Followed
from service.ledger.operations import Against
from service.ledger.reads.members import Member
from service.ledger.records.cancelled import Cancel, record_cancelled
from service.ledger.records.operations import states_now
from service.ledger.records.purged import delete_jobs
from service.ledger.records.replayed import Replay, Replayed, record_replayed
from service.ledger.states import TERMINAL, State
from service.ledger.traits import FOLLOWED, Trait
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.lifecycle.runnable import Runnable
from service.queue import NO_CLAIM_MS, Entry, Release

_PARENTS = Trait.PARENTS.value  # `&` with a flag takes thirty times as long


class Done(NamedTuple):
    """What was done in a page's transaction: the members that it failed on, what to tell Redis, and what followed."""

    against: Mapping[str, Against]
    told: Sequence[Any] = ()
    followed: Followed = NOTHING_FOLLOWED


class Deed(Protocol):
    """One action. `prepare` only reads, `apply` is in the page's transaction, `tell` comes after its commit.

    `apply` guards each member, which may have changed since it was read. The sweep mends what Redis is not told.
    """

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]: ...

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done: ...

    async def tell(self, done: Done) -> None: ...


class ReplayMembers:
    """Members run again. If several share a unique key, only the newest that can run does."""

    _MESSAGES: Mapping[str, str] = {
        "kind_unknown": "There is no kind {0.kind!r} any more.",
        "queue_unknown": "No worker serves the queue {0.queue!r}.",
        "args_invalid": "The stored args no longer fit {0.kind}.",
        Replayed.UNIQUE_KEY_TAKEN: "Another job has its unique_key.",
        Replayed.STATE_FORBIDS: "It is neither failed nor cancelled any more.",
        Replayed.PARENT_FAILED: "A job that it needs has failed: replay that one, and this one follows.",
    }

    def __init__(self, dispatcher: Dispatcher, following: Following, runnable: Runnable) -> None:
        self._dispatcher = dispatcher
        self._following = following
        self._runnable = runnable
        self._first_with: dict[str, str] = {}

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]:
        reasons = await self._runnable.reasons_against(members)
        for member in members:
            if member.id not in reasons and (member.taken or not self._takes_key(member)):
                reasons[member.id] = Replayed.UNIQUE_KEY_TAKEN
        return {member.id: self._against(member, reasons[member.id]) for member in members if member.id in reasons}

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        became = record_replayed(connection, [Replay(member.id, at) for member in members])
        pairs = list(zip(members, became, strict=True))
        replayed = [one for one, result in pairs if result is Replayed.YES]
        waiting = states_now(connection, [one.id for one in replayed if one.traits & _PARENTS])
        return Done(
            {one.id: self._against(one, result) for one, result in pairs if result is not Replayed.YES},
            [_entry(one, at) for one in replayed if waiting.get(one.id) != State.BLOCKED],
            Followed(left=any(one.traits & FOLLOWED for one in replayed)),
        )

    async def tell(self, done: Done) -> None:
        await self._dispatcher.put_anew(done.told)
        self._following.carry_on(done.followed)

    def _takes_key(self, member: Member) -> bool:
        key = member.unique_key
        return key is None or self._first_with.setdefault(key, member.id) == member.id

    def _against(self, member: Member, reason: str) -> Against:
        return Against(str(reason), self._MESSAGES[reason].format(member))


class CancelMembers:
    """Members are cancelled; running ones are asked to end."""

    def __init__(self, dispatcher: Dispatcher, following: Following, writer: str) -> None:
        self._dispatcher = dispatcher
        self._following = following
        self._writer = writer

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]:
        return {one.id: forbids(one.state, "cancelled") for one in members if one.state in TERMINAL}

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        became = record_cancelled(connection, [Cancel(one.id, self._writer, at) for one in members])
        cancelled = [one for one in became if one is not None]
        late = [one for one, result in zip(members, became, strict=True) if result is None]
        return Done(
            {one.id: Against("state_forbids", "It ended at the same moment.") for one in late},
            [Release(one.member, one.lanes, claim_ms=NO_CLAIM_MS) for one in cancelled if one.lanes],
            next((one.followed for one in cancelled if one.followed != NOTHING_FOLLOWED), NOTHING_FOLLOWED),
        )

    async def tell(self, done: Done) -> None:
        await self._dispatcher.release(done.told)
        self._following.carry_on(done.followed)


class DeleteMembers:
    """Ended members are deleted, with everything that belongs to them."""

    def __init__(self, ledger: Ledger) -> None:
        self._belongings = ledger.belongings

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]:
        return {one.id: forbids(one.state, "deleted") for one in members if one.state not in TERMINAL}

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        ids = [one.id for one in members]
        delete_jobs(connection, ids, self._belongings)
        return Done({one: _not_deleted(state) for one, state in states_now(connection, ids).items()})

    async def tell(self, done: Done) -> None:
        """Ids left on a queue come up once more, and are removed."""


def _entry(one: Member, at: datetime) -> Entry:
    return Entry(one.id, one.kind, one.queue, at, one.priority, in_order(one.lane, one.kind_lane), one.lane_limits)


def _not_deleted(state: str) -> Against:
    if state in TERMINAL:
        return Against("needed", "Jobs that come after it are not decided yet.")
    return forbids(state, "deleted")


def forbids(state: str, verb: str) -> Against:
    return Against("state_forbids", f"The job is {state}: it cannot be {verb}.")
