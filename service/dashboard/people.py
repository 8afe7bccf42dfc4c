"""The names of principals on pages: users and keys by their own names."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.principal import ANYBODY, BOOTSTRAP
from service.access_tables import api_keys

_FIXED = {BOOTSTRAP.id: BOOTSTRAP.name, ANYBODY.id: ANYBODY.name}


async def names_of(connection: AsyncConnection, principals: Iterable[str | None]) -> Mapping[str, str]:
    """Return the name of each principal; an unknown one goes by its id."""
    found = {one: _FIXED.get(one, one.removeprefix("user:")) for one in principals if one is not None}
    keys = {one.removeprefix("key:"): one for one in found if one.startswith("key:")}
    if keys:
        statement = select(api_keys.c.id, api_keys.c.name).where(api_keys.c.id.in_(keys))
        for key_id, name in await connection.execute(statement):
            found[keys[key_id]] = f"key {name}"
    return found
