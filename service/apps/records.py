"""Writes of apps."""

from collections.abc import Callable
from enum import StrEnum

from sqlalchemy import Connection, delete, select, update

from service.apps.tables import SECRET, apps
from service.ledger.clock import now_by
from service.ledger.rows import insert_for
from service.ledger.sealed import vault_of


class Registered(StrEnum):
    """What became of a registration."""

    CREATED = "created"
    CHANGED = "changed"
    SAME = "same"
    REFUSED = "refused"  # registered with another secret


def record_app(
    connection: Connection, name: str, *, url: str, secret: str, is_trusted: Callable[[str], bool]
) -> Registered:
    """Register an app, or change it if `is_trusted` accepts the stored secret.

    Raises `SecretUnreadable`.
    """
    at, vault = now_by(connection), vault_of(connection)
    sealed = SECRET.seal(vault, secret, name)
    new = insert_for(connection.dialect.name)(apps).values(
        name=name, url=url, secret=sealed, created_at=at, updated_at=at
    )
    if connection.execute(new.on_conflict_do_nothing().returning(apps.c.name)).first() is not None:
        return Registered.CREATED
    kept = connection.execute(select(apps.c.url, apps.c.secret).where(apps.c.name == name).with_for_update()).one()
    kept_secret = SECRET.open(vault, kept.secret, name)
    if not is_trusted(kept_secret):
        return Registered.REFUSED
    if (kept.url, kept_secret) == (url, secret):
        return Registered.SAME
    connection.execute(update(apps).where(apps.c.name == name).values(url=url, secret=sealed, updated_at=at))
    return Registered.CHANGED


def record_app_deleted(connection: Connection, name: str) -> bool:
    """Forget an app; return whether there was one."""
    return connection.execute(delete(apps).where(apps.c.name == name)).rowcount > 0
