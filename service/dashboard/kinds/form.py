"""The form that enqueues a job of a kind by hand: its content, the request it makes, and what is wrong with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jobs import Kind
from service.dashboard.kinds import entries as posted
from service.dashboard.kinds.entries import MOST_ITEMS, ZONE, Entries, Place, Unreadable, name_of
from service.dashboard.kinds.fields import Field, fields_of

Mode = Literal["form", "json"]
ARGS: Place = ("args",)
_TAG = "by-hand"


@dataclass(frozen=True, slots=True)
class EnqueueForm:
    """The present form. In the mode `json`, the args are one text. `errors` are keyed by entry name."""

    kind: str
    fields: tuple[Field, ...]
    options: tuple[Field, ...]
    entries: Entries
    mode: Mode = "form"
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def zone(self) -> str:
        """The zone of the form's moments; '' until the browser says."""
        return self.entries.get(ZONE, "")

    def with_id(self, job_id: str) -> "EnqueueForm":
        """Return the form with the id of its job: however often it is sent, it makes only one job."""
        return replace(self, entries={**self.entries, "id": job_id})

    def text(self, place: Place) -> str:
        return self.entries.get(name_of(place), "")

    def count(self, place: Place) -> int:
        return posted.count_of(place, self.entries)

    def errors_at(self, place: Place) -> Sequence[str]:
        return self.errors.get(name_of(place), ())

    @property
    def wrong(self) -> list[str]:
        """What has to be fixed, in words for a reader: `to, 2`."""
        return [_said(posted.place_of(name)) for name in self.errors]

    def request(self) -> dict[str, Any]:
        """Return the body of the request, with `Unreadable` in place of what is not JSON."""
        options = posted.values_of(self.options, (), self.entries)
        return {"kind": self.kind, "args": self.args()} | options

    def shown(self) -> dict[str, Any]:
        """Return the body as it may be shown: secrets are masked, and unreadable parts stay text."""
        args = self.args()
        known = posted.masked(self.fields, args) if isinstance(args, Mapping) else args
        shown: dict[str, Any] = _readable({**self.request(), "args": known})
        return shown

    def args(self) -> Any:
        """Return the args as they were typed."""
        if self.mode == "json":
            return posted.read_json(self.text(ARGS) or "{}")
        return posted.values_of(self.fields, ARGS, self.entries)

    def unreadable(self) -> dict[str, list[str]]:
        """Return what is not JSON, keyed by entry name."""
        return {name_of(place): [one.reason] for place, one in _unread(self.request(), ())}

    def loc_of(self, name: str) -> list[str | int]:
        """Return the place that an entry's name stands for, as the API writes places."""
        return list(posted.place_of(name))

    def refused(self, errors: Sequence[Mapping[str, Any]]) -> "EnqueueForm":
        """Return the form with errors like the API's, each at its field."""
        known = set(self._names())
        placed: dict[str, list[str]] = {}
        for error in errors:
            steps = list(error["loc"])
            while steps and name_of(tuple(steps)) not in known:
                steps.pop()
            inside = _said(tuple(error["loc"][len(steps) :])) if self.mode == "json" else ""
            placed.setdefault(name_of(tuple(steps)), []).append(f"{inside}: {error['msg']}" if inside else error["msg"])
        return replace(self, errors=placed)

    def _names(self) -> Iterator[str]:
        yield name_of(ARGS)
        yield from self._names_at(self.options, ())
        if self.mode == "form":
            yield from self._names_at(self.fields, ARGS)

    def _names_at(self, fields: Sequence[Field], place: Place) -> Iterator[str]:
        for one in fields:
            inner = (*place, one.name)
            yield name_of(inner)
            yield from self._names_at(one.parts, inner)
            if one.item is not None:
                for number in range(self.count(inner)):
                    yield from self._names_at((replace(one.item, name=str(number)),), inner)

    def with_item(self, name: str) -> "EnqueueForm":
        """Return the form with one more item in a list."""
        count = min(posted.count_of(posted.place_of(name), self.entries) + 1, MOST_ITEMS)
        return replace(self, entries={**self.entries, f"{name}#": str(count)}, errors={})

    def without_item(self, name: str) -> "EnqueueForm":
        """Return the form without an item of a list; later items move up."""
        whole, _, number = name.rpartition("/")
        count = posted.count_of(posted.place_of(whole), self.entries)
        if not posted.is_number(number) or int(number) >= count:
            return self
        kept = {key: text for key, text in self.entries.items() if not _is_below(key, name)}
        for behind in range(int(number) + 1, count):
            old, new = f"{whole}/{behind}", f"{whole}/{behind - 1}"
            moved = {key: text for key, text in kept.items() if _is_below(key, old)}
            kept = {key: text for key, text in kept.items() if key not in moved}
            kept |= {new + key.removeprefix(old): text for key, text in moved.items()}
        return replace(self, entries={**kept, f"{whole}#": str(count - 1)}, errors={})

    def in_mode(self, mode: Mode) -> "EnqueueForm":
        """Return the form in the other editing mode. Secrets have to be typed again."""
        args = self.args()
        if mode == self.mode or not isinstance(args, Mapping) or self.unreadable():
            return replace(self, errors=self.unreadable())
        return self.filled(args, mode)

    def filled(self, args: Mapping[str, Any], mode: Mode) -> "EnqueueForm":
        """Return the form with these args; as JSON, if the fields cannot hold them."""
        kept = {name: text for name, text in self.entries.items() if name.partition("/")[0].rstrip("#") != "args"}
        opened = posted.without_secrets(self.fields, args)
        form = replace(self, mode=mode, entries=kept | posted.entries_of(self.fields, ARGS, opened), errors={})
        if mode == "form" and form.holds(opened):
            return form
        text = json.dumps(opened, ensure_ascii=False, indent=2)
        return replace(self, mode="json", entries={**kept, name_of(ARGS): text}, errors={})

    def holds(self, args: Mapping[str, Any]) -> bool:
        """Whether the fields hold exactly these args, apart from defaults."""
        defaults = {one.name: one.default for one in self.fields}
        told = self.args()
        return all(
            name in defaults and repr(value) == repr(told.get(name, defaults[name])) for name, value in args.items()
        )

    def for_page(self) -> "EnqueueForm":
        """Return the form as a page may hold it: without the secrets that were posted."""
        args = self.args()
        if self.mode == "json":
            if not any(map(_may_be_secret, self.fields)):
                return self
            opened = posted.without_secrets(self.fields, args) if isinstance(args, Mapping) else {}
            text = json.dumps(opened, ensure_ascii=False, indent=2)
            return replace(self, entries={**self.entries, name_of(ARGS): text})
        secret = set(_secret_names(self, self.fields, ARGS))
        return replace(self, entries={name: text for name, text in self.entries.items() if name not in secret})


def new_form(kind: Kind[Any, Any], queues: Sequence[str]) -> EnqueueForm:
    """Return an empty form, with the defaults of the kind."""
    fields, options = fields_of(kind.args_schema), _options_of(kind, queues)
    entries = posted.entries_of(fields, ARGS, {}) | posted.entries_of(options, (), {"tags": [_TAG]})
    return EnqueueForm(kind.name, fields, options, entries)


def form_like(kind: Kind[Any, Any], queues: Sequence[str], args: Any, options: Mapping[str, Any]) -> EnqueueForm:
    """Return a form with the args and options of a job; its secrets are left empty."""
    form = new_form(kind, queues)
    given = posted.entries_of(form.options, (), options)
    form = replace(form, entries={**form.entries, **given})
    return form.filled(args, "form") if isinstance(args, Mapping) else form


def posted_form(kind: Kind[Any, Any], queues: Sequence[str], entries: Entries) -> EnqueueForm:
    """Return the form that a browser has sent."""
    mode: Mode = "json" if entries.get("mode") == "json" else "form"
    return EnqueueForm(kind.name, fields_of(kind.args_schema), _options_of(kind, queues), entries, mode)


def entry_id(place: Place) -> str:
    """Return the id of a field on the page, which htmx writes into selectors: names may hold anything."""
    return "".join(one if one.isascii() and one.isalnum() else f"_{ord(one):x}" for one in name_of(place))


def _options_of(kind: Kind[Any, Any], queues: Sequence[str]) -> tuple[Field, ...]:
    timeout_s = kind.timeout.total_seconds()
    return (
        Field("run_at", "moment", type="datetime-local"),
        Field("queue", "select", default=kind.queue, choices=tuple(sorted({*queues, kind.queue})), required=False),
        Field("max_attempts", "integer", default=kind.max_attempts, type="number"),
        Field("timeout", "number", default=int(timeout_s) if timeout_s.is_integer() else timeout_s, type="number"),
        Field("tags", "words", hint="Separated by commas."),
        Field("lane", "text", example="tenant:42"),
        Field("priority", "integer", default=0, type="number", hint="-10 to 10; higher comes first."),
        Field("unique_key", "text", hint="One live job for each key."),
    )


def _unread(value: Any, place: Place) -> Iterator[tuple[Place, Unreadable]]:
    if isinstance(value, Unreadable):
        yield place, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _unread(one, (*place, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _unread(one, (*place, number))


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _readable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_readable(one) for one in value]
    return value.text if isinstance(value, Unreadable) else value


def _is_below(key: str, name: str) -> bool:
    return key == name or key.startswith((f"{name}/", f"{name}#"))


def _may_be_secret(one: Field) -> bool:
    inner = (*one.parts, *([one.item] if one.item else []))
    return one.control == "secret" or one.has_secrets or any(map(_may_be_secret, inner))


def _secret_names(form: EnqueueForm, fields: Sequence[Field], place: Place) -> Iterator[str]:
    for one in fields:
        inner = (*place, one.name)
        if one.control == "secret" or (one.control == "json" and one.has_secrets):
            yield name_of(inner)
        yield from _secret_names(form, one.parts, inner)
        if one.item is not None:
            for number in range(form.count(inner)):
                yield from _secret_names(form, (replace(one.item, name=str(number)),), inner)


def _said(place: Place) -> str:
    steps = place[1:] if place[:1] == ARGS else place
    return ", ".join(str(step + 1) if isinstance(step, int) else step for step in steps) or "args"
