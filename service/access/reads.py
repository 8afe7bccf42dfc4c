"""Reads of keys, users and sessions."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, exists, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.principal import Principal, Role, Scope
from service.access_tables import api_keys, cookie_secrets, ended_sessions, users
from service.errors import SecretUnreadable
from service.ledger.sealed import COOKIE_SECRET, vault_of
from service.tables import Moment


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without its secret."""

    id: str
    name: str
    prefix: str
    principal: Principal
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    last_used_at: datetime | None
    rotated_at: datetime | None
    old_until: datetime | None
    revoked_at: datetime | None
    digest: str
    old_digest: str | None

    @classmethod
    def of(cls, row: RowMapping) -> "Key":
        principal = Principal(
            f"key:{row['id']}",
            row["name"],
            frozenset(map(Scope, json.loads(row["scopes"]))),
            kinds=_names(row["kinds"]),
            queues=_names(row["queues"]),
            sees_args=bool(row["sees_args"]),
        )
        own = {name: row[name] for name in cls.__slots__ if name != "principal"}
        return cls(principal=principal, **own)

    def is_live(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def digests(self, now: datetime) -> Sequence[str]:
        """The digests of the secrets that are valid now: two during a rotation."""
        is_old_good = self.old_digest is not None and self.old_until is not None and now < self.old_until
        return (self.digest, self.old_digest) if is_old_good and self.old_digest else (self.digest,)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: Role
    sees_args: bool
    session_epoch: int
    created_at: datetime
    last_seen_at: datetime | None
    disabled_at: datetime | None
    password_hash: str | None

    @classmethod
    def of(cls, row: RowMapping) -> "User":
        own = {name: row[name] for name in cls.__slots__}
        return cls(**own | {"role": Role(row["role"]), "sees_args": bool(row["sees_args"])})

    @property
    def principal(self) -> Principal:
        return Principal(f"user:{self.name}", self.name, self.role.scopes, sees_args=self.sees_args)


async def find_keys(connection: AsyncConnection, prefixes: Collection[str]) -> Mapping[str, Key]:
    """Return the keys that have these prefixes."""
    rows = await connection.execute(select(api_keys).where(api_keys.c.prefix.in_(sorted(prefixes))))
    return {row["prefix"]: Key.of(row) for row in rows.mappings()}


async def find_key(connection: AsyncConnection, key_id: str) -> Key | None:
    row = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).mappings().first()
    return None if row is None else Key.of(row)


async def list_keys(
    connection: AsyncConnection, limit: int, after: tuple[datetime, str] | None = None
) -> Sequence[Key]:
    """Return keys, newest first, including revoked ones."""
    wanted = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()).limit(limit)
    if after is not None:
        place = tuple_(literal(after[0], Moment()), literal(after[1]))
        wanted = wanted.where(tuple_(api_keys.c.created_at, api_keys.c.id) < place)
    return [Key.of(row) for row in (await connection.execute(wanted)).mappings()]


async def find_user(connection: AsyncConnection, name: str) -> User | None:
    row = (await connection.execute(select(users).where(users.c.name == name))).mappings().first()
    return None if row is None else User.of(row)


async def list_users(connection: AsyncConnection) -> Sequence[User]:
    """Return all users, ordered by name."""
    return [User.of(row) for row in (await connection.execute(select(users).order_by(users.c.name))).mappings()]


async def is_anybody_known(connection: AsyncConnection) -> bool:
    """Whether there ever was a key or a user. Ended ones count too: else revoking the last one opens the service."""
    known = select(exists(select(api_keys.c.id)) | exists(select(users.c.name)))
    return bool((await connection.execute(known)).scalar_one())


async def is_admin_known(connection: AsyncConnection, now: datetime) -> bool:
    """Whether any valid key or enabled user may make others."""
    is_live = api_keys.c.revoked_at.is_(None) & (api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now))
    keys = select(api_keys.c.id).where(is_live, api_keys.c.scopes.contains(f'"{Scope.ADMIN}"'))
    people = select(users.c.name).where(users.c.disabled_at.is_(None), users.c.role == Role.ADMIN)
    return bool((await connection.execute(select(exists(keys) | exists(people)))).scalar_one())


async def has_ended(connection: AsyncConnection, session_id: str) -> bool:
    """Whether somebody has signed out of a session."""
    return bool((await connection.execute(select(exists().where(ended_sessions.c.id == session_id)))).scalar_one())


async def find_cookie_secret(connection: AsyncConnection) -> str | None:
    """Return the secret that signs cookies; None if there is none yet, or it cannot be read."""
    kept: str | None = (await connection.execute(select(cookie_secrets.c.secret))).scalar_one_or_none()
    try:
        return None if kept is None else COOKIE_SECRET.open(vault_of(connection), kept, 1)
    except SecretUnreadable:
        return None


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
