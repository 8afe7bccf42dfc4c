"""The room for large bodies: how many of their bytes this process keeps in memory at once."""

import asyncio
from typing import Self

from service.errors import TooManyBodies

KIB, MIB = 1024, 1024 * 1024
# A body up to this size is not counted.
FREE_BYTES = 64 * KIB
_ROOM_BYTES = 128 * MIB
# Python parses one body at a time anyway. Room for two, so that a small one need not wait for the largest.
_READ_AT_ONCE = 2


class Room:
    """Counts the bytes of large bodies until their requests are answered."""

    def __init__(self, size: int = _ROOM_BYTES) -> None:
        self._left = size
        self.reading = asyncio.Semaphore(_READ_AT_ONCE)

    def stay(self) -> "Stay":
        """Return the room of a body, empty so far."""
        return Stay(self)

    def take(self, size: int) -> None:
        """Take room for `size` bytes. Raises `TooManyBodies`."""
        if size > self._left:
            raise TooManyBodies("Other large bodies are being read. Send the request again.")
        self._left -= size

    def leave(self, size: int) -> None:
        self._left += size


class Stay:
    """The room of one body. It grows with the body, and is freed at the end of the `with`."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._room.leave(self._taken)

    def grow(self, size: int) -> None:
        """Take room for a body that has grown to `size` bytes. Raises `TooManyBodies`."""
        if size > FREE_BYTES:
            self._room.take(size - self._taken)
            self._taken = size
