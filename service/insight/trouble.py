"""A trouble: what is wrong, why, and what to do, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlencode

from service.insight.words import Words

Severity = Literal["wrong", "warning", "note"]
# Where in the top bar it counts.
Section = Literal["overview", "jobs", "failures", "schedules", "lanes", "queues", "kinds", "workers", "mail", "apps"]


@dataclass(frozen=True, slots=True)
class Action:
    """A step that is a button: a link to the page `path` or, if `is_post`, a form that is sent there."""

    label: str
    path: str
    is_post: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong. `key` stays the same for as long as it lasts, such as `lane:host:example.com`.

    `headline` is a sentence, `text` what follows it: what else holds, what still works. `facts` are (term, words).
    `name` is short, for the span in a chart that begins at `since`; None for a trouble without a time span.
    """

    key: str
    severity: Severity
    section: Section
    headline: str
    text: Words = ()
    facts: Sequence[tuple[str, Words]] = ()
    steps: Sequence[Words] = ()
    actions: Sequence[Action] = ()
    since: datetime | None = None
    name: str | None = None


def page_of(section: str, name: str = "", query: Mapping[str, str] | None = None) -> str:
    """Return the path of a section's page, or of one item in it, with a query as a filter."""
    path = f"/{section}/{quote(name, safe='')}" if name else f"/{section}"
    return f"{path}?{urlencode(query)}" if query else path
