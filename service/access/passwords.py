"""Passwords, kept as argon2 hashes. A hash takes a tenth of a second and 64 MiB, so few are computed at once."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from service.errors import Refused

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 12
# Longer ones cost time and add no strength.
LONGEST = 200
_AT_ONCE = 2


@cache
def _hasher() -> "PasswordHasher":
    # Imported on first use: workers and most commands never need it.
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _hash_of_nobody() -> str:
    return _hasher().hash("nobody has this password")


class Passwords:
    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def hashed(self, password: str) -> str:
        """Return the hash of a new password. Raises `Refused` if it is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Refused(f"A password must have {SHORTEST} to {LONGEST} characters.")
        async with self._room:
            return await asyncio.to_thread(_hasher().hash, password)

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether this is the stored password. Takes as long if none is stored, so that the time tells nothing."""
        if len(password) > LONGEST:
            return False
        async with self._room:
            return await asyncio.to_thread(_fits, password, kept)


def _fits(password: str, kept: str | None) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(kept or _hash_of_nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None
