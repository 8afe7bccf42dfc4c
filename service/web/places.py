"""Places for connections that stay open, such as live pages."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from service.access.principal import ANYBODY
from service.errors import TooManyWatchers
from service.web.guards import place_of_caller, principal_of


class Places:
    """A fixed number of places. No owner may take more than its share, so there is always room for others."""

    def __init__(self, *, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._taken: Counter[str] = Counter()

    def has_room(self, owner: str) -> bool:
        return self._taken.total() < self._most and self._taken[owner] < self._most_each

    def check(self, owner: str) -> None:
        """Raise `TooManyWatchers` if there is no room for another place of this owner."""
        if self._taken[owner] >= self._most_each:
            raise TooManyWatchers(
                f"You already have {self._most_each} live pages open, as many as one caller may. Close some, or reload."
            )
        if not self.has_room(owner):
            raise TooManyWatchers(f"All {self._most} live places are taken. Reload the page by hand.")

    @contextmanager
    def taken_by(self, owner: str) -> Iterator[None]:
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


def owner_of(request: Request) -> str:
    """Return the owner of a place: the principal or, where anybody may call, the address."""
    principal = principal_of(request)
    return place_of_caller(request) if principal is ANYBODY else principal.id
