"""A chore: something that a worker does again and again."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

EACH_PASS = 0.0
ONCE = math.inf


@dataclass(frozen=True, slots=True)
class Chore:
    """`do` is called every `every_s` seconds. It returns whether there is more to do at once.

    A chore that `waits` first runs after one interval: nobody needs it sooner, and a worker or a leader that has just
    begun has enough to do.
    """

    name: str
    every_s: float
    do: Callable[[], Awaitable[bool | None]]
    waits: bool = False
