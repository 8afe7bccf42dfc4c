"""The filters in the jobs page's address: as chips, and as addresses with one filter more or less. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from service.moments import Moment

# Parameters that say where in the list the reader is, not which list it is.
_PLACE = {"cursor", "newer", "at", "all", "add"}
_LABELS = {
    "error_type": "error type",
    "fingerprint": "failure group",
    "created_after": "enqueued after",
    "created_before": "enqueued before",
    "finished_after": "ended after",
    "finished_before": "ended before",
    "q": "text",
}
_SEVERAL = {"state", "kind", "queue", "error_type"}
_LAST = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}
SPANS = {"15m": "15 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days"}
# What the small form of one more filter sends.
FORM_FIELDS = ("field", "path", "value", "basis", "last", "after", "before")
# What the menu offers: the name in the address of the form, and the word for it.
OFFERED = {
    "kind": "Kind",
    "queue": "Queue",
    "lane": "Lane",
    "tag": "Tag",
    "args": "Args path",
    "metadata": "Metadata",
    "error_type": "Error type",
    "flow": "Flow",
    "time": "Time",
}
_moment: TypeAdapter[datetime] = TypeAdapter(Moment)

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is set, as a clause. `moment` is its value if that is a time."""

    label: str
    text: str
    moment: datetime | None
    without: "Query"


@dataclass(frozen=True, slots=True)
class Query:
    """The filters and the order of a list, as in its address."""

    pairs: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, sent: Iterable[Pair]) -> "Query":
        return cls(tuple((name, value) for name, value in sent if name not in _PLACE and value))

    @property
    def fields(self) -> dict[str, list[str]]:
        fields: dict[str, list[str]] = {}
        for name, value in self.pairs:
            fields.setdefault(name, []).append(value)
        return fields

    @property
    def chips(self) -> list[Chip]:
        named = {name: values for name, values in self.fields.items() if name != "order"}
        return [
            Chip(_LABELS.get(name, name), *_told(name, values), self.without(name)) for name, values in named.items()
        ]

    def has(self, name: str, value: str) -> bool:
        return (name, value) in self.pairs

    def without(self, name: str) -> "Query":
        return Query(tuple(pair for pair in self.pairs if pair[0] != name))

    def toggled(self, name: str, value: str) -> "Query":
        """Return the filters with this one or, if it is set, without it."""
        if self.has(name, value):
            return Query(tuple(pair for pair in self.pairs if pair != (name, value)))
        return self.plus(name, value)

    def plus(self, name: str, value: str) -> "Query":
        """Return the filters with one more; it replaces another if there can be only one."""
        kept = self if name in _SEVERAL else self.without(name)
        return Query((*(pair for pair in kept.pairs if pair != (name, value)), (name, value)))


def _told(name: str, values: list[str]) -> tuple[str, datetime | None]:
    if name.endswith(("_after", "_before")):
        try:
            return values[-1], _moment.validate_python(values[-1])
        except ValidationError:
            return values[-1], None
    return ", ".join(values), None


def added(query: Query, form: Mapping[str, str], now: datetime) -> Query:
    """Return the filters with the one in the small form; without it if the form is empty."""
    field, value = form.get("field", ""), form.get("value", "").strip()
    if field == "time":
        return _timed(query, form, now)
    if field in ("args", "metadata"):
        field = f"{field}.{form.get('path', '').strip()}"
    if not value:
        return query.without(field)
    return query.plus(field, value)


def _timed(query: Query, form: Mapping[str, str], now: datetime) -> Query:
    basis = "finished" if form.get("basis") == "finished" else "created"
    for bound in ("after", "before"):
        if said := form.get(bound, "").strip():
            query = query.plus(f"{basis}_{bound}", said if said.endswith("Z") else f"{said}Z")
    if (span := _LAST.get(form.get("last", ""))) is not None:
        since = (now - span).replace(microsecond=0)
        query = query.plus(f"{basis}_after", since.isoformat().replace("+00:00", "Z"))
    return query
