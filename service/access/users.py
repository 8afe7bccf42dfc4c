"""Users: people who sign in on the pages, with a password or through another service."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from service import agreed_time
from service.access import records
from service.access.errors import UserNotFound
from service.access.passwords import Passwords
from service.access.principal import Role
from service.access.reads import User, find_user, list_users
from service.errors import Refused, UserExists
from service.ledger.database import Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,58}")


class Users:
    """`added` is called after a user was added here."""

    def __init__(self, database: Database, passwords: Passwords, added: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._passwords = passwords
        self._added = added

    async def add(self, name: str, role: Role, *, password: str | None = None, sees_args: bool = True) -> User:
        """Add a user; one without a password signs in through another service. Raises `UserExists`."""
        check_name(name)
        row = {
            "name": name,
            "role": role,
            "sees_args": int(sees_args),
            "password_hash": None if password is None else await self._passwords.hashed(password),
            "created_at": agreed_time.now(),
        }
        if not await self._database.run(partial(records.record_user, row=row)):
            raise UserExists(f"There is already a user {name!r}.")
        self._added()
        return await self.find(name)

    async def find(self, name: str) -> User:
        """Raises `UserNotFound`."""
        async with self._database.connect() as connection:
            user = await find_user(connection, name)
        if user is None:
            raise _unknown(name)
        return user

    async def list(self) -> Sequence[User]:
        """Return all users, ordered by name."""
        async with self._database.connect() as connection:
            return await list_users(connection)

    async def are_there(self) -> bool:
        """Whether any user has a password here."""
        return any(user.password_hash for user in await self.list())

    async def set_password(self, name: str, password: str) -> User:
        """Change a password. Anyone signed in as this user has to sign in again."""
        kept = await self._passwords.hashed(password)
        return await self._change(name, {"password_hash": kept}, ends_sessions=True)

    async def set_role(self, name: str, role: Role) -> User:
        """Change a role. It takes effect within two seconds for anyone signed in as this user."""
        return await self._change(name, {"role": role})

    async def set_sees_args(self, name: str, *, sees_args: bool) -> User:
        return await self._change(name, {"sees_args": int(sees_args)})

    async def disable(self, name: str) -> User:
        """Disable a user, who can no longer sign in, and end all their sessions."""
        return await self._change(name, {"disabled_at": agreed_time.now()}, ends_sessions=True)

    async def enable(self, name: str) -> User:
        return await self._change(name, {"disabled_at": None})

    async def end_sessions(self, name: str) -> User:
        """Sign a user out everywhere."""
        return await self._change(name, {}, ends_sessions=True)

    async def saw(self, name: str) -> None:
        """Record that a user has signed in."""
        await self._change(name, {"last_seen_at": agreed_time.now()})

    async def _change(self, name: str, changes: dict[str, Any], *, ends_sessions: bool = False) -> User:
        record = partial(records.record_user_changed, name=name, changes=changes, ends_sessions=ends_sessions)
        if not await self._database.run(record):
            raise _unknown(name)
        return await self.find(name)


def check_name(name: str) -> None:
    """Raise `Refused` for a name that no user may have."""
    if not _NAME.fullmatch(name):
        raise Refused("A user's name has 1 to 59 letters, digits or any of ._@+-, such as an email address.")


def _unknown(name: str) -> UserNotFound:
    return UserNotFound(f"There is no user {name!r}.")
