"""An action on the trail, as written and as read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Ending(StrEnum):
    """How an action ended."""

    UNKNOWN = "unknown"  # it is still under way, or its process has died
    DONE = "done"
    REFUSED = "refused"


# In `after`: how many things the action changed.
CHANGED = "changed"


def with_changed(after: Mapping[str, object], number: int) -> Mapping[str, object]:
    """Note how many things an action changed, if any (see `last_change`)."""
    return {**after, CHANGED: number} if number else after


@dataclass(frozen=True, slots=True)
class Begun:
    """An action that begins. `before` is JSON."""

    id: str
    at: datetime
    principal: str
    principal_name: str
    address: str | None
    action: str
    target_type: str
    target: str
    before: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an action ended. `before` and `after` are JSON of the differences."""

    id: str
    target: str
    ending: Ending
    before: str | None
    after: str | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Noted:
    """An action as readers see it."""

    id: str
    at: datetime
    principal: str
    principal_name: str
    address: str | None
    action: str
    target_type: str
    target: str
    ending: Ending
    before: Any
    after: Any
    refused: str | None


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """Which actions to read: at or after `after` and before `before`, beyond the place `beyond`."""

    principal: str | None = None
    action: str | None = None
    target_type: str | None = None
    target: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    beyond: tuple[datetime, str] | None = None
