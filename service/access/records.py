"""Writes of keys, users and sessions."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select, update

from service.access_tables import api_keys, cookie_secrets, ended_sessions, users
from service.errors import SecretUnreadable
from service.ledger.rows import insert_for
from service.ledger.sealed import COOKIE_SECRET, vault_of


def record_key(connection: Connection, row: dict[str, Any]) -> None:
    """Record a new key."""
    connection.execute(
        insert_for(connection.dialect.name)(api_keys).values(**row).on_conflict_do_nothing(index_elements=["id"])
    )


def record_key_changed(connection: Connection, key_id: str, changes: dict[str, Any]) -> bool:
    """Change a key that is not revoked; return whether there was one."""
    return _changed(connection, update(api_keys).where(_live(key_id)).values(**changes))


def record_key_rotated(connection: Connection, key_id: str, digest: str, now: datetime, *, old_until: datetime) -> bool:
    """Give a key a new secret. The one it had stays valid until `old_until`; any older one ends."""
    values = {"digest": digest, "old_digest": api_keys.c.digest, "old_until": old_until, "rotated_at": now}
    # Repeating the write would make the new secret the old one.
    is_new = api_keys.c.digest != digest
    return _changed(connection, update(api_keys).where(_live(key_id), is_new).values(**values))


def record_key_revoked(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke a key; return whether one was there to revoke."""
    return _changed(connection, update(api_keys).where(_live(key_id)).values(revoked_at=now))


def record_keys_used(connection: Connection, key_ids: Iterable[str], minute: datetime) -> None:
    """Note when keys were last used."""
    is_older = api_keys.c.last_used_at.is_(None) | (api_keys.c.last_used_at < minute)
    connection.execute(update(api_keys).where(api_keys.c.id.in_(sorted(key_ids)), is_older).values(last_used_at=minute))


def record_user(connection: Connection, row: dict[str, Any]) -> bool:
    """Record a new user; return whether the name was free."""
    new = insert_for(connection.dialect.name)(users).values(**row).on_conflict_do_nothing()
    return connection.execute(new.returning(users.c.name)).first() is not None


def record_user_changed(
    connection: Connection, name: str, changes: dict[str, Any], *, ends_sessions: bool = False
) -> bool:
    """Change a user; return whether there was one. `ends_sessions`: anyone signed in has to sign in again."""
    epoch = {"session_epoch": users.c.session_epoch + 1} if ends_sessions else {}
    return _changed(connection, update(users).where(users.c.name == name).values(**changes, **epoch))


def record_cookie_secret(connection: Connection, secret: str, now: datetime) -> str:
    """Store the secret that signs cookies, unless a readable one is there; return the stored one."""
    vault = vault_of(connection)
    sealed = COOKIE_SECRET.seal(vault, secret, 1)
    new = insert_for(connection.dialect.name)(cookie_secrets).values(id=1, secret=sealed, created_at=now)
    connection.execute(new.on_conflict_do_nothing())
    kept: str = connection.execute(select(cookie_secrets.c.secret).with_for_update()).scalar_one()
    try:
        return COOKIE_SECRET.open(vault, kept, 1)
    except SecretUnreadable:  # its key is gone: everyone has to sign in again
        connection.execute(update(cookie_secrets).values(secret=sealed, created_at=now))
        return secret


def record_session_ended(connection: Connection, session_id: str, now: datetime, *, kept_until: datetime) -> None:
    """End a session, and delete sessions that ended long ago."""
    connection.execute(delete(ended_sessions).where(ended_sessions.c.kept_until < now))
    new = insert_for(connection.dialect.name)(ended_sessions).values(id=session_id, kept_until=kept_until)
    connection.execute(new.on_conflict_do_nothing())


def _live(key_id: str) -> ColumnElement[bool]:
    return (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)


def _changed(connection: Connection, statement: Any) -> bool:
    return bool(connection.execute(statement).rowcount)
