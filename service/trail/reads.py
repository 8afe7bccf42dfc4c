"""Reads of the trail."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access_tables import trail
from service.ledger.guards import unindexed
from service.tables import Moment
from service.trail.entries import CHANGED, Ending, Noted, TrailFilter

# How `after` begins the note of a number. Within a text, its quotes would be escaped.
_CHANGED = f'"{CHANGED}":'


async def list_actions(connection: AsyncConnection, wanted: TrailFilter, limit: int) -> Sequence[Noted]:
    """Return actions, newest first."""
    rows = await connection.execute(actions(wanted, limit))
    return [
        Noted(**row | {"ending": Ending(row["ending"]), "before": _read(row["before"]), "after": _read(row["after"])})
        for row in map(dict[str, Any], rows.mappings())
    ]


async def who_last(connection: AsyncConnection, action: str, target_type: str, target: str) -> str | None:
    """Return the name of the principal who last took this action on a target, if the trail still knows."""
    newest = await list_actions(connection, TrailFilter(action=action, target_type=target_type, target=target), 1)
    return next((one.principal_name for one in newest if one.ending is not Ending.REFUSED), None)


class LastChange(NamedTuple):
    """When something was last changed, and by whom."""

    at: datetime
    by: str


async def last_change(connection: AsyncConnection, action: str, target_type: str, target: str) -> LastChange | None:
    """Return the last time that this action changed a target, if the trail still knows.

    An action counts if it has noted how many things it changed (see `with_changed`): counts before and after tell of
    whatever else went on meanwhile, too. One that was cut off has noted nothing, whatever it did.
    """
    is_so = (unindexed(trail.c.action) == action, unindexed(trail.c.target_type) == target_type)
    is_done = (trail.c.ending == Ending.DONE, trail.c.after.contains(_CHANGED))
    found = (
        select(trail.c.at, trail.c.principal_name)
        .where(trail.c.target == target, *is_so, *is_done)
        .order_by(trail.c.at.desc(), trail.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(found)).first()
    return None if row is None else LastChange(*row)


def actions(wanted: TrailFilter, limit: int) -> Select[Any]:
    """Ask for actions along the index that fits the filter, or along that of all actions."""
    return select(trail).where(*_conditions(wanted)).order_by(trail.c.at.desc(), trail.c.id.desc()).limit(limit)


def _conditions(wanted: TrailFilter) -> list[ColumnElement[bool]]:
    named = {
        trail.c.principal: wanted.principal,
        trail.c.action: wanted.action,
        trail.c.target_type: wanted.target_type,
        trail.c.target: wanted.target,
    }
    conditions = [column == value for column, value in named.items() if value is not None]
    if wanted.after is not None:
        conditions.append(trail.c.at >= wanted.after)
    if wanted.before is not None:
        conditions.append(trail.c.at < wanted.before)
    if wanted.beyond is not None:
        at, entry_id = wanted.beyond
        conditions.append(tuple_(trail.c.at, trail.c.id) < tuple_(literal(at, Moment), entry_id))
    return conditions


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
