"""What a change of the keys means for everybody, in sentences for the person who made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from service.own_command import FIRST_KEY, own_command

if TYPE_CHECKING:
    from service.access.principal import Principal
    from service.ledger.database import Database


class Doors(NamedTuple):
    """Whether callers need a key, and whether any key or user can make others."""

    are_closed: bool
    have_admin: bool


async def read_doors(database: Database) -> Doors:
    from service import agreed_time
    from service.access.reads import is_admin_known, is_anybody_known
    from service.settings import Settings

    if Settings().api_keys:  # they may do everything
        return Doors(are_closed=True, have_admin=True)
    async with database.connect() as connection:
        return Doors(await is_anybody_known(connection), await is_admin_known(connection, agreed_time.now()))


def notes_on_made(before: Doors, after: Doors, key: Principal) -> Iterator[str]:
    """Say that a new key closes the service, and that none can make others."""
    from service.access.principal import Scope

    if not before.are_closed:
        yield "From now on, every caller needs a key, and the pages ask people to sign in."
    if not after.have_admin:
        opens_pages = key.may(Scope.READ) and key.kinds is None and key.queues is None
        cannot = "cannot make other keys" if opens_pages else "opens no page and cannot make other keys"
        yield f"This key {cannot}: {_makes_one()} that can."


def notes_on_revoked(before: Doors, after: Doors) -> Iterator[str]:
    """Say that the last admin is gone."""
    if before.have_admin and not after.have_admin:
        yield f"That was the last admin, and callers still need a key: {_makes_one()} that can make others."


def notes_on_none(doors: Doors, *, are_some_ended: bool) -> Iterator[str]:
    """Say that no key is valid, and that callers may need one all the same."""
    yield "no valid keys: --revoked shows the revoked and expired ones" if are_some_ended else "no keys"
    if doors.are_closed:
        yield f"Callers still need a key: {_makes_one()}."


def _makes_one() -> str:
    return f"`{own_command()} {FIRST_KEY}` makes one"
