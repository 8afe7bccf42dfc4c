"""A chore: something that a worker does again and again."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

EACH_PASS = 0.0
ONCE = math.inf


@dataclass(frozen=True, slots=True)
class Chore:
    """`do` is done every `every_s` seconds. It returns whether there is more to do at once.

    One that `waits` is done for the first time after its interval: nobody needs it sooner, and a worker that has just
    begun, or a new leader, has enough to do.
    """

    name: str
    every_s: float
    do: Callable[[], Awaitable[bool | None]]
    waits: bool = False
