"""What the action `change` sets, as the ledger stores it; and how members are changed and run now."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from jobs import Catalogue, Kind, Lane
from jobs.kit.lane import to_lane
from service import agreed_time
from service.errors import Refused
from service.ledger.changes import Changed, ChangeResult
from service.ledger.ledger import Ledger
from service.ledger.operations import Against
from service.ledger.reads import jobs as queries
from service.ledger.reads.members import Member
from service.ledger.records.advanced import Advance, record_advanced
from service.ledger.records.changed import Change, record_changed
from service.ledger.states import UNSTARTED, State
from service.lifecycle.args import accepted_args
from service.lifecycle.change import Wanted, change_of, needs_args
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.operations.deeds import Done, forbids

_READ_AT_ONCE = 50  # args, of up to 256 KiB each


class _Stored(BaseModel):
    """`Wanted` as JSON; the args are of the one kind that the filter names."""

    model_config = ConfigDict(ser_json_timedelta="float")

    run_at: datetime | None = None
    priority: int | None = None
    args: dict[str, Any] = {}
    queue: str | None = None
    lane: str | Lane | None = None
    max_attempts: int | None = None
    timeout: timedelta | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None


def written_change(wanted: Wanted) -> str:
    """Write what `change` sets for the ledger, in the words of a request."""
    stored = cast(dict[str, Any], dict(wanted))
    if "args" in wanted:
        stored["args"] = wanted["args"].model_dump(mode="json", by_alias=True, round_trip=True)
    if (lane := wanted.get("lane")) is not None and lane == Lane(lane.key):
        stored["lane"] = lane.key
    return _Stored(**stored).model_dump_json(exclude_unset=True)


def read_change(stored: str, kind: Kind[Any, Any] | None) -> Wanted:
    """Read what `written_change` wrote; `kind` is the kind of the args. Raises `ArgsInvalid`."""
    read = _Stored.model_validate_json(stored)
    wanted = {name: getattr(read, name) for name in read.model_fields_set}
    if "lane" in wanted:
        wanted["lane"] = to_lane(wanted["lane"])
    if "args" in wanted and kind is not None:
        wanted["args"] = accepted_args(kind, wanted["args"])
    return cast(Wanted, wanted)


class ChangeMembers:
    """Members that have not started are changed, each as a whole."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, catalogue: Catalogue, wanted: Wanted) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._catalogue = catalogue
        self._wanted = wanted
        self._changes: Mapping[str, Change] = {}

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]:
        against = {one.id: forbids(one.state, "changed") for one in members if one.state not in UNSTARTED}
        free = [one for one in members if one.id not in against]
        stored = await self._args_of([one for one in free if needs_args(self._wanted, self._catalogue.get(one.kind))])
        changes, refused = await asyncio.to_thread(self._made, free, stored)
        self._changes = changes
        return against | refused

    async def _args_of(self, members: Sequence[Member]) -> dict[str, queries.StoredArgs]:
        stored: dict[str, queries.StoredArgs] = {}
        for start in range(0, len(members), _READ_AT_ONCE):
            async with self._ledger.read() as connection:
                some = [one.id for one in members[start : start + _READ_AT_ONCE]]
                stored |= await queries.stored_args(connection, some)
        return stored

    def _made(
        self, members: Sequence[Member], stored: Mapping[str, queries.StoredArgs]
    ) -> tuple[dict[str, Change], dict[str, Against]]:
        now, changes, refused = agreed_time.now(), dict[str, Change](), dict[str, Against]()
        for one in members:
            try:
                changes[one.id] = change_of(
                    one.id, one.kind, self._wanted, now, catalogue=self._catalogue, stored=stored.get(one.id)
                )
            except Refused as error:
                refused[one.id] = Against(_reason(error), error.detail)
        return changes, refused

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        became = record_changed(connection, [self._changes[one.id] for one in members])
        return _done(members, became, "changed")

    async def tell(self, done: Done) -> None:
        await self._dispatcher.move(done.told)


class RunMembersNow:
    """Members that wait for their time become due at once."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def prepare(self, members: Sequence[Member]) -> dict[str, Against]:
        against = {one.id: forbids(one.state, "run now") for one in members if one.state not in UNSTARTED}
        return against | {one.id: _BLOCKED for one in members if one.state == State.BLOCKED}

    def apply(self, connection: Connection, members: Sequence[Member], at: datetime) -> Done:
        return _done(members, record_advanced(connection, [Advance(one.id, at) for one in members]), "run now")

    async def tell(self, done: Done) -> None:
        await self._dispatcher.move(done.told)


_BLOCKED = Against("blocked", "The job waits for other jobs.")


def _done(members: Sequence[Member], became: Sequence[Changed], verb: str) -> Done:
    good = (ChangeResult.YES, ChangeResult.DUE_ALREADY)
    pairs = list(zip(members, became, strict=True))
    return Done(
        {one.id: _against(changed, verb) for one, changed in pairs if changed.result not in good},
        [changed for _, changed in pairs if changed.result is ChangeResult.YES],
    )


def _against(changed: Changed, verb: str) -> Against:
    match changed.result:
        case ChangeResult.BLOCKED:
            return _BLOCKED
        case ChangeResult.ARGS_CHANGED:
            return Against("args_changed", "Its args were changed at this moment.")
        case _:
            return forbids(changed.state or "deleted", verb)


def _reason(error: Refused) -> str:
    """Name a refusal as reasons are named: `KindUnknown` is kind_unknown."""
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
