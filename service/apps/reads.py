"""Reads of apps."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.apps.tables import apps

_SHOWN = (apps.c.name, apps.c.url, apps.c.created_at, apps.c.updated_at)


async def list_apps(connection: AsyncConnection, *, after: str = "", limit: int) -> Sequence[Any]:
    """Return apps without their secrets, ordered by name, starting after `after`."""
    found = select(*_SHOWN).where(apps.c.name > after).order_by(apps.c.name).limit(limit)
    return (await connection.execute(found)).all()


async def find_app(connection: AsyncConnection, name: str) -> Any | None:
    """Return an app without its secret."""
    return (await connection.execute(select(*_SHOWN).where(apps.c.name == name))).first()


async def ways_to(connection: AsyncConnection, names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the address of each app, and its secret as it is stored."""
    found = select(apps.c.name, apps.c.url, apps.c.secret).where(apps.c.name.in_(names))
    return {row.name: (row.url, row.secret) for row in await connection.execute(found)}
