"""The groups of failures that the page's address asks for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from service.ledger.reads.failures import SortBy

Since = Literal["1h", "24h", "7d", "30d"]
# How long ago a group may have been last seen, in words, and the step of its sparkline.
SPANS: Mapping[Since, tuple[str, timedelta, timedelta]] = {
    "1h": ("1 hour", timedelta(hours=1), timedelta(minutes=2)),
    "24h": ("24 hours", timedelta(hours=24), timedelta(minutes=48)),
    "7d": ("7 days", timedelta(days=7), timedelta(hours=6)),
    "30d": ("30 days", timedelta(days=30), timedelta(hours=24)),
}
DEFAULT: Since = "24h"
SORTS: Mapping[SortBy, str] = {
    "jobs_failed": "most failed jobs",
    "failures": "most failures",
    "latest_at": "latest",
    "first_at": "newest",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters and the order; `fields` are the ones that differ from the page's defaults."""

    since: Since = DEFAULT
    kind: str | None = None
    text: str | None = None
    sort: SortBy = "jobs_failed"

    @property
    def words(self) -> str:
        return SPANS[self.since][0]

    @property
    def span(self) -> timedelta:
        return SPANS[self.since][1]

    @property
    def step(self) -> timedelta:
        return SPANS[self.since][2]

    @property
    def fields(self) -> dict[str, str | None]:
        return {
            "since": None if self.since == DEFAULT else self.since,
            "kind": self.kind,
            "q": self.text,
            "sort": None if self.sort == "jobs_failed" else self.sort,
        }

    def by(self, sort: SortBy) -> "Asked":
        return replace(self, sort=sort)

    def within(self, since: Since) -> "Asked":
        return replace(self, since=since)

    def without(self, name: Literal["kind", "text"]) -> "Asked":
        return replace(self, kind=None) if name == "kind" else replace(self, text=None)
