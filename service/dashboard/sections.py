"""The top bar: nine sections, and the rest under More."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.access.principal import Principal, Scope
from service.feature import Pages
from service.features import FEATURES


@dataclass(frozen=True, slots=True)
class Section:
    """`key` is how a page names its section; `g` and `letter` go there."""

    key: str
    title: str
    path: str
    letter: str | None = None
    scope: Scope = Scope.READ


SECTIONS = (
    Section("overview", "Overview", "/", "o"),
    Section("jobs", "Jobs", "/jobs", "j"),
    Section("failures", "Failures", "/failures", "f"),
    Section("operations", "Operations", "/operations", "p"),
    Section("schedules", "Schedules", "/schedules", "s"),
    Section("flows", "Flows", "/flows", "r"),
    Section("lanes", "Lanes", "/lanes", "l"),
    Section("kinds", "Kinds", "/kinds", "k"),
    Section("workers", "Workers", "/workers", "w"),
)


def _section(name: str, pages: Pages) -> Section:
    return Section(name, pages.title, pages.path, pages.letter, Scope.ADMIN if pages.for_admins else Scope.READ)


_OF_FEATURES = tuple(_section(one.name, one.pages) for one in FEATURES if one.pages is not None)
MORE = (
    Section("queues", "Queues", "/queues", "q"),
    *_OF_FEATURES,
    Section("keys", "Keys", "/keys", scope=Scope.ADMIN),
    Section("users", "Users", "/users", scope=Scope.ADMIN),
    Section("audit", "Audit", "/audit", "a", scope=Scope.ADMIN),
)

_REASONS = {"wrong": "wrong", "warning": "to look at"}


@dataclass(frozen=True, slots=True)
class Count:
    """What needs attention in a section: how many things, in which tone, and the spoken reason."""

    count: int
    tone: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A section as the top bar shows it."""

    section: Section
    count: Count | None = None


def entries(sections: Sequence[Section], counts: Mapping[str, Count], principal: Principal) -> list[Entry]:
    """Return the sections that the caller may see."""
    return [Entry(one, counts.get(one.key)) for one in sections if principal.may(one.scope)]


def section_at(path: str, principal: Principal) -> Section | None:
    """Return the section that a path lies in, if the caller may see it."""
    within = f"{path}/"
    found = (one for one in (*SECTIONS, *MORE) if one.path != "/" and within.startswith(f"{one.path}/"))
    return next((one for one in found if principal.may(one.scope)), None)


def counted(troubles: Mapping[Any, tuple[str, int]]) -> dict[str, Count]:
    """Return the troubles of each section; notes appear on their pages, and do not ask for attention."""
    return {
        section: Count(count, severity, _REASONS[severity])
        for section, (severity, count) in troubles.items()
        if severity in _REASONS
    }
