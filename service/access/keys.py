"""Keys as administrators handle them: made, changed, rotated, revoked. The text of a key is shown once."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import uuid_utils

from service import agreed_time
from service.access import records
from service.access.errors import KeyNotFound
from service.access.key_text import new_key
from service.access.principal import Scope
from service.access.reads import Key, find_key, list_keys
from service.ledger.database import Database

GRACE = timedelta(hours=1)


class Made(NamedTuple):
    """A key with its text, which nobody can read again."""

    key: Key
    text: str


class Keys:
    """`changed` is called with the prefix of each key that is made or changed here."""

    def __init__(self, database: Database, changed: Callable[[str], None] = lambda _prefix: None) -> None:
        self._database = database
        self._changed = changed

    async def create(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        created_by: str | None = None,
        kinds: Sequence[str] | None = None,
        queues: Sequence[str] | None = None,
        sees_args: bool = True,
        expires_in: timedelta | None = None,
    ) -> Made:
        """Make a key. From the first key on, the service requires one from everybody."""
        made, now = new_key(), agreed_time.now()
        row = {
            "id": str(uuid_utils.uuid7()),
            "name": name,
            "prefix": made.prefix,
            "digest": made.digest,
            "created_at": now,
            "created_by": created_by,
            "expires_at": None if expires_in is None else now + expires_in,
            **_limits(scopes=scopes, kinds=kinds, queues=queues, sees_args=sees_args),
        }
        await self._database.run(partial(records.record_key, row=row))
        return Made(await self._find_changed(str(row["id"])), made.text)

    async def find(self, key_id: str) -> Key:
        """Raises `KeyNotFound`."""
        async with self._database.connect() as connection:
            key = await find_key(connection, key_id)
        if key is None:
            raise KeyNotFound("There is no key with this id. `GET /v1/keys` and `postlude keys list` show the ids.")
        return key

    async def list(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Key]:
        """Return keys, the newest first."""
        async with self._database.connect() as connection:
            return await list_keys(connection, limit, after)

    async def change(self, key_id: str, **changes: Any) -> Key:
        """Change `name`, `scopes`, `kinds`, `queues`, `sees_args` or `expires_at`. Raises `KeyNotFound`."""
        told = {name: value for name, value in changes.items() if name not in _WRITTEN}
        values = told | _limits(**{name: value for name, value in changes.items() if name in _WRITTEN})
        if values and not await self._database.run(partial(records.record_key_changed, key_id=key_id, changes=values)):
            raise _gone(key_id)
        return await self._find_changed(key_id)

    async def rotate(self, key_id: str, grace: timedelta = GRACE) -> Made:
        """Give a key a new secret. The present one stays valid for the grace; any older one ends now."""
        key, now = await self.find(key_id), agreed_time.now()
        made = new_key(key.prefix)
        record = partial(records.record_key_rotated, key_id=key_id, digest=made.digest, now=now, old_until=now + grace)
        if not await self._database.run(record):
            raise _gone(key_id)
        return Made(await self._find_changed(key_id), made.text)

    async def revoke(self, key_id: str) -> Key:
        """End a key: within two seconds it opens nothing. Its row stays, because it names who did what."""
        if not await self._database.run(partial(records.record_key_revoked, key_id=key_id, now=agreed_time.now())):
            raise _gone(key_id)
        return await self._find_changed(key_id)

    async def _find_changed(self, key_id: str) -> Key:
        key = await self.find(key_id)
        self._changed(key.prefix)
        return key


_WRITTEN = {"scopes", "kinds", "queues", "sees_args"}


def _limits(**told: Any) -> dict[str, Any]:
    """Return a key's limits as its row stores them."""
    return {
        name: int(value) if name == "sees_args" else None if value is None else json.dumps(sorted(value))
        for name, value in told.items()
    }


def _gone(key_id: str) -> KeyNotFound:
    return KeyNotFound("There is no key with this id, or it has already been revoked.")
