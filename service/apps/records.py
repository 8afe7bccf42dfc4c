"""Writes of apps."""

from collections.abc import Callable
from enum import StrEnum

from sqlalchemy import Connection, delete, select, update

from service.apps.tables import apps
from service.ledger.clock import now_by
from service.ledger.rows import insert_for


class Registered(StrEnum):
    """What became of a registration."""

    CREATED = "created"
    CHANGED = "changed"
    SAME = "same"
    REFUSED = "refused"  # it is kept with another secret


def record_app(
    connection: Connection, name: str, *, url: str, secret: str, is_trusted: Callable[[str], bool]
) -> Registered:
    """Register an app, or change it if `is_trusted` says so of the secret that is kept."""
    at = now_by(connection)
    new = insert_for(connection.dialect.name)(apps).values(
        name=name, url=url, secret=secret, created_at=at, updated_at=at
    )
    if connection.execute(new.on_conflict_do_nothing().returning(apps.c.name)).first() is not None:
        return Registered.CREATED
    kept = connection.execute(select(apps.c.url, apps.c.secret).where(apps.c.name == name).with_for_update()).one()
    if not is_trusted(kept.secret):
        return Registered.REFUSED
    if (kept.url, kept.secret) == (url, secret):
        return Registered.SAME
    connection.execute(update(apps).where(apps.c.name == name).values(url=url, secret=secret, updated_at=at))
    return Registered.CHANGED


def record_app_deleted(connection: Connection, name: str) -> bool:
    """Forget an app; whether there was one."""
    return connection.execute(delete(apps).where(apps.c.name == name)).rowcount > 0
